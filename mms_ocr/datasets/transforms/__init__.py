"""Transforms of word images."""

from mms_ocr.datasets.transforms.degrade import BlurWord, Degradation, DegradeWord, degrade_word
from mms_ocr.datasets.transforms.pack import PackWordImage, PackWordPair
from mms_ocr.datasets.transforms.resize import ResizeWordImage, ResizeWordPair, resize_word_image
from mms_ocr.datasets.transforms.skip_long_labels import SkipLongLabels
from mms_ocr.datasets.transforms.warp_word import WarpWord, WarpWordMask, warp_mask, warp_word
from mms_ocr.datasets.transforms.word_mask import (
    AsSegMap,
    PackWordCoverage,
    PackWordMask,
    mask_coverage,
)

__all__ = [
    "AsSegMap",
    "BlurWord",
    "Degradation",
    "DegradeWord",
    "PackWordCoverage",
    "PackWordImage",
    "PackWordMask",
    "PackWordPair",
    "ResizeWordImage",
    "ResizeWordPair",
    "SkipLongLabels",
    "WarpWord",
    "WarpWordMask",
    "degrade_word",
    "mask_coverage",
    "resize_word_image",
    "warp_mask",
    "warp_word",
]
