"""Sources of encoded word images: a folder tree, an LMDB, or JSON lines."""

from mms_ocr.datasets.sources.base import FolderSource, ImageSource, PairedSource, RawImage
from mms_ocr.datasets.sources.jsonl import JsonlSource
from mms_ocr.datasets.sources.lmdb_source import LmdbSource
from mms_ocr.datasets.sources.opening import open_masked, open_pairs, open_source
from mms_ocr.utils.errors import BrokenImageError
from mms_ocr.utils.layouts import is_lmdb

__all__ = [
    "BrokenImageError",
    "FolderSource",
    "ImageSource",
    "JsonlSource",
    "LmdbSource",
    "PairedSource",
    "RawImage",
    "is_lmdb",
    "open_masked",
    "open_pairs",
    "open_source",
]
