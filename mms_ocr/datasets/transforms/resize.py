"""Word images to the one size that the encoder takes."""

from __future__ import annotations

import cv2
import numpy as np
from mmcv.transforms import BaseTransform

from mms_ocr.registry import TRANSFORMS

__all__ = ["ResizeWordImage", "resize_word_image"]

_INTERPOLATIONS = {
    "nearest": cv2.INTER_NEAREST,
    "bilinear": cv2.INTER_LINEAR,
    "bicubic": cv2.INTER_CUBIC,
    "area": cv2.INTER_AREA,
    "lanczos": cv2.INTER_LANCZOS4,
}


def resize_word_image(
    image: np.ndarray, size: tuple[int, int], interpolation: str = "bicubic"
) -> np.ndarray:
    """Resize without regard to the aspect ratio, averaging where the image shrinks much.

    OpenCV's kernels span a fixed number of source pixels and miss what lies between them when an
    image shrinks by more than 2. An axis that does is first brought to its target by the mean over
    areas.

    Args:
        image: uint8 array ``(H, W, C)`` or ``(H, W)``.
        size: Height and width of the result.
        interpolation: ``'nearest'``, ``'bilinear'``, ``'bicubic'``, ``'area'`` or ``'lanczos'``.
    """
    height, width = size
    source_height, source_width = image.shape[:2]
    if interpolation != "nearest" and (source_height > 2 * height or source_width > 2 * width):
        area_height = height if source_height > 2 * height else source_height
        area_width = width if source_width > 2 * width else source_width
        image = cv2.resize(image, (area_width, area_height), interpolation=cv2.INTER_AREA)
    if image.shape[:2] == (height, width):
        return image
    return cv2.resize(image, (width, height), interpolation=_INTERPOLATIONS[interpolation])


@TRANSFORMS.register_module()
class ResizeWordImage(BaseTransform):
    """Resize ``img`` to one size without regard to its aspect ratio.

    Sets ``img`` and ``img_shape``. Bicubic is what the encoder's siblings use (MAERec).

    Args:
        size: Height and width of the result.
        interpolation: See :func:`resize_word_image`.

    Raises:
        ValueError: ``size`` is no pair of positive numbers, or the interpolation is unknown.
    """

    def __init__(self, size: tuple[int, int] = (32, 128), interpolation: str = "bicubic") -> None:
        height, width = size
        if height < 1 or width < 1:
            raise ValueError(f"size is (height, width), both positive, got {tuple(size)}")
        if interpolation not in _INTERPOLATIONS:
            raise ValueError(
                f"unknown interpolation {interpolation!r}: choose from {', '.join(_INTERPOLATIONS)}"
            )
        self.size = (int(height), int(width))
        self.interpolation = interpolation

    def transform(self, results: dict) -> dict:
        """Resize the image in ``results``."""
        results["img"] = resize_word_image(results["img"], self.size, self.interpolation)
        results["img_shape"] = self.size
        return results

    def __repr__(self) -> str:
        return f"{type(self).__name__}(size={self.size}, interpolation={self.interpolation!r})"
