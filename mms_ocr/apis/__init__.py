"""The ``mms-ocr`` command, the tools' programs, and reading as a Python call.

:class:`WordReader` and its like need MMOCR, and are imported when they are asked for.
"""

from importlib import import_module
from typing import Any

__all__ = ["Reading", "WordReader", "inferencer_config", "mmocr_inferencer"]


def __getattr__(name: str) -> Any:
    if name in __all__:
        return getattr(import_module("mms_ocr.apis.reading"), name)
    raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
