"""Encoders of word images."""

import mms_ocr.models.backbones.outputs  # noqa: F401  (finds models that take other outputs)
from mms_ocr.models.backbones.text_vit import TextViT

__all__ = ["TextViT"]
