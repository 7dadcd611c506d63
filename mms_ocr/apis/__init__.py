"""The ``mms-ocr`` command, the tools' programs, and reading, cutting out and sharpening in Python.

The names here are imported when they are asked for: some of them need MMOCR, and the command shall
start without any of them.
"""

from importlib import import_module
from typing import Any

_MODULES = {
    "Reading": "reading",
    "SegmentedWord": "segmenting",
    "UpscaledWord": "upscaling",
    "WordReader": "reading",
    "WordSegmenter": "segmenting",
    "WordUpscaler": "upscaling",
    "inferencer_config": "reading",
    "mmocr_inferencer": "reading",
}

__all__ = [
    "Reading",
    "SegmentedWord",
    "UpscaledWord",
    "WordReader",
    "WordSegmenter",
    "WordUpscaler",
    "inferencer_config",
    "mmocr_inferencer",
]


def __getattr__(name: str) -> Any:
    if name in _MODULES:
        return getattr(import_module(f"mms_ocr.apis.{_MODULES[name]}"), name)
    raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
