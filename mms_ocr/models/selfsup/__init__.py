"""Masked pretraining: the algorithm, its decoders, head, contrastive term and preprocessor."""

from mms_ocr.models.selfsup.cross_attention_decoder import CrossAttentionDecoder
from mms_ocr.models.selfsup.data_preprocessor import MaskedTextDataPreprocessor
from mms_ocr.models.selfsup.head import MaskedPixelHead
from mms_ocr.models.selfsup.mms import MMS
from mms_ocr.models.selfsup.self_attention_decoder import SelfAttentionDecoder
from mms_ocr.models.selfsup.view_contrast import ViewContrast

__all__ = [
    "MMS",
    "CrossAttentionDecoder",
    "MaskedPixelHead",
    "MaskedTextDataPreprocessor",
    "SelfAttentionDecoder",
    "ViewContrast",
]
