"""Transforms of word images."""

from mms_ocr.datasets.transforms.pack import PackWordImage
from mms_ocr.datasets.transforms.resize import ResizeWordImage, resize_word_image

__all__ = ["PackWordImage", "ResizeWordImage", "resize_word_image"]
