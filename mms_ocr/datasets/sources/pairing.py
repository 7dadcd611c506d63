"""Images that come in pairs: with their masks, or in two resolutions."""

from __future__ import annotations

import os
from collections.abc import Sequence

from mms_ocr.datasets.sources.base import ImageSource, RawImage
from mms_ocr.datasets.sources.folder import FolderSource


class PairedSource(ImageSource):
    """Two sources, and which image of the second belongs to which image of the first.

    Read as a source it is the first one.

    Args:
        path: Where the pairs are, as the user named it.
        first: The images, with the labels where there are any.
        second: Their masks, or the same images in low resolution.
        order: For every image of the first, the index of its partner in the second; None where
            both come in the same order.

    Raises:
        ValueError: Without an order, they are not equally many.
    """

    kind = "pairs of images"

    def __init__(
        self,
        path: str,
        first: ImageSource,
        second: ImageSource,
        order: Sequence[int] | None = None,
    ) -> None:
        super().__init__(path)
        if order is None and len(first) != len(second):
            raise ValueError(
                f"{path!r} has {len(first):,} images and {len(second):,} masks or images of low "
                "resolution that belong to them; every image needs one"
            )
        self.first = first
        self.second = second
        self._order = order

    def __len__(self) -> int:
        return len(self.first)

    def name(self, index: int) -> str:
        """Where the first image of a pair is stored."""
        return self.first.name(index)

    def read(self, index: int, labelled: bool = False) -> RawImage:
        """Read the first image of a pair; see :meth:`ImageSource.read`."""
        return self.first.read(index, labelled)

    def second_name(self, index: int) -> str:
        """Where the second image of a pair is stored."""
        return self.second.name(self._second_index(index))

    def read_second(self, index: int) -> RawImage:
        """Read the second image of a pair; see :meth:`ImageSource.read`."""
        return self.second.read(self._second_index(index))

    def _second_index(self, index: int) -> int:
        return index if self._order is None else self._order[index]

    def check_labels(self) -> None:
        """See :meth:`ImageSource.check_labels`."""
        self.first.check_labels()

    def check(self) -> None:
        """See :meth:`ImageSource.check`."""
        self.first.check()
        self.second.check()


def pair_by_stem(first: FolderSource, second: FolderSource) -> list[int] | None:
    """Find the partner of every image of a folder in the folder beside it.

    Args:
        first: The images whose partners are asked for.
        second: The partners.

    Returns:
        For every image, the index of its partner; None where both come in the same order.

    Raises:
        ValueError: An image of either folder has no partner, or two have the same path but for its
            suffix.
    """
    places, partners = _by_stem(first), _by_stem(second)
    for own, others, folder in ((places, partners, second), (partners, places, first)):
        lonely = sorted(own.keys() - others.keys())
        if lonely:
            more = f" and {len(lonely) - 1:,} more" if len(lonely) > 1 else ""
            raise ValueError(
                f"{os.path.dirname(folder.path)!r}: {lonely[0]!r}{more} has no pair of the same "
                f"name in {os.path.basename(folder.path)!r}; every image needs one"
            )
    order = [partners[stem] for stem in places]
    return None if order == list(range(len(order))) else order


def _by_stem(source: FolderSource) -> dict[str, int]:
    """Map every image's path in the folder, without suffix, to its index."""
    stems: dict[str, int] = {}
    for index in range(len(source)):
        stem = os.path.splitext(os.path.relpath(source.name(index), source.path))[0]
        if stem in stems:
            raise ValueError(
                f"{source.name(stems[stem])!r} and {source.name(index)!r} differ in their suffix "
                "only, so that nothing says which of them belongs to what; rename one"
            )
        stems[stem] = index
    return stems
