"""Encoder, pretraining and downstream models."""

from mms_ocr.models.backbones import TextViT
from mms_ocr.models.pixel import PixelDecoder
from mms_ocr.models.pretraining import (
    MMS,
    CrossAttentionDecoder,
    MaskedPixelHead,
    MaskedTextDataPreprocessor,
    SelfAttentionDecoder,
    ViewContrast,
)
from mms_ocr.models.weights import PretrainedRecognizer, PretrainedTextViT

__all__ = [
    "MMS",
    "CrossAttentionDecoder",
    "MaskedPixelHead",
    "MaskedTextDataPreprocessor",
    "PixelDecoder",
    "PretrainedRecognizer",
    "PretrainedTextViT",
    "SelfAttentionDecoder",
    "TextViT",
    "ViewContrast",
]
