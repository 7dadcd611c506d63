"""Resizing word images to the one size that the encoder takes."""

from __future__ import annotations

import numpy as np

from mms_ocr.datasets.transforms.base import WordTransform
from mms_ocr.registry import TRANSFORMS
from mms_ocr.utils.resizing import INTERPOLATIONS, resize_word_image


def check_scale(size: tuple[int, int], scale: int) -> tuple[int, int]:
    """Return a size as integers; ValueError if ``scale`` does not divide it."""
    if scale < 1 or min(size) < scale or size[0] % scale or size[1] % scale:
        raise ValueError(f"scale {scale} does not divide the size {tuple(size)} of the words")
    return int(size[0]), int(size[1])


@TRANSFORMS.register_module()
class ResizeWordImage(WordTransform):
    """Resize ``img`` to one size without keeping its aspect ratio; sets ``img_shape`` as well.

    Args:
        size: Height and width of the result.
        interpolation: See :func:`resize_word_image`. MAERec uses bicubic.

    Raises:
        ValueError: ``size`` is no pair of positive numbers, or the interpolation is unknown.
    """

    def __init__(self, size: tuple[int, int] = (32, 128), interpolation: str = "bicubic") -> None:
        if len(size) != 2 or min(size) < 1:
            raise ValueError(f"size is (height, width), both positive, got {tuple(size)}")
        if interpolation not in INTERPOLATIONS:
            raise ValueError(
                f"unknown interpolation {interpolation!r}: choose from {', '.join(INTERPOLATIONS)}"
            )
        self.size = (int(size[0]), int(size[1]))
        self.interpolation = interpolation

    def transform(self, results: dict, out: np.ndarray | None = None) -> dict:
        """Resize the image in ``results``, into ``out`` if given."""
        results["img"] = resize_word_image(results["img"], self.size, self.interpolation, out)
        results["img_shape"] = self.size
        return results


@TRANSFORMS.register_module()
class ResizeWordPair(WordTransform):
    """Resize ``gt`` to one size and ``img`` to a fraction of it; sets ``img_shape`` as well.

    Args:
        size: Height and width of ``gt``, which ``scale`` divides.
        scale: How many times smaller ``img`` is.

    Raises:
        ValueError: ``scale`` does not divide ``size``.
    """

    def __init__(self, size: tuple[int, int] = (32, 128), scale: int = 2) -> None:
        self.size = check_scale(size, scale)
        self.scale = scale

    def transform(self, results: dict) -> dict:
        """Resize both images of ``results``."""
        small = (self.size[0] // self.scale, self.size[1] // self.scale)
        results["gt"] = resize_word_image(results["gt"], self.size)
        results["img"] = resize_word_image(results["img"], small)
        results["img_shape"] = small
        return results
