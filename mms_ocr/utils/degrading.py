"""Noise, motion blur and JPEG compression of images, as cameras and files add them.

Images are uint8 ``(H, W, 3)``. Values are computed with integers, or rounded in one way, so that
every machine gives the same image.
"""

from __future__ import annotations

import math

import cv2
import numpy as np


def round_pixels(image: np.ndarray) -> np.ndarray:
    """Round float values to uint8, clipped to [0, 255]."""
    return np.clip(image + np.float32(0.5), 0, 255).astype(np.uint8)


def add_noise(
    image: np.ndarray, rng: np.random.Generator, sigma: float, colored: bool = True
) -> np.ndarray:
    """Add Gaussian noise of ``sigma`` gray levels to uint8 ``(H, W, 3)``, ``colored`` or gray."""
    shape = image.shape if colored else (*image.shape[:2], 1)
    return round_pixels(image + rng.standard_normal(shape, np.float32) * np.float32(sigma))


def blur_motion(image: np.ndarray, length: float, angle: float) -> np.ndarray:
    """Average uint8 ``(H, W, 3)`` at equal steps along a line; outside, its edge is repeated.

    The line has a length in pixels, of which up to one changes nothing, and an angle in radians.
    """
    steps = math.ceil(length) + 1
    if steps < 3:
        return image
    reach = math.ceil(length / 2)
    height, width = image.shape[:2]
    padded = np.pad(image, ((reach, reach), (reach, reach), (0, 0)), "edge")
    total = np.zeros(image.shape, np.uint16)
    for step in range(steps):
        along = length * (step / (steps - 1) - 0.5)
        x, y = reach + round(along * math.cos(angle)), reach + round(along * math.sin(angle))
        total += padded[y : y + height, x : x + width]
    return ((total + steps // 2) // steps).astype(np.uint8)


def compress_jpeg(image: np.ndarray, quality: int) -> np.ndarray:
    """Compress an image as JPEG of a quality from 1 to 100, and decode it again."""
    _, data = cv2.imencode(".jpg", image, [cv2.IMWRITE_JPEG_QUALITY, quality])
    return np.asarray(cv2.imdecode(data, cv2.IMREAD_COLOR))
