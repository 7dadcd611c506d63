"""Metrics."""

from mms_ocr.evaluation.masked_error import MaskedError

__all__ = ["MaskedError"]
