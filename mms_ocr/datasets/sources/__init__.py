"""Sources of encoded word images: a folder tree, an LMDB, or JSON lines."""

from mms_ocr.datasets.sources.base import (
    BrokenImageError,
    ImageSource,
    RawImage,
    SourceChangedError,
    check_sources,
)
from mms_ocr.datasets.sources.folder import FolderSource
from mms_ocr.datasets.sources.jsonl import JsonlSource
from mms_ocr.datasets.sources.layouts import is_lmdb
from mms_ocr.datasets.sources.lmdb_source import LmdbSource
from mms_ocr.datasets.sources.opening import open_source

__all__ = [
    "BrokenImageError",
    "FolderSource",
    "ImageSource",
    "JsonlSource",
    "LmdbSource",
    "RawImage",
    "SourceChangedError",
    "check_sources",
    "is_lmdb",
    "open_source",
]
