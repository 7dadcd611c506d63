"""Resizing of images, without torch: what a model gets does not depend on what runs it."""

from __future__ import annotations

import math
from functools import lru_cache

import cv2
import numpy as np

#: Interpolations of :func:`resize_word_image`.
INTERPOLATIONS = {
    "nearest": cv2.INTER_NEAREST,
    "bilinear": cv2.INTER_LINEAR,
    "bicubic": cv2.INTER_CUBIC,
}
# Of torch's filters for images that shrink: half the width of the kernel, in output pixels.
_REACH = {"bilinear": 1, "bicubic": 2}
_CUBIC = -0.5  # torch's coefficient with antialiasing, as Pillow's
_MAX_BITS = 22  # of the fraction of torch's integer weights
_MAX_WEIGHT = 1 << 15
_BLOCK = 16  # output pixels that are computed by one product of matrices


def resize_word_image(
    image: np.ndarray,
    size: tuple[int, int],
    interpolation: str = "bicubic",
    out: np.ndarray | None = None,
) -> np.ndarray:
    """Resize without keeping the aspect ratio, and without aliasing if the image shrinks.

    OpenCV's kernels span a fixed number of source pixels at any scale. So bicubic is used up to a
    shrinking of 1.5 (the larger of the two axes), where it is closest to Pillow's antialiased
    filter on real words; bilinear up to 2, where it is closer; and above that
    :func:`resize_antialiased`, at several times the cost. Nearest neighbor is used at every scale.

    Args:
        image: uint8 array ``(H, W, 3)``.
        size: Height and width of the result.
        interpolation: ``'nearest'``, ``'bilinear'`` or ``'bicubic'``.
        out: Contiguous uint8 array ``(*size, 3)`` to write the result to.
    """
    height, width = size
    shrinking = max(image.shape[0] / height, image.shape[1] / width)
    if shrinking <= 1.5 or interpolation == "nearest":
        kernel = INTERPOLATIONS[interpolation]
        return cv2.resize(image, (width, height), out, interpolation=kernel)
    if shrinking <= 2:
        return cv2.resize(image, (width, height), out, interpolation=cv2.INTER_LINEAR)
    resized = resize_antialiased(image, size, interpolation)
    if out is None:
        return resized
    out[...] = resized
    return out


def resize_antialiased(
    image: np.ndarray, size: tuple[int, int], interpolation: str = "bicubic"
) -> np.ndarray:
    """Resize uint8 ``(H, W, 3)`` with kernels that widen where the image shrinks.

    The result is that of ``torch.nn.functional.interpolate(antialias=True)`` on uint8 images, level
    by level: weights are integers of 16 bits, and levels are rounded after each axis, the width
    first.
    """
    if image.shape[1] != size[1]:
        across = cv2.transpose(np.ascontiguousarray(image))
        image = cv2.transpose(_resample_rows(across, size[1], interpolation))
    if image.shape[0] != size[0]:
        image = _resample_rows(image, size[0], interpolation)
    return image


def _resample_rows(image: np.ndarray, length: int, interpolation: str) -> np.ndarray:
    """Resample the rows of a uint8 image ``(N, M, C)`` to ``(length, M, C)``."""
    rows = image.reshape(len(image), -1)
    levels = np.empty((length, rows.shape[1]))
    for outputs, inputs, weights in integer_weights(len(image), length, interpolation):
        np.matmul(weights, rows[inputs].astype(np.float64), out=levels[outputs])
    levels += 0.5
    np.clip(levels, 0, 255, out=levels)
    return levels.astype(np.uint8).reshape(length, *image.shape[1:])


def kernel_weights(
    source: int, length: int, interpolation: str, dtype: type[np.floating] = np.float64
) -> tuple[np.ndarray, np.ndarray]:
    """Compute the source pixels of each output pixel, and their weights, ``(length, taps)``.

    These are torch's with ``antialias=True, align_corners=False``, before rounding: it computes
    them in float64 for uint8 and in float32 for float32. Taps that an output pixel does not have
    are repeated pixels of weight 0.
    """
    scale, half = dtype(source) / dtype(length), dtype(0.5)
    widening = max(scale, dtype(1))
    reach = _REACH[interpolation] * widening
    centers = scale * (np.arange(length, dtype=dtype)[:, None] + half)
    first = np.maximum((centers - reach + half).astype(int), 0)
    end = np.minimum((centers + reach + half).astype(int), source)
    taps = first + np.arange(int((end - first).max()))
    offsets = np.abs((taps.astype(dtype) - centers + half) * (dtype(1) / widening))
    kernel = np.clip(1 - offsets, 0, None) if interpolation == "bilinear" else _cubic(offsets)
    weights = np.where(taps < end, kernel, dtype(0))
    return np.minimum(taps, source - 1), weights / weights.sum(axis=1, keepdims=True)


@lru_cache(maxsize=256)
def integer_weights(
    source: int, length: int, interpolation: str
) -> list[tuple[slice, slice, np.ndarray]]:
    """Round weights to the fractions that torch uses for uint8, which float64 sums exactly.

    The weights are in blocks: the output pixels, the source pixels that these need, and the weights
    of the one in the other.
    """
    taps, weights = kernel_weights(source, length, interpolation)
    largest = float(weights.max())
    bits = 0
    while bits < _MAX_BITS and math.floor(0.5 + largest * (1 << (bits + 1))) < _MAX_WEIGHT:
        bits += 1
    scaled = weights * (1 << bits)
    rounded = np.trunc(scaled + np.copysign(0.5, scaled)) / (1 << bits)
    blocks = []
    for start in range(0, length, _BLOCK):
        own = taps[start : start + _BLOCK]
        low, high = int(own.min()), int(own.max()) + 1
        block = np.zeros((len(own), high - low))
        np.add.at(block, (np.arange(len(own))[:, None], own - low), rounded[start : start + _BLOCK])
        blocks.append((slice(start, start + len(own)), slice(low, high), block))
    return blocks


def _cubic(offsets: np.ndarray) -> np.ndarray:
    near = ((_CUBIC + 2) * offsets - (_CUBIC + 3)) * offsets * offsets + 1
    far = (((offsets - 5) * offsets + 8) * offsets - 4) * _CUBIC
    return np.where(offsets < 1, near, np.where(offsets < 2, far, 0.0))


def resize_plane(values: np.ndarray, size: tuple[int, int]) -> np.ndarray:
    """Resize float values ``(H, W)`` bilinearly, antialiased where they shrink, to float32."""
    for axis in (1, 0):
        if values.shape[axis] != size[axis]:
            taps, weights = kernel_weights(values.shape[axis], size[axis], "bilinear", np.float32)
            matrix = np.zeros((size[axis], values.shape[axis]), np.float32)
            np.add.at(matrix, (np.arange(size[axis])[:, None], taps), weights)
            values = matrix @ values if axis == 0 else values @ matrix.T
    return values.astype(np.float32, copy=False)
