"""Transforms of word images."""

from mms_ocr.datasets.transforms.degrade import Degradation, DegradeWord, degrade_word
from mms_ocr.datasets.transforms.pack import PackWordImage
from mms_ocr.datasets.transforms.resize import ResizeWordImage, resize_word_image
from mms_ocr.datasets.transforms.word_pair import PackWordPair, ResizeWordPair

__all__ = [
    "Degradation",
    "DegradeWord",
    "PackWordImage",
    "PackWordPair",
    "ResizeWordImage",
    "ResizeWordPair",
    "degrade_word",
    "resize_word_image",
]
