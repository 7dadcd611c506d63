"""Losing resolution, sensor noise and motion blur."""

from __future__ import annotations

import math

import cv2
import numpy as np
from mmcv.transforms import BaseTransform

from mms_ocr.registry import TRANSFORMS


def lose_resolution(image: np.ndarray, scale: float) -> np.ndarray:
    """Shrink an image ``(H, W, 3)`` to ``scale`` of its height and width, and enlarge it again."""
    height, width = image.shape[:2]
    small = (max(1, round(width * scale)), max(1, round(height * scale)))
    shrunk = cv2.resize(image, small, interpolation=cv2.INTER_AREA)
    return cv2.resize(shrunk, (width, height), interpolation=cv2.INTER_LINEAR)


def add_noise(image: np.ndarray, sigma: float) -> np.ndarray:
    """Add Gaussian noise of standard deviation ``sigma`` to every value of a uint8 image."""
    noisy = image + np.random.normal(scale=sigma, size=image.shape)
    return np.clip(np.rint(noisy), 0, 255).astype(np.uint8)


def motion_kernel(length: int, degrees: float) -> np.ndarray:
    """What a point becomes that moves ``length`` pixels at this angle: ``(K, K)``, its sum is 1."""
    reach = (length - 1) / 2
    size = 2 * math.ceil(reach) + 1
    angle, center = math.radians(degrees), size // 2
    along = np.linspace(-reach, reach, 8 * length)
    kernel = np.zeros((size + 2, size + 2))
    x, y = center + 1 + along * math.cos(angle), center + 1 + along * math.sin(angle)
    left, top = np.floor(x).astype(int), np.floor(y).astype(int)
    # Each place of the point is shared among the four pixels around it.
    for right in (0, 1):
        for down in (0, 1):
            weight = np.abs(1 - right - (x - left)) * np.abs(1 - down - (y - top))
            np.add.at(kernel, (top + down, left + right), weight)
    kernel = kernel[1:-1, 1:-1]
    return (kernel / kernel.sum()).astype(np.float32)


@TRANSFORMS.register_module()
class BlurWord(BaseTransform):
    """Take resolution from a word image, and then, each in half of the cases, add noise and motion.

    This is what ABINet and MAERec do to a quarter of their words. The transforms that could be put
    together to it do not do what they seem to: MMOCR's PyramidRescale, which draws its factor below
    its last one, soon draws nothing but 0, and imgaug's augmenters draw the same numbers in every
    loader worker.

    Args:
        prob: How often anything is done at all.
        min_scale: Smallest share of its height and width that an image is shrunk to; the share is
            drawn evenly on a logarithmic scale.
        noise: Standard deviation of the noise, in gray levels.
        motion: Longest way of motion in pixels; at least 3.

    Raises:
        ValueError: A setting is out of range.
    """

    def __init__(
        self, prob: float = 0.25, min_scale: float = 0.25, noise: float = 4.5, motion: int = 7
    ) -> None:
        if not 0 <= prob <= 1:
            raise ValueError(f"prob of BlurWord must lie in [0, 1], got {prob}")
        if not 0 < min_scale <= 1:
            raise ValueError(f"min_scale of BlurWord must lie in (0, 1], got {min_scale}")
        if noise < 0 or motion < 3:
            raise ValueError(
                f"noise of BlurWord must be 0 or more and motion at least 3, got {noise}, {motion}"
            )
        self.prob = prob
        self.min_scale = min_scale
        self.noise = noise
        self.motion = motion

    def transform(self, results: dict) -> dict:
        """Blur the image in ``results``; its size stays."""
        if np.random.random() >= self.prob:
            return results
        scale = self.min_scale ** np.random.random()
        image = lose_resolution(results["img"], scale)
        if np.random.random() < 0.5:
            image = add_noise(image, self.noise)
        if np.random.random() < 0.5:
            length = np.random.randint(3, self.motion + 1)
            kernel = motion_kernel(length, np.random.uniform(0, 180))
            image = cv2.filter2D(image, -1, kernel, borderType=cv2.BORDER_REPLICATE)
        results["img"] = image
        return results

    def __repr__(self) -> str:
        return (
            f"{type(self).__name__}(prob={self.prob}, min_scale={self.min_scale}, "
            f"noise={self.noise}, motion={self.motion})"
        )
