"""The folder that the file names of an annotation file are relative to."""

from __future__ import annotations

import contextlib
import os
from collections.abc import Iterable, Iterator, Sequence

from mms_ocr.dataset_tools.conversion.annotations import Annotation, read_annotations

_TRIED = 20  # entries looked for at least, spread over the file; at most twice as many
_PARENTS = 3


def find_data_root(source: str) -> str:
    """Find the folder that an annotation file's names are relative to.

    Looks in the annotation file's own folder, in the three above it and in the folders within its
    own; where none of these has an image, in those beside its own.

    Args:
        source: The annotation file, see :func:`read_annotations`.

    Returns:
        The one of them that has images of these names.

    Raises:
        FileNotFoundError: None has one.
        ValueError: Several have, or the file cannot be read, or not even its first entry.
    """
    spread = _spread(read_annotations(source))
    names = [plain_name(entry.filename) for entry in spread if entry.fault is None]
    own = os.path.dirname(os.path.abspath(source))
    above = [own]
    for _ in range(_PARENTS):
        above.append(os.path.dirname(above[-1]))
    for folders in (dict.fromkeys([*above, *_folders_in(own)]), _folders_in(above[1])):
        hits = {folder: _files(folder, names) for folder in folders}
        best = max(hits, key=lambda folder: len(hits[folder]), default=own)
        others = [folder for folder, files in hits.items() if not files <= hits[best]]
        if others:
            raise ValueError(
                f"{source}: images of these names are in {best} and in {others[0]}; choose one "
                "with --data-root"
            )
        if hits.get(best):
            return best
    if not spread:
        raise ValueError(f"{source} holds no words")
    if not names:
        raise ValueError(
            f"{spread[0].place}: {spread[0].fault}; docs/reading.md shows what annotation files "
            "may look like"
        )
    raise FileNotFoundError(
        f"the images of {source} were not found: {names[0]!r} is neither in {own} nor in the "
        f"{_PARENTS} folders above it, nor in one within or beside it; give --data-root"
    )


def plain_name(filename: str) -> str:
    """A file name with this system's separators; annotations made on Windows have others."""
    return filename.replace("\\", "/")


def _spread(annotations: Iterable[Annotation]) -> Sequence[Annotation]:
    """The first annotation and others at equal distances, over the whole file."""
    kept: list[Annotation] = []
    step = 1
    for number, annotation in enumerate(annotations):
        if number % step == 0:
            kept.append(annotation)
        if len(kept) == 2 * _TRIED:
            kept, step = kept[::2], 2 * step
    return kept


def _folders_in(folder: str) -> Iterator[str]:
    # A folder above may be one that this user cannot list.
    with contextlib.suppress(PermissionError), os.scandir(folder) as entries:
        yield from sorted(
            entry.path for entry in entries if entry.is_dir() and not entry.name.startswith(".")
        )


def _files(folder: str, names: Sequence[str]) -> set[tuple[str, int, int]]:
    """Which of the names are files there: a link to a folder has the files of that folder."""
    files = set()
    for name in names:
        path = os.path.join(folder, name)
        if os.path.isfile(path):
            status = os.stat(path)
            files.add((name, status.st_dev, status.st_ino))
    return files
