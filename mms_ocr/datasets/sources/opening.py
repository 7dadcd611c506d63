"""From a path to the source that it is."""

from __future__ import annotations

import os

from mms_ocr.datasets.sources.base import ImageSource
from mms_ocr.datasets.sources.folder import IMAGE_SUFFIXES, FolderSource
from mms_ocr.datasets.sources.jsonl import JsonlSource
from mms_ocr.datasets.sources.lmdb_source import LmdbSource

__all__ = ["open_source"]

# LMDB's magic number in its first meta page, after a page header of 16 bytes, little-endian.
_LMDB_MAGIC = bytes.fromhex("dec0efbe")


def open_source(path: str | os.PathLike[str], data_root: str | None = None) -> ImageSource:
    """Open a folder tree, an LMDB or a file of JSON lines, whichever ``path`` is.

    Args:
        path: A folder of images at any depth; a folder with ``data.mdb`` in it, or an LMDB in one
            file; or an annotation file of JSON lines.
        data_root: For JSON lines, the folder that file names are relative to; by default the
            annotation file's own.

    Raises:
        FileNotFoundError: Nothing is there.
        ValueError: What is there is empty, truncated or malformed; one line says what and where.
    """
    path = os.fspath(path)
    if not os.path.exists(path):
        raise FileNotFoundError(
            f"there is no data at {path!r}: give a folder of images, an LMDB or a .jsonl file"
        )
    if os.path.isdir(path):
        named_so = path.rstrip(os.sep).endswith((".lmdb", ".mdb"))
        if named_so or os.path.exists(os.path.join(path, "data.mdb")):
            return LmdbSource(path)
        return FolderSource(path)
    if path.endswith((".lmdb", ".mdb")) or _has_lmdb_magic(path):
        return LmdbSource(path)
    if path.lower().endswith(IMAGE_SUFFIXES):
        raise ValueError(
            f"{path!r} is a single image: give the folder that it lies in, an LMDB or a .jsonl file"
        )
    return JsonlSource(path, data_root)


def _has_lmdb_magic(path: str) -> bool:
    with open(path, "rb") as file:
        return file.read(20)[16:] == _LMDB_MAGIC
