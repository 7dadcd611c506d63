"""Encoder, pretraining and downstream models."""

from mms_ocr.models.backbones import TextViT
from mms_ocr.models.backbones.attention_maps import attention_maps, attention_rollout
from mms_ocr.models.pixel.decoder import PixelDecoder
from mms_ocr.models.pixel.mask_losses import MaskCrossEntropy, MaskDice, MaskSquaredError
from mms_ocr.models.pixel.segmentor import TextSegmentor
from mms_ocr.models.pixel.super_resolver import (
    EncoderFeatureLoss,
    GradientProfileLoss,
    TextSuperResolver,
    WordPairDataPreprocessor,
)
from mms_ocr.models.selfsup.cross_attention_decoder import CrossAttentionDecoder
from mms_ocr.models.selfsup.data_preprocessor import MaskedTextDataPreprocessor
from mms_ocr.models.selfsup.head import MaskedPixelHead
from mms_ocr.models.selfsup.mms import MMS
from mms_ocr.models.selfsup.self_attention_decoder import SelfAttentionDecoder
from mms_ocr.models.selfsup.view_contrast import ViewContrast
from mms_ocr.models.weights import PretrainedModel, PretrainedRecognizer, PretrainedTextViT

__all__ = [
    "MMS",
    "CrossAttentionDecoder",
    "EncoderFeatureLoss",
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
    "attention_maps",
    "attention_rollout",
]
