"""Pairs of a large and a small image of the same words, from every layout of the field."""

from __future__ import annotations

import os
from collections.abc import Sequence

from mms_ocr.datasets.sources.base import ImageSource, RawImage
from mms_ocr.datasets.sources.folder import FolderSource
from mms_ocr.datasets.sources.jsonl import JsonlSource, open_labels_in
from mms_ocr.datasets.sources.layouts import is_json_lines, is_lmdb
from mms_ocr.datasets.sources.lmdb_source import LmdbSource
from mms_ocr.datasets.sources.pairing import pair_by_stem

_HIGH, _LOW = "hr", "lr"


class PairSource(ImageSource):
    """Two sources of which the images of one index belong together.

    Read as a source it is the one of the large images.

    Args:
        path: Where the pairs are, as the user named it.
        high: The large images, with the labels where there are any.
        low: The small ones.
        order: For every large image, the index of the small one; None where both come in the same
            order.

    Raises:
        ValueError: Without an order, they are not equally many.
    """

    kind = "pairs of images"

    def __init__(
        self,
        path: str,
        high: ImageSource,
        low: ImageSource,
        order: Sequence[int] | None = None,
    ) -> None:
        super().__init__(path)
        if order is None and len(high) != len(low):
            raise ValueError(
                f"{path!r} has {len(high):,} images of high and {len(low):,} of low resolution; "
                "every one needs its pair"
            )
        self.high = high
        self.low = low
        self._order = order

    def __len__(self) -> int:
        return len(self.high)

    def name(self, index: int) -> str:
        """Where the large image is stored."""
        return self.high.name(index)

    def read(self, index: int, labelled: bool = False) -> RawImage:
        """The large image; see :meth:`ImageSource.read`."""
        return self.high.read(index, labelled)

    def read_low(self, index: int) -> RawImage:
        """The small image; see :meth:`ImageSource.read`."""
        return self.low.read(self._low_index(index))

    def low_name(self, index: int) -> str:
        """Where the small image is stored."""
        return self.low.name(self._low_index(index))

    def _low_index(self, index: int) -> int:
        return index if self._order is None else self._order[index]

    def check_labels(self) -> None:
        """See :meth:`ImageSource.check_labels`."""
        self.high.check_labels()

    def check(self) -> None:
        """See :meth:`ImageSource.check`."""
        self.high.check()
        self.low.check()


def open_pairs(path: str | os.PathLike[str], data_root: str | None = None) -> PairSource:
    """Open pairs of high and low resolution, whatever layout they have.

    Args:
        path: An LMDB as TextZoom's, with keys ``image_hr-%09d``, ``image_lr-%09d`` and
            ``label-%09d``; a folder with ``labels.jsonl`` at its top that names pairs; one with the
            folders ``hr`` and ``lr`` in it, where the files of a pair have the same path but for
            its suffix; or JSON lines with the fields ``image_hr`` and ``image_lr``, and ``text``
            where there are labels.
        data_root: For JSON lines, the folder that file names are relative to; by default the
            annotation file's own.

    Raises:
        FileNotFoundError: Nothing is there.
        ValueError: What is there is empty or malformed, or an image lacks its pair.
    """
    path = os.fspath(path)
    if not os.path.exists(path):
        raise FileNotFoundError(
            f"there are no pairs of images at {path!r}: give an LMDB with image_hr-… and "
            "image_lr-…, a folder with hr/ and lr/ in it, or a .jsonl file"
        )
    if is_lmdb(path):
        high_images = LmdbSource(path, image_key="image_hr-%09d")
        return PairSource(path, high_images, LmdbSource(path, image_key="image_lr-%09d"))
    if is_json_lines(path):
        return _open_lines(path, data_root)
    lines = open_labels_in(path, "image_hr")
    if lines is not None:
        return _open_lines(lines.path, None)
    in_folders = [os.path.isdir(os.path.join(path, part)) for part in (_HIGH, _LOW)]
    if any(in_folders):
        if not all(in_folders):
            there, missing = (_HIGH, _LOW) if in_folders[0] else (_LOW, _HIGH)
            raise ValueError(f"{path!r} has a folder {there!r} and none {missing!r} beside it")
        return _open_folders(path)
    raise ValueError(
        f"{path!r} holds no pairs: it has no 'labels.jsonl' with pairs, no folders 'hr' and 'lr', "
        "and is no LMDB"
    )


def _open_lines(path: str, data_root: str | None) -> PairSource:
    high, low = (JsonlSource(path, data_root, field) for field in ("image_hr", "image_lr"))
    return PairSource(path, high, low)


def _open_folders(path: str) -> PairSource:
    high, low = (FolderSource(os.path.join(path, part)) for part in (_HIGH, _LOW))
    return PairSource(path, high, low, pair_by_stem(high, low))
