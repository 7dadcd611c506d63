"""Listing the files of a folder tree, up to millions of them, and reporting what is skipped."""

from __future__ import annotations

import os
import zlib
from collections.abc import Iterable, Iterator
from functools import partial
from itertools import islice
from pathlib import Path
from typing import Any, NamedTuple

import numpy as np

from mms_ocr.utils.errors import warn
from mms_ocr.utils.layouts import LABELS_FILE, layer_files, layer_folders

#: File names that end so, in any case, are images. ``convert`` gives some the suffix ``.img``.
IMAGE_SUFFIXES = (
    *(".jpg", ".jpeg", ".jpe", ".jfif", ".png", ".bmp", ".dib", ".webp", ".tif", ".tiff", ".gif"),
    *(".ppm", ".pgm", ".pbm", ".pnm", ".jp2", ".tga", ".avif", ".img"),
)
# Suffixes of files that are usual beside images; files of other kinds are counted and reported.
_USUAL_SUFFIXES = {
    ".txt", ".json", ".xml", ".csv", ".tsv", ".yaml", ".yml", ".md", ".rst", ".html", ".pdf",
    ".py", ".sh", ".ipynb", ".ini", ".cfg", ".toml", ".db", ".log", ".lock", ".mat", ".npy",
    ".npz", ".pkl", ".pt", ".pth", ".md5", ".sha256", ".ttf", ".otf",
}  # fmt: skip
# Folders that operating systems add, and those that only the administrator may read.
_SYSTEM_FOLDERS = {
    "__MACOSX", "@eaDir", "@Recycle", "@Recently-Snapshot", "#recycle", "#snapshot", "~snapshot",
    "$RECYCLE.BIN", "RECYCLER", "System Volume Information", "lost+found",
}  # fmt: skip
_MAX_REPORTED_KINDS = 3
_MAX_COMPARED = 1000  # images of two folders, to see whether they have the same names
_NAMES_PER_BLOCK = 64


class CompactNames:
    """An immutable sequence of file names, stored as compressed blocks of 64.

    Sorted names share most of their characters, so a name takes a few bytes. Reading one
    decompresses its block, about ten microseconds.
    """

    def __init__(self, names: Iterable[str]) -> None:
        blocks: list[bytes] = []
        self._count = 0
        encoded = map(os.fsencode, names)
        while block := list(islice(encoded, _NAMES_PER_BLOCK)):
            blocks.append(zlib.compress(b"\0".join(block), 6))
            self._count += len(block)
        self._blob = b"".join(blocks)
        self._starts = np.cumsum([0, *map(len, blocks)], dtype=np.uint64)

    def __len__(self) -> int:
        return self._count

    def __getitem__(self, index: int) -> str:
        if not 0 <= index < self._count:
            raise IndexError(f"index {index} is outside [0, {self._count})")
        block, position = divmod(index, _NAMES_PER_BLOCK)
        return os.fsdecode(self._block(block)[position])

    def __iter__(self) -> Iterator[str]:
        for block in range(len(self._starts) - 1):
            yield from map(os.fsdecode, self._block(block))

    def _block(self, block: int) -> list[bytes]:
        start, end = int(self._starts[block]), int(self._starts[block + 1])
        return zlib.decompress(self._blob[start:end]).split(b"\0")


class Listing(NamedTuple):
    """Files of a folder tree."""

    names: CompactNames  # paths relative to the root, in sorted order
    skipped: str  # one line on what was skipped and may be missed; empty if there is nothing
    labels: list[str]  # annotation files of data sets below the root


def list_files(root: str, suffixes: tuple[str, ...] = IMAGE_SUFFIXES) -> Listing:
    """List the files of some suffixes in a folder tree, and warn once about what is skipped.

    Names that begin with a dot and system folders (``__MACOSX``, ``@eaDir``) are skipped. Links to
    folders are followed; each folder is listed once. A link with a fitting name that leads nowhere
    is listed; pipes and devices are not. Of images, masks and other versions beside them are
    skipped, and files of unusual kinds reported; see :mod:`mms_ocr.utils.layouts`.

    Raises:
        OSError: A folder cannot be read.
        ValueError: A folder holds images beside images with masks.
    """
    walk = _Walk(root, suffixes)
    names = CompactNames(walk.files())
    skipped = walk.describe_skipped()
    if skipped:
        warn(f"folder {root!r}: skipped {skipped}")
    return Listing(names, skipped, walk.labels)


def file_identity(path: str | os.PathLike[str]) -> Any:
    """Return what is the same for all names of a file or folder; None if it does not exist."""
    try:
        status = os.stat(path)
    except (OSError, ValueError):  # ValueError: a name that no file can have
        return None
    # Some network file systems give files no inode number.
    return (status.st_dev, status.st_ino) if status.st_ino else os.path.realpath(path)


