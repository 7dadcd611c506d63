"""Encoder, pretraining and downstream models."""

from mms_ocr.models.backbones import TextViT

__all__ = ["TextViT"]
