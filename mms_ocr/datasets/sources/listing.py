"""The files of a folder tree; the listing of a large one is kept while the tree is the same.

Listing ten million files takes half a minute, whoever does it. So a long listing is kept in the
user's cache folder with the times of all folders of the tree: a file that is added, removed or
renamed changes those of its folder, and then the tree is listed anew.
"""

from __future__ import annotations

import hashlib
import json
import logging
import os
import tempfile
import time
import zipfile
from collections.abc import Collection, Iterator
from pathlib import Path

import numpy as np
from mmengine.logging import print_log

from mms_ocr.datasets.sources.base import warn
from mms_ocr.datasets.sources.layouts import LABELS_FILE, layer_folders
from mms_ocr.datasets.sources.names import CompactNames

__all__ = ["IMAGE_SUFFIXES", "NO_IMAGES", "Listing", "cache_folder", "list_files"]

#: File names that end so, in any case, are images. ``.img`` is what ``convert`` gave to some.
IMAGE_SUFFIXES = (
    *(".jpg", ".jpeg", ".jpe", ".jfif", ".png", ".bmp", ".dib", ".webp", ".tif", ".tiff", ".gif"),
    *(".ppm", ".pgm", ".pbm", ".pnm", ".jp2", ".tga", ".avif", ".img"),
)
#: Suffixes of files that are usual beside images; files of other kinds are counted and reported.
NO_IMAGES = frozenset(
    [
        *(".txt", ".json", ".jsonl", ".xml", ".csv", ".tsv", ".yaml", ".yml", ".md", ".rst"),
        *(".html", ".pdf", ".py", ".sh", ".ipynb", ".ini", ".cfg", ".toml", ".db", ".log"),
        *(".lock", ".mat", ".npy", ".npz", ".pkl", ".pt", ".pth", ".md5", ".sha256"),
        *(".ttf", ".otf"),
    ]
)

# What systems put into folders, and what only the administrator may read.
_SYSTEM_FOLDERS = frozenset(
    ["__MACOSX", "@eaDir", "#recycle", "$RECYCLE.BIN", "System Volume Information", "lost+found"]
)
_FEWEST_KEPT = 100_000  # files; fewer are listed in a quarter of a second
_SETTLED = 2.0  # seconds; a folder that changed just now may change again within the same tick
_VERSION = "2"
_MOST_KINDS = 3  # named in a warning


def cache_folder() -> Path | None:
    """Where listings are kept: ``MMS_OCR_CACHE``, or ``mms_ocr`` in the user's cache folder.

    None, if ``MMS_OCR_CACHE`` is set to nothing, or there is no home folder.
    """
    named = os.environ.get("MMS_OCR_CACHE")
    if named is not None:
        return Path(named) if named else None
    user = os.environ.get("XDG_CACHE_HOME") or os.path.expanduser("~/.cache")
    return Path(user, "mms_ocr") if os.path.isabs(user) else None


class Listing(CompactNames):
    """The files of a tree, relative to its root, in sorted order.

    Attributes:
        passed_over: What was not listed and might be missed: for each kind, how many and the first.
        labels: The annotation files below the root that other data sets have there.
    """

    passed_over: dict[str, tuple[int, str]]
    labels: list[str]

    def describe_passed_over(self) -> str:
        """One line on what was passed over; empty where nothing was."""
        kinds = sorted(self.passed_over.items(), key=lambda item: -item[1][0])
        parts = [f"{count:,} {kind} (such as {first!r})" for kind, (count, first) in kinds]
        more = len(parts) - _MOST_KINDS
        return ", ".join(parts[:_MOST_KINDS]) + (f" and {more} more kinds" if more > 0 else "")


def list_files(
    root: str,
    suffixes: tuple[str, ...] = IMAGE_SUFFIXES,
    expected: Collection[str] = NO_IMAGES,
) -> Listing:
    """List all files of some kinds under a folder, at any depth, in sorted order.

    Names that begin with a dot and folders of operating systems (``__MACOSX``, ``@eaDir``) are
    passed over. Links to folders are followed; each folder is listed once, however many links lead
    to it, and none that the root is in. In a folder with ``image/`` beside ``mask/`` and the like,
    only ``image/`` is listed. A link with a fitting name that leads nowhere is listed, pipes and
    devices are not. One warning reports what was passed over and might be missed.

    Args:
        root: The folder; its own name may begin with a dot.
        suffixes: How names of the files end, in lower case.
        expected: Suffixes of other files that are not worth a warning.

    Raises:
        OSError: A folder cannot be read.
        ValueError: A folder is half a data set; see
            :func:`mms_ocr.datasets.sources.layouts.layer_folders`.
    """
    folder = cache_folder()
    version = f"{_VERSION} {' '.join(suffixes)} {' '.join(sorted(expected))}"
    key = f"{os.path.realpath(root)}\0{version}".encode("utf-8", "surrogateescape")
    digest = hashlib.sha256(key).hexdigest()
    file = None if folder is None else folder / "listings" / f"{digest[:32]}.npz"
    listing = _kept(file, root, version) if file is not None and file.is_file() else None
    if listing is None:
        began = time.time()
        walk = _Walk(root, suffixes, expected)
        listing = Listing(walk.files())
        listing.passed_over, listing.labels = walk.passed_over, walk.labels
        # What links lead to may change without a trace in the tree.
        has_links = any(kind.startswith("links") for kind in walk.passed_over)
        if file is not None and len(listing) >= _FEWEST_KEPT and not has_links:
            newest = max(max(times[:2]) for times in walk.stamps) / 1e9
            if newest < began - _SETTLED:
                _keep(file, root, version, listing, walk)
    if listing.passed_over:
        warn(f"folder {root!r}: passed over {listing.describe_passed_over()}")
    return listing


