"""Encoder, pretraining and downstream models."""

from mms_ocr.models.backbones import TextViT
from mms_ocr.models.pixel import (
    GradientProfileLoss,
    MaskCrossEntropy,
    MaskDice,
    MaskSquaredError,
    PixelDecoder,
    TextSegmentor,
    TextSuperResolver,
    WordPairDataPreprocessor,
)
from mms_ocr.models.selfsup import (
    MMS,
    CrossAttentionDecoder,
    MaskedPixelHead,
    MaskedTextDataPreprocessor,
    SelfAttentionDecoder,
    ViewContrast,
)
from mms_ocr.models.weights import PretrainedModel, PretrainedRecognizer, PretrainedTextViT

__all__ = [
    "MMS",
    "CrossAttentionDecoder",
    "GradientProfileLoss",
    "MaskCrossEntropy",
    "MaskDice",
    "MaskSquaredError",
    "MaskedPixelHead",
    "MaskedTextDataPreprocessor",
    "PixelDecoder",
    "PretrainedModel",
    "PretrainedRecognizer",
    "PretrainedTextViT",
    "SelfAttentionDecoder",
    "TextSegmentor",
    "TextSuperResolver",
    "TextViT",
    "ViewContrast",
    "WordPairDataPreprocessor",
]
