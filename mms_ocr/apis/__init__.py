"""Inferencers: reading, segmentation, super-resolution of words; adaptation; export to ONNX.

Names are imported on first use, since some of them need torch or MMOCR.
"""

from importlib import import_module
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from mms_ocr.apis.adaptation import adapt
    from mms_ocr.apis.exporting import export
    from mms_ocr.apis.reading import Reading, WordReader
    from mms_ocr.apis.recognizers import inferencer_config, mmocr_inferencer
    from mms_ocr.apis.segmenting import SegmentedWord, WordSegmenter
    from mms_ocr.apis.upscaling import UpscaledWord, WordUpscaler

_MODULES = {
    "Reading": "reading",
    "SegmentedWord": "segmenting",
    "UpscaledWord": "upscaling",
    "WordReader": "reading",
    "WordSegmenter": "segmenting",
    "WordUpscaler": "upscaling",
    "adapt": "adaptation",
    "export": "exporting",
    "inferencer_config": "recognizers",
    "mmocr_inferencer": "recognizers",
}

__all__ = [
    "Reading",
    "SegmentedWord",
    "UpscaledWord",
    "WordReader",
    "WordSegmenter",
    "WordUpscaler",
    "adapt",
    "export",
    "inferencer_config",
    "mmocr_inferencer",
]


def __getattr__(name: str) -> Any:
    if name in _MODULES:
        return getattr(import_module(f"mms_ocr.apis.{_MODULES[name]}"), name)
    raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
