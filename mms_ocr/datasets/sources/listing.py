"""The image files of a folder tree; the listing of a large one is kept while the tree is the same.

Listing ten million files takes half a minute, whoever does it. So a long listing is kept in the
user's cache folder with the times of all folders of the tree: a file that is added, removed or
renamed changes those of its folder, and then the tree is listed anew.
"""

from __future__ import annotations

import hashlib
import logging
import os
import tempfile
import time
import zipfile
from collections.abc import Iterator
from pathlib import Path

import numpy as np
from mmengine.logging import print_log

from mms_ocr.datasets.sources.names import CompactNames

__all__ = ["IMAGE_SUFFIXES", "cache_folder", "list_images"]

#: File names that end so, in any case, are images.
IMAGE_SUFFIXES = (".jpg", ".jpeg", ".png", ".bmp", ".webp", ".tif", ".tiff", ".gif", ".ppm", ".pgm")

_FEWEST_KEPT = 100_000  # files; fewer are listed in a quarter of a second
_SETTLED = 2.0  # seconds; a folder that changed just now may change again within the same tick
_VERSION = "1 " + " ".join(IMAGE_SUFFIXES)


def cache_folder() -> Path | None:
    """Where listings are kept: ``MMS_OCR_CACHE``, or ``mms_ocr`` in the user's cache folder.

    None, if ``MMS_OCR_CACHE`` is set to nothing, or there is no home folder.
    """
    named = os.environ.get("MMS_OCR_CACHE")
    if named is not None:
        return Path(named) if named else None
    user = os.environ.get("XDG_CACHE_HOME") or os.path.expanduser("~/.cache")
    return Path(user, "mms_ocr") if os.path.isabs(user) else None


def list_images(root: str) -> CompactNames:
    """All image files under a folder, at any depth, in sorted order, relative to it.

    Links to folders are not followed, so that a loop of links ends.
    """
    folder = cache_folder()
    digest = hashlib.sha256(os.path.realpath(root).encode("utf-8", "surrogateescape")).hexdigest()
    file = None if folder is None else folder / "listings" / f"{digest[:32]}.npz"
    if file is not None and file.is_file():
        names = _kept(file, root)
        if names is not None:
            return names
    began = time.time()
    folders: list[str] = []
    stamps: list[tuple[int, ...]] = []
    names = CompactNames(_walk(root, "", folders, stamps))
    if file is not None and len(names) >= _FEWEST_KEPT:
        newest = max(max(times[:2]) for times in stamps) / 1e9
        if newest < began - _SETTLED:
            _keep(file, root, names, CompactNames(folders), np.array(stamps, np.int64))
    return names


def _walk(
    root: str, inside: str, all_folders: list[str], stamps: list[tuple[int, ...]]
) -> Iterator[str]:
    path = os.path.join(root, inside)
    all_folders.append(inside)
    stamps.append(_stamp(path))  # before the folder is read: what is added meanwhile changes it
    files, folders = [], []
    with os.scandir(path) as entries:
        for entry in entries:
            if entry.name.lower().endswith(IMAGE_SUFFIXES):
                files.append(entry.name)
            elif entry.is_dir(follow_symlinks=False):
                folders.append(entry.name)
    files.sort()
    prefix = inside + os.sep if inside else ""
    for name in files:
        yield prefix + name
    for name in sorted(folders):
        yield from _walk(root, prefix + name, all_folders, stamps)


def _stamp(path: str) -> tuple[int, ...]:
    """What changes when an entry of a folder is added, removed or renamed; ctime for anything."""
    status = os.stat(path)
    return status.st_mtime_ns, status.st_ctime_ns, status.st_ino, status.st_dev


def _kept(file: Path, root: str) -> CompactNames | None:
    """The listing that was kept, if the tree is the same; None if not, or if it is damaged."""
    try:
        with np.load(file, allow_pickle=False) as kept:
            if str(kept["version"]) != _VERSION:
                return None
            folders = CompactNames.of(kept["folders"].tobytes(), kept["folder_starts"])
            stamps = kept["stamps"]
            for index in range(len(folders)):
                if _stamp(os.path.join(root, folders[index])) != tuple(stamps[index].tolist()):
                    return None
            return CompactNames.of(kept["names"].tobytes(), kept["name_starts"])
    except (OSError, ValueError, KeyError, EOFError, IndexError, zipfile.BadZipFile):
        return None


def _keep(
    file: Path, root: str, names: CompactNames, folders: CompactNames, stamps: np.ndarray
) -> None:
    try:
        file.parent.mkdir(parents=True, exist_ok=True)
        # Written aside and renamed: several processes may do so at once.
        descriptor, written = tempfile.mkstemp(".part", file.stem, file.parent)
        try:
            with open(descriptor, "wb") as stream:
                np.savez(
                    stream,
                    version=np.array(_VERSION),
                    names=np.frombuffer(names.blob, np.uint8),
                    name_starts=names.starts,
                    folders=np.frombuffer(folders.blob, np.uint8),
                    folder_starts=folders.starts,
                    stamps=stamps,
                )
            os.replace(written, file)
        except BaseException:
            os.unlink(written)
            raise
    except OSError as error:
        print_log(
            f"the listing of {root} ({len(names):,} images) cannot be kept in {file.parent}: "
            f"{error.strerror}; it is made anew each time (MMS_OCR_CACHE names another folder)",
            logger="current",
            level=logging.WARNING,
        )
