"""Augmentation by lost resolution, sensor noise and motion blur."""

from __future__ import annotations

import math

import cv2
import numpy as np
from mmcv.transforms import BaseTransform

from mms_ocr.registry import TRANSFORMS
from mms_ocr.utils.degrading import add_noise, blur_motion


def lose_resolution(image: np.ndarray, scale: float) -> np.ndarray:
    """Shrink an image ``(H, W, 3)`` to ``scale`` of its height and width, and enlarge it again."""
    height, width = image.shape[:2]
    small = (max(1, round(width * scale)), max(1, round(height * scale)))
    shrunk = cv2.resize(image, small, interpolation=cv2.INTER_AREA)
    return cv2.resize(shrunk, (width, height), interpolation=cv2.INTER_LINEAR)


@TRANSFORMS.register_module()
class BlurWord(BaseTransform):
    """Reduce the resolution of a word image, and add noise and motion blur, each to half of them.

    ABINet and MAERec do this to a quarter of their words. Their transforms do not act as intended:
    MMOCR's PyramidRescale soon draws only the factor 0, and imgaug's augmenters draw the same
    numbers in every loader worker.

    Args:
        prob: Probability of any change.
        min_scale: Smallest share of its height and width that an image is shrunk to; the share is
            drawn uniformly on a logarithmic scale.
        noise: Standard deviation of the noise, in gray levels.
        motion: Maximum number of pixels that a point is spread over, at least 3.

    Raises:
        ValueError: A setting is out of range.
    """

    def __init__(
        self, prob: float = 0.25, min_scale: float = 0.25, noise: float = 4.5, motion: int = 7
    ) -> None:
        if not 0 <= prob <= 1:
            raise ValueError(f"prob of BlurWord is in [0, 1], got {prob}")
        if not 0 < min_scale <= 1:
            raise ValueError(f"min_scale of BlurWord is in (0, 1], got {min_scale}")
        if noise < 0 or motion < 3:
            raise ValueError(
                f"noise of BlurWord is 0 or more and motion at least 3, got {noise}, {motion}"
            )
        self.prob = prob
        self.min_scale = min_scale
        self.noise = noise
        self.motion = motion

    def transform(self, results: dict) -> dict:
        """Blur the image in ``results``; its size stays."""
        if np.random.random() >= self.prob:
            return results
        image = lose_resolution(results["img"], self.min_scale ** np.random.random())
        if np.random.random() < 0.5:
            rng = np.random.default_rng(np.random.randint(0, 2**32, 4, np.uint64))
            image = add_noise(image, rng, self.noise)
        if np.random.random() < 0.5:
            length = np.random.randint(3, self.motion + 1)
            image = blur_motion(image, length - 1, np.random.uniform(0, math.pi))
        results["img"] = image
        return results

    def __repr__(self) -> str:
        return (
            f"{type(self).__name__}(prob={self.prob}, min_scale={self.min_scale}, "
            f"noise={self.noise}, motion={self.motion})"
        )
