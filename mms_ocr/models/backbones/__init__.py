"""Encoders of word images."""

import mms_ocr.models.backbones.output_kinds  # noqa: F401  (finds models that take other outputs)
from mms_ocr.models.backbones.text_vit import TextViT

__all__ = ["TextViT"]
