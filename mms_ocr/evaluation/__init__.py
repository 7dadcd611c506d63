"""Metrics and measures."""

from mms_ocr.evaluation.characters import fit_linear_probe, read_characters
from mms_ocr.evaluation.masked_error import MaskedError

__all__ = ["MaskedError", "fit_linear_probe", "read_characters"]
