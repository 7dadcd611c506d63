"""Conversion of word images between the layouts of the field."""

import os

from mms_ocr.datasets.conversion.converting import Conversion, convert_records
from mms_ocr.datasets.conversion.records import PairRecords, Record, Records, Selection, WordRecords
from mms_ocr.datasets.conversion.textseg import TextSegRecords
from mms_ocr.datasets.conversion.textseg_writer import MASK_LEVELS, MasksAsTextSeg
from mms_ocr.datasets.sources import JsonlSource, LmdbSource

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
    if os.path.isfile(os.path.join(path, "split.json")):
        return "textseg"
    if all(os.path.isdir(os.path.join(path, name)) for name in ("hr", "lr")):
        return "textzoom"
    if os.path.isfile(os.path.join(path, "data.mdb")):
        try:
            LmdbSource(path, image_key="image_hr-%09d")
        except ValueError:
            return "words"
        return "textzoom"
    if os.path.isfile(path) and path.endswith((".jsonl", ".json")):
        return "textzoom" if JsonlSource(path).has_field("image_hr") else "words"
    return "words"
