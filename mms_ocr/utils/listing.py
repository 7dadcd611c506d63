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
from collections.abc import Collection
from pathlib import Path

import numpy as np
from mmengine.logging import print_log

from mms_ocr.utils.errors import warn
from mms_ocr.utils.names import CompactNames
from mms_ocr.utils.walking import IMAGE_SUFFIXES, Walk, folder_stamp

#: Suffixes of files that are usual beside images; files of other kinds are counted and reported.
NO_IMAGES = frozenset(
    [
        *(".txt", ".json", ".xml", ".csv", ".tsv", ".yaml", ".yml", ".md", ".rst"),
        *(".html", ".pdf", ".py", ".sh", ".ipynb", ".ini", ".cfg", ".toml", ".db", ".log"),
        *(".lock", ".mat", ".npy", ".npz", ".pkl", ".pt", ".pth", ".md5", ".sha256"),
        *(".ttf", ".otf"),
    ]
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
            :func:`mms_ocr.utils.layouts.layer_folders`.
    """
    folder = cache_folder()
    version = f"{_VERSION} {' '.join(suffixes)} {' '.join(sorted(expected))}"
    key = f"{os.path.realpath(root)}\0{version}".encode("utf-8", "surrogateescape")
    digest = hashlib.sha256(key).hexdigest()
    file = None if folder is None else folder / "listings" / f"{digest[:32]}.npz"
    listing = _kept(file, root, version) if file is not None and file.is_file() else None
    if listing is None:
        began = time.time()
        walk = Walk(root, suffixes, expected)
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


def _kept(file: Path, root: str, version: str) -> Listing | None:
    """The listing that was kept, if the tree is the same; None if not, or if it is damaged."""
    try:
        with np.load(file, allow_pickle=False) as kept:
            if str(kept["version"]) != version:
                return None
            folders = CompactNames.of(kept["folders"].tobytes(), kept["folder_starts"])
            stamps = kept["stamps"]
            for inside, stamp in zip(folders, stamps.tolist(), strict=True):
                if folder_stamp(os.path.join(root, inside)) != tuple(stamp):
                    return None
            listing = Listing.of(kept["names"].tobytes(), kept["name_starts"])
            passed_over, listing.labels = json.loads(str(kept["notes"]))
            listing.passed_over = {kind: tuple(note) for kind, note in passed_over.items()}
            return listing
    except (OSError, ValueError, KeyError, EOFError, IndexError, zipfile.BadZipFile):
        return None


def _keep(file: Path, root: str, version: str, listing: Listing, walk: Walk) -> None:
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
