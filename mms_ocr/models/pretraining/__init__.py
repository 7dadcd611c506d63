"""Masked pretraining: the algorithm, its decoders, head, contrastive term and preprocessor."""

from mms_ocr.models.pretraining.cross_attention_decoder import CrossAttentionDecoder
from mms_ocr.models.pretraining.data_preprocessor import MaskedTextDataPreprocessor
from mms_ocr.models.pretraining.head import MaskedPixelHead
from mms_ocr.models.pretraining.mms import MMS
from mms_ocr.models.pretraining.self_attention_decoder import SelfAttentionDecoder
from mms_ocr.models.pretraining.view_contrast import ViewContrast

__all__ = [
    "MMS",
    "CrossAttentionDecoder",
    "MaskedPixelHead",
    "MaskedTextDataPreprocessor",
    "SelfAttentionDecoder",
    "ViewContrast",
]
