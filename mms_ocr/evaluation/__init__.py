"""Metrics."""

from mms_ocr.evaluation.characters import fit_linear_probe, read_characters
from mms_ocr.evaluation.foreground import (
    ForegroundMetric,
    count_foreground,
    foreground_scores,
)
from mms_ocr.evaluation.masked_error import MaskedError
from mms_ocr.evaluation.restored_images import PSNR, SSIM

__all__ = [
    "PSNR",
    "SSIM",
    "ForegroundMetric",
    "MaskedError",
    "count_foreground",
    "fit_linear_probe",
    "foreground_scores",
    "read_characters",
]
