"""Which files of two folders belong together: those of one path but for its suffix."""

from __future__ import annotations

import os

from mms_ocr.datasets.sources.folder import FolderSource


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
