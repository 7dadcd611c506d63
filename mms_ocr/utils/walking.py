"""Walking a folder tree: which files are of a data set, and what is passed over."""

from __future__ import annotations

import os
from collections.abc import Collection, Iterator
from functools import partial
from pathlib import Path

from mms_ocr.utils.layouts import LABELS_FILE, layer_files, layer_folders

#: File names that end so, in any case, are images. ``.img`` is what ``convert`` gave to some.
IMAGE_SUFFIXES = (
    *(".jpg", ".jpeg", ".jpe", ".jfif", ".png", ".bmp", ".dib", ".webp", ".tif", ".tiff", ".gif"),
    *(".ppm", ".pgm", ".pbm", ".pnm", ".jp2", ".tga", ".avif", ".img"),
)
# What systems put into folders, and what only the administrator may read.
_SYSTEM_FOLDERS = frozenset(
    [
        *("__MACOSX", "@eaDir", "@Recycle", "@Recently-Snapshot", "#recycle", "#snapshot"),
        *("~snapshot", "$RECYCLE.BIN", "RECYCLER", "System Volume Information", "lost+found"),
    ]
)
_VERSIONS = "folders of masks or other versions"
_MOST = 2**63 - 1
_COMPARED = 1000  # images of two folders, to see whether they have the same names


class Walk:
    """A walk through a folder tree; see :func:`mms_ocr.utils.listing.list_files`.

    Attributes:
        folders: All folders that were read, relative to the root.
        stamps: Their states before that, see :func:`folder_stamp`.
        passed_over: See :class:`mms_ocr.utils.listing.Listing`.
        labels: Likewise.
    """

    def __init__(self, root: str, suffixes: tuple[str, ...], expected: Collection[str]) -> None:
        self.root = root
        self.suffixes = suffixes
        self.expected = expected
        self.of_images = suffixes == IMAGE_SUFFIXES
        self.folders: list[str] = []
        self.stamps: list[tuple[int, ...]] = []
        self.passed_over: dict[str, tuple[int, str]] = {}
        self.labels: list[str] = []

    def files(self) -> Iterator[str]:
        """Yield the files, relative to the root: those of a folder, then those in its folders."""
        # A link to a folder that holds the root is a loop as well.
        above = Path(os.path.realpath(self.root)).parents
        seen = {identity for path in above if (identity := folder_stamp(str(path))[2:])[0]}
        waiting = [""]
        while waiting:
            inside = waiting.pop()
            stamp = folder_stamp(os.path.join(self.root, inside))
            if stamp[2]:  # some file systems number nothing
                if stamp[2:] in seen:
                    self._pass_over("links to folders that are listed already", inside)
                    continue
                seen.add(stamp[2:])
            self.folders.append(inside)
            self.stamps.append(stamp)  # before the folder is read: what is added changes it
            files, folders = self._read(inside)
            prefix = os.path.join(inside, "")
            for name in sorted(files):
                yield prefix + name
            waiting += [prefix + name for name in sorted(folders, reverse=True)]

    def _read(self, inside: str) -> tuple[list[str], set[str]]:
        path = os.path.join(self.root, inside)
        files: list[str] = []
        folders: set[str] = set()
        try:
            with os.scandir(path) as entries:
                for entry in entries:
                    name = entry.name
                    if (
                        name.lower().endswith(self.suffixes)
                        and name[0] != "."
                        and entry.is_file(follow_symlinks=False)
                    ):
                        files.append(name)  # nearly all, without any look at the disk
                    elif name.startswith(".") or name in _SYSTEM_FOLDERS:
                        self._note_hidden(name, inside)
                    elif _is_folder(entry):
                        folders.add(name)
                    elif self._is_listed(entry, inside):
                        files.append(name)
        except OSError as error:
            raise _unreadable(path, error) from error
        if not self.of_images:
            return files, folders
        masks = layer_files(files)
        layers = layer_folders(path, folders, bool(files), partial(self._stems, path))
        for kind, names in (("masks of images beside them", masks), (_VERSIONS, layers)):
            for name in names:
                self._pass_over(kind, os.path.join(inside, name))
        return [name for name in files if name not in masks] if masks else files, folders - layers

    def _stems(self, path: str, folder: str) -> set[str]:
        """Paths without suffixes of the first images in a folder, relative to it."""
        start = os.path.join(path, folder)
        stems: set[str] = set()
        for current, folders, names in os.walk(start):
            folders.sort()
            fitting = [name for name in names if name.lower().endswith(self.suffixes)]
            for name in sorted(name for name in fitting if name[0] != "."):
                stems.add(os.path.splitext(os.path.relpath(os.path.join(current, name), start))[0])
                if len(stems) == _COMPARED:
                    return stems
        return stems

    def _is_listed(self, entry: os.DirEntry[str], inside: str) -> bool:
        """Whether an entry that is no folder is to be listed; if it may be missed, note it."""
        fits = entry.name.lower().endswith(self.suffixes)
        place = os.path.join(inside, entry.name)
        # A link that leads nowhere is a missing file; a pipe or device is none.
        if not os.path.exists(entry.path):
            if not fits:
                self._pass_over("links that lead nowhere", place)
            return fits
        if not entry.is_file():
            if fits:
                self._pass_over("pipes or devices", place)
            return False
        if fits:
            return True
        suffix = os.path.splitext(entry.name)[1].lower()
        if entry.name == LABELS_FILE:
            self.labels += [place] if inside else []
        elif suffix not in self.expected:
            self._pass_over(f"{suffix} files" if suffix else "files without a suffix", place)
        return False

    def _note_hidden(self, name: str, inside: str) -> None:
        # Names that begin with ._ are of macOS, which puts one beside each file.
        if name.lower().endswith(self.suffixes) and not name.startswith("._"):
            self._pass_over("hidden files", os.path.join(inside, name))

    def _pass_over(self, kind: str, place: str) -> None:
        count, first = self.passed_over.get(kind, (0, place))
        self.passed_over[kind] = count + 1, min(first, place)


def _is_folder(entry: os.DirEntry[str]) -> bool:
    try:
        return entry.is_dir()
    except OSError:  # a link to itself, or into a folder that may not be read
        return False


def folder_stamp(path: str) -> tuple[int, ...]:
    """Return what changes when an entry of a folder is added, removed or renamed.

    That is the time of the last such change, that of any change, and two numbers that identify the
    folder.

    Raises:
        OSError: The folder cannot be read.
    """
    try:
        status = os.stat(path)
    except OSError as error:
        raise _unreadable(path, error) from error
    # Windows numbers files with more bits than a listing keeps.
    folder = status.st_ino & _MOST, status.st_dev & _MOST
    return status.st_mtime_ns, status.st_ctime_ns, *folder


def _unreadable(path: str, error: OSError) -> OSError:
    return OSError(
        f"folder {path!r} cannot be read ({error.strerror}), and its files would be missing; make "
        "it readable or move it elsewhere"
    )
