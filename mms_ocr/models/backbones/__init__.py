"""Encoders of word images."""

from mms_ocr.models.backbones.text_vit import TextViT

__all__ = ["TextViT"]
