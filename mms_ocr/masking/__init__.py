"""Mask generators, pure tensor code."""

from mms_ocr.masking.base import MaskGenerator, MaskViews, count_removed, remove_first
from mms_ocr.masking.blockwise import BlockwiseMask
from mms_ocr.masking.multi import MultiMask
from mms_ocr.masking.random_patch import RandomPatchMask
from mms_ocr.masking.span import SpanMask

__all__ = [
    "BlockwiseMask",
    "MaskGenerator",
    "MaskViews",
    "MultiMask",
    "RandomPatchMask",
    "SpanMask",
    "count_removed",
    "remove_first",
]
