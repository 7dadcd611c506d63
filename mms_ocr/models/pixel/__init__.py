"""Images out of the encoder: cutting text out of its background and sharpening it."""

from mms_ocr.models.pixel.decoder import PixelDecoder
from mms_ocr.models.pixel.mask_losses import MaskCrossEntropy, MaskDice, MaskSquaredError
from mms_ocr.models.pixel.segmentor import TextSegmentor
from mms_ocr.models.pixel.super_resolver import (
    GradientProfileLoss,
    TextSuperResolver,
    WordPairDataPreprocessor,
)

__all__ = [
    "GradientProfileLoss",
    "MaskCrossEntropy",
    "MaskDice",
    "MaskSquaredError",
    "PixelDecoder",
    "TextSegmentor",
    "TextSuperResolver",
    "WordPairDataPreprocessor",
]
