"""Conversion of word images between the layouts of the field."""

import os

from mms_ocr.dataset_tools.conversion.converting import Conversion, convert_records
from mms_ocr.dataset_tools.conversion.textseg_writer import MASK_LEVELS, MasksAsTextSeg
from mms_ocr.datasets.sources import JsonlSource, LmdbSource, is_lmdb
from mms_ocr.datasets.sources.jsonl import open_labels_in
from mms_ocr.datasets.sources.records import (
    PairRecords,
    Record,
    Records,
    Selection,
    WordRecords,
)
from mms_ocr.datasets.sources.textseg_records import TextSegRecords
from mms_ocr.utils.layouts import is_json_lines, is_textseg

__all__ = [
    "LAYOUTS",
    "MASK_LEVELS",
    "Conversion",
    "MasksAsTextSeg",
    "PairRecords",
    "Record",
    "Records",
    "Selection",
    "TextSegRecords",
    "WordRecords",
    "convert_records",
    "guess_layout",
]

#: Words with or without masks; pairs of a high and a low resolution; TextSeg as released.
LAYOUTS = ("words", "textzoom", "textseg")


def guess_layout(path: str) -> str:
    """Which of :data:`LAYOUTS` the data at ``path`` have."""
    if is_textseg(path):
        return "textseg"
    if is_lmdb(path):
        try:
            LmdbSource(path, image_key="image_hr-%09d")
        except (ValueError, FileNotFoundError):
            return "words"
        return "textzoom"
    is_lines = is_json_lines(path) and os.path.isfile(path)
    lines = JsonlSource(path) if is_lines else open_labels_in(path)
    if lines is not None:
        return "textzoom" if lines.has_field("image_hr") else "words"
    has_pairs = all(os.path.isdir(os.path.join(path, name)) for name in ("hr", "lr"))
    return "textzoom" if has_pairs else "words"
