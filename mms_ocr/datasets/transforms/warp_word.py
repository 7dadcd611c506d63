"""Rotating, shearing and tilting a word image, and its mask, without losing any of it."""

from __future__ import annotations

import math

import cv2
import numpy as np

from mms_ocr.datasets.transforms.base import WordTransform
from mms_ocr.registry import TRANSFORMS

# Top left, top right, bottom right, bottom left of an image of unit size.
UNIT_CORNERS = np.array([[0, 0], [1, 0], [1, 1], [0, 1]], dtype=np.float64)
_IGNORED = 255


def turned_corners(shape: tuple[int, int], degrees: float, shear: float = 0.0) -> np.ndarray:
    """Compute the corners ``(4, 2)`` of an image ``(height, width)``, sheared and then rotated.

    Angles are in degrees: of the rotation, clockwise, and of the vertical edges after shearing.
    """
    height, width = shape
    angle, lean = math.radians(degrees), math.tan(math.radians(shear))
    turn = np.array([[math.cos(angle), -math.sin(angle)], [math.sin(angle), math.cos(angle)]])
    corners = (UNIT_CORNERS - 0.5) * (width, height)
    return corners @ (turn @ np.array([[1, lean], [0, 1]])).T


def fit_corners(
    corners: np.ndarray, scale: float = 1.0, place: tuple[float, float] = (0.5, 0.5)
) -> np.ndarray:
    """Move corners ``(4, 2)`` of any size so that they fill ``scale`` of an image, in [0, 1].

    ``place`` is the position in the remaining room: 0 is left or top, 1 right or bottom.
    """
    low, high = corners.min(axis=0), corners.max(axis=0)
    return (corners - low) / (high - low) * scale + (1 - scale) * np.asarray(place)


def warp_word(image: np.ndarray, corners: np.ndarray) -> np.ndarray:
    """Move the corners of an image, uint8 ``(H, W, 3)``; its edge is repeated outside.

    ``corners`` are their new positions ``(4, 2)``, x and y in [0, 1], as in :data:`UNIT_CORNERS`.
    """
    return _warp(image, corners, cv2.INTER_LINEAR, cv2.BORDER_REPLICATE)


def warp_mask(mask: np.ndarray, corners: np.ndarray) -> np.ndarray:
    """Move labels uint8 ``(H, W)`` as :func:`warp_word` moves an image.

    A pixel gets the label of the nearest one. Outside, the image repeats its edge, which may be
    text or not: these pixels become 255, which is ignored.
    """
    return _warp(mask, corners, cv2.INTER_NEAREST, cv2.BORDER_CONSTANT)


def _warp(image: np.ndarray, corners: np.ndarray, kernel: int, border: int) -> np.ndarray:
    height, width = image.shape[:2]
    # Corners are edges of the outer pixels; OpenCV counts from pixel centers.
    before = (UNIT_CORNERS * (width, height) - 0.5).astype(np.float32)
    after = (corners * (width, height) - 0.5).astype(np.float32)
    matrix = cv2.getPerspectiveTransform(before, after)
    return cv2.warpPerspective(
        image, matrix, (width, height), flags=kernel, borderMode=border, borderValue=_IGNORED
    )


@TRANSFORMS.register_module()
class WarpWord(WordTransform):
    """Rotate a word, or shear, rotate and shrink it, or tilt it, with equal probability.

    These are the geometric augmentations of ABINet and MAERec. torchvision's, as MMOCR's configs
    use them, rotate the image within its frame and move parts of the word out of it; here the frame
    grows with the image, and the label stays true. Angles are those of the image before it was
    resized (``ori_shape``). A ``mask`` moves with the image.

    Args:
        degrees: Maximum angle of rotation, to either side.
        shear: Maximum angle of the vertical edges.
        min_scale: Smallest share of the frame that a sheared word fills.
        distortion: How far tilting moves corners inwards, at most, of half the width and height.
        prob: Probability of any change.

    Raises:
        ValueError: A setting is out of range.
    """

    def __init__(
        self,
        degrees: float = 15.0,
        shear: float = 45.0,
        min_scale: float = 0.5,
        distortion: float = 0.5,
        *,
        prob: float = 1.0,
    ) -> None:
        self.degrees = degrees
        self.shear = shear
        self.min_scale = min_scale
        self.distortion = distortion
        self.prob = prob
        limits = dict(degrees=180, shear=80, min_scale=1, distortion=0.99, prob=1)
        for name, most in limits.items():
            value = getattr(self, name)
            if not 0 <= value <= most:
                raise ValueError(f"{name} of {type(self).__name__} is in [0, {most}], got {value}")

    def transform(self, results: dict) -> dict:
        """Warp image and mask in ``results``; their size stays, and ``char_boxes`` are dropped.

        Raises:
            ValueError: Image and mask differ in size.
        """
        image, mask = results["img"], results.get("mask")
        if mask is not None and image.shape[:2] != mask.shape:
            raise ValueError(
                f"{results.get('img_path', 'an image')}: the image is {image.shape[:2]} and the "
                f"mask {mask.shape}; put {type(self).__name__} before the image is resized"
            )
        if np.random.random() >= self.prob:
            return results
        corners = self.draw_corners(results.get("ori_shape", image.shape)[:2])
        results["img"] = warp_word(image, corners)
        if mask is not None:
            results["mask"] = warp_mask(mask, corners)
        results.pop("char_boxes", None)  # the characters have moved
        return results

    def draw_corners(self, shape: tuple[int, int]) -> np.ndarray:
        """Draw new corners ``(4, 2)`` of an image of this height and width."""
        kind = np.random.randint(3)
        angle = np.random.uniform(-self.degrees, self.degrees)
        if kind == 0:
            return fit_corners(turned_corners(shape, angle))
        if kind == 1:
            lean = np.random.uniform(-self.shear, self.shear)
            scale = np.random.uniform(self.min_scale, 1)
            place = np.random.uniform(size=2)
            return fit_corners(turned_corners(shape, angle, lean), scale, tuple(place))
        inwards = np.random.uniform(0, self.distortion / 2, size=(4, 2))
        return UNIT_CORNERS + inwards * (1 - 2 * UNIT_CORNERS)


@TRANSFORMS.register_module()
class WarpWordMask(WarpWord):
    """:class:`WarpWord` with weaker defaults, for half of the images, for pairs with masks."""

    def __init__(
        self,
        prob: float = 0.5,
        degrees: float = 15.0,
        shear: float = 30.0,
        min_scale: float = 0.7,
        distortion: float = 0.3,
    ) -> None:
        super().__init__(degrees, shear, min_scale, distortion, prob=prob)