class _Walk:
    """One way through a tree.

    Attributes:
        folders: All folders that were read, relative to the root.
        stamps: Their states before that.
    """

    def __init__(self, root: str, suffixes: tuple[str, ...], expected: Collection[str]) -> None:
        self.root = root
        self.suffixes = suffixes
        self.expected = expected
        self.folders: list[str] = []
        self.stamps: list[tuple[int, ...]] = []
        self.passed_over: dict[str, tuple[int, str]] = {}
        self.labels: list[str] = []

    def files(self) -> Iterator[str]:
        """The files, relative to the root: those of a folder, and then those in its folders."""
        # A link to a folder that holds the root is a loop as well.
        above = Path(os.path.realpath(self.root)).parents
        seen = {identity for path in above if (identity := _stamp(str(path))[2:])[0]}
        waiting = [""]
        while waiting:
            inside = waiting.pop()
            stamp = _stamp(os.path.join(self.root, inside))
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
                    if name.startswith(".") or name in _SYSTEM_FOLDERS:
                        self._note_hidden(name, inside)
                    elif _is_folder(entry):
                        folders.add(name)
                    elif self._is_wanted(entry, inside):
                        files.append(name)
        except OSError as error:
            raise _unreadable(path, error) from error
        layers = layer_folders(path, folders, bool(files))
        for name in sorted(layers):
            self._pass_over("folders of masks or other versions", os.path.join(inside, name))
        return files, folders - layers

    def _is_wanted(self, entry: os.DirEntry[str], inside: str) -> bool:
        """Whether an entry that is no folder is to be listed; if it may be missed, note it."""
        fits = entry.name.lower().endswith(self.suffixes)
        if fits and entry.is_file(follow_symlinks=False):
            return True
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
        if suffix not in self.expected:
            self._pass_over(f"{suffix} files" if suffix else "files without a suffix", place)
        elif entry.name == LABELS_FILE and inside:
            self.labels.append(place)
        return False

    def _note_hidden(self, name: str, inside: str) -> None:
        # Names that begin with ._ are of macOS, which puts one beside each file.
        if name.lower().endswith(self.suffixes) and not name.startswith("._"):
            self._pass_over("hidden files", os.path.join(inside, name))

    def _pass_over(self, kind: str, place: str) -> None:
        count, first = self.passed_over.get(kind, (0, place))
        self.passed_over[kind] = count + 1, first


def _is_folder(entry: os.DirEntry[str]) -> bool:
    try:
        return entry.is_dir()
    except OSError:  # a link to itself, or into a folder that may not be read
        return False


def _stamp(path: str) -> tuple[int, ...]:
    """What changes when an entry of a folder is added, removed or renamed; ctime for anything.

    The last two are the folder itself.
    """
    try:
        status = os.stat(path)
    except OSError as error:
        raise _unreadable(path, error) from error
    return status.st_mtime_ns, status.st_ctime_ns, status.st_ino, status.st_dev


def _unreadable(path: str, error: OSError) -> OSError:
    return OSError(
        f"folder {path!r} cannot be read ({error.strerror}), and its files would be missing; make "
        "it readable or move it elsewhere"
    )


def _kept(file: Path, root: str, version: str) -> Listing | None:
    """The listing that was kept, if the tree is the same; None if not, or if it is damaged."""
    try:
        with np.load(file, allow_pickle=False) as kept:
            if str(kept["version"]) != version:
                return None
            folders = CompactNames.of(kept["folders"].tobytes(), kept["folder_starts"])
            stamps = kept["stamps"]
            for index in range(len(folders)):
                if _stamp(os.path.join(root, folders[index])) != tuple(stamps[index].tolist()):
                    return None
            listing = Listing.of(kept["names"].tobytes(), kept["name_starts"])
            passed_over, listing.labels = json.loads(str(kept["notes"]))
            listing.passed_over = {kind: tuple(note) for kind, note in passed_over.items()}
            return listing
    except (OSError, ValueError, KeyError, EOFError, IndexError, zipfile.BadZipFile):
        return None


def _keep(file: Path, root: str, version: str, listing: Listing, walk: _Walk) -> None:
    folders = CompactNames(walk.folders)
    try:
        file.parent.mkdir(parents=True, exist_ok=True)
        # Written aside and renamed: several processes may do so at once.
        descriptor, written = tempfile.mkstemp(".part", file.stem, file.parent)
        try:
            with open(descriptor, "wb") as stream:
                np.savez(
                    stream,
                    version=np.array(version),
                    names=np.frombuffer(listing.blob, np.uint8),
                    name_starts=listing.starts,
                    notes=np.array(json.dumps([listing.passed_over, listing.labels])),
                    folders=np.frombuffer(folders.blob, np.uint8),
                    folder_starts=folders.starts,
                    stamps=np.array(walk.stamps, np.int64),
                )
            os.replace(written, file)
        except BaseException:
            os.unlink(written)
            raise
    except OSError as error:
        print_log(
            f"the listing of {root} ({len(listing):,} images) cannot be kept in {file.parent}: "
            f"{error.strerror}; it is made anew each time (MMS_OCR_CACHE names another folder)",
            logger="current",
            level=logging.WARNING,
        )
