"""Encoder of word images."""

import mms_ocr.models.backbones.output_kinds  # noqa: F401  (registers a hook)
from mms_ocr.models.backbones.text_vit import TextViT

__all__ = ["TextViT"]
