"""Word images to the one size that the encoder takes."""

from __future__ import annotations

import cv2
import numpy as np
import torch
from mmcv.transforms import BaseTransform
from torch.nn import functional as F

from mms_ocr.registry import TRANSFORMS

_INTERPOLATIONS = {
    "nearest": cv2.INTER_NEAREST,
    "bilinear": cv2.INTER_LINEAR,
    "bicubic": cv2.INTER_CUBIC,
}


def resize_word_image(
    image: np.ndarray,
    size: tuple[int, int],
    interpolation: str = "bicubic",
    out: np.ndarray | None = None,
) -> np.ndarray:
    """Resize without regard to the aspect ratio, and without aliasing where the image shrinks.

    OpenCV's kernels span a fixed number of source pixels, whatever the scale. So bicubic is used
    up to a shrinking of 1.5, where it comes nearest to Pillow's antialiased bicubic filter on real
    words; bilinear up to 2, where it comes nearer (at 2 it is the mean of 2 x 2 pixels); and above
    that the antialiased filter itself, as torch has it, at twice to four times the cost. The larger
    shrinking of the two axes decides. Nearest neighbour stays what it is.

    Args:
        image: uint8 array ``(H, W, 3)``.
        size: Height and width of the result.
        interpolation: ``'nearest'``, ``'bilinear'`` or ``'bicubic'``.
        out: Contiguous uint8 array ``(*size, 3)`` to write the result to.

    Returns:
        uint8 array ``(*size, 3)``; with the memory of ``out``, if given.
    """
    height, width = size
    shrinking = max(image.shape[0] / height, image.shape[1] / width)
    if shrinking <= 1.5 or interpolation == "nearest":
        kernel = _INTERPOLATIONS[interpolation]
        return cv2.resize(image, (width, height), out, interpolation=kernel)
    if shrinking <= 2:
        return cv2.resize(image, (width, height), out, interpolation=cv2.INTER_LINEAR)
    # Some transforms turn the channels of an image round by a view, which torch does not take.
    planes = torch.from_numpy(np.ascontiguousarray(image)).permute(2, 0, 1)[None]
    planes = F.interpolate(planes, size=size, mode=interpolation, antialias=True)
    resized = planes[0].permute(1, 2, 0).numpy()
    if out is None:
        return resized
    out[...] = resized
    return out


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
        if len(size) != 2 or min(size) < 1:
            raise ValueError(f"size is (height, width), both positive, got {tuple(size)}")
        if interpolation not in _INTERPOLATIONS:
            raise ValueError(
                f"unknown interpolation {interpolation!r}: choose from {', '.join(_INTERPOLATIONS)}"
            )
        self.size = (int(size[0]), int(size[1]))
        self.interpolation = interpolation

    def transform(self, results: dict, out: np.ndarray | None = None) -> dict:
        """Resize the image in ``results``, into ``out`` if given."""
        results["img"] = resize_word_image(results["img"], self.size, self.interpolation, out)
        results["img_shape"] = self.size
        return results

    def __repr__(self) -> str:
        return f"{type(self).__name__}(size={self.size}, interpolation={self.interpolation!r})"