class _Walk:
    """A walk through a folder tree that records what it skips; see :func:`list_files`."""

    def __init__(self, root: str, suffixes: tuple[str, ...]) -> None:
        self.root = root
        self.suffixes = suffixes
        self.of_images = suffixes == IMAGE_SUFFIXES
        self.skipped: dict[str, tuple[int, str]] = {}
        self.labels: list[str] = []

    def files(self) -> Iterator[str]:
        """Yield paths relative to the root: the files of a folder, then those in its folders."""
        # A link to a folder that contains the root is a loop as well.
        seen = set(map(file_identity, Path(os.path.realpath(self.root)).parents))
        waiting = [""]
        while waiting:
            inside = waiting.pop()
            identity = file_identity(os.path.join(self.root, inside))
            if identity in seen:
                self._skip("links to folders that are listed already", inside)
                continue
            seen.add(identity)
            files, folders = self._read(inside)
            prefix = os.path.join(inside, "")
            for name in sorted(files):
                yield prefix + name
            waiting += [prefix + name for name in sorted(folders, reverse=True)]

    def describe_skipped(self) -> str:
        kinds = sorted(self.skipped.items(), key=lambda item: -item[1][0])
        parts = [f"{count:,} {kind} (such as {first!r})" for kind, (count, first) in kinds]
        more = len(parts) - _MAX_REPORTED_KINDS
        listed = ", ".join(parts[:_MAX_REPORTED_KINDS])
        return listed + (f" and {more} more kinds" if more > 0 else "")

    def _read(self, inside: str) -> tuple[Iterable[str], set[str]]:
        path = os.path.join(self.root, inside)
        files: list[str] = []
        folders: set[str] = set()
        try:
            with os.scandir(path) as entries:
                for entry in entries:
                    name = entry.name
                    fits = name.lower().endswith(self.suffixes)
                    if fits and name[0] != "." and entry.is_file(follow_symlinks=False):
                        files.append(name)  # nearly all, without reading the file's status
                    elif name[0] == "." or name in _SYSTEM_FOLDERS:
                        # macOS puts a file ._NAME beside each file NAME.
                        if fits and not name.startswith("._"):
                            self._skip("hidden files", inside, name)
                    elif _is_folder(entry):
                        folders.add(name)
                    elif self._is_listed(entry, fits, inside):
                        files.append(name)
        except OSError as error:
            raise OSError(
                f"folder {path!r} cannot be read ({error.strerror}), and its files would be "
                "missing; make it readable or move it elsewhere"
            ) from error
        if not self.of_images:
            return files, folders
        masks = layer_files(files)
        layers = layer_folders(path, folders, bool(files), partial(self._stems, path))
        for name in masks:
            self._skip("masks of images beside them", inside, name)
        for name in layers:
            self._skip("folders of masks or other versions", inside, name)
        return set(files) - masks if masks else files, folders - layers

    def _stems(self, path: str, folder: str) -> set[str]:
        """Return paths without suffixes of the first images in a folder, relative to it."""
        start = os.path.join(path, folder)
        stems: set[str] = set()
        for current, folders, names in os.walk(start):
            folders.sort()
            for name in sorted(names):
                if name[0] != "." and name.lower().endswith(self.suffixes):
                    file = os.path.relpath(os.path.join(current, name), start)
                    stems.add(os.path.splitext(file)[0])
                    if len(stems) == _MAX_COMPARED:
                        return stems
        return stems

    def _is_listed(self, entry: os.DirEntry[str], fits: bool, inside: str) -> bool:
        """Decide on a link, pipe, device or file of another kind; record it if it is skipped."""
        name = entry.name
        suffix = os.path.splitext(name)[1].lower()
        if not os.path.exists(entry.path):
            if not fits:
                self._skip("links without target", inside, name)
            return fits  # as a missing image
        if not entry.is_file():
            if fits:
                self._skip("pipes or devices", inside, name)
            return False
        if name == LABELS_FILE:
            self.labels += [os.path.join(inside, name)] if inside else []
        elif not fits and self.of_images and suffix not in _USUAL_SUFFIXES:
            self._skip(f"{suffix} files" if suffix else "files without a suffix", inside, name)
        return fits

    def _skip(self, kind: str, *parts: str) -> None:
        path = os.path.join(*parts)
        count, first = self.skipped.get(kind, (0, path))
        self.skipped[kind] = count + 1, min(first, path)


def _is_folder(entry: os.DirEntry[str]) -> bool:
    try:
        return entry.is_dir()
    except OSError:  # a link to itself, or into a folder that may not be read
        return False
