"""Turning, shearing and tilting a word image without losing any of it."""

from __future__ import annotations

import math

import cv2
import numpy as np
from mmcv.transforms import BaseTransform

from mms_ocr.registry import TRANSFORMS

# Top left, top right, bottom right, bottom left of a picture of one unit.
UNIT_CORNERS = np.array([[0, 0], [1, 0], [1, 1], [0, 1]], dtype=np.float64)


def turned_corners(
    shape: tuple[int, int], degrees: float, shear: tuple[float, float] = (0.0, 0.0)
) -> np.ndarray:
    """Corners ``(4, 2)`` of a picture, sheared and then turned.

    Args:
        shape: Height and width of the picture.
        degrees: Angle to turn it by, clockwise.
        shear: Angles by which its vertical and its horizontal edges lean, in degrees.
    """
    height, width = shape
    angle, (lean_x, lean_y) = math.radians(degrees), (math.tan(math.radians(a)) for a in shear)
    turn = np.array([[math.cos(angle), -math.sin(angle)], [math.sin(angle), math.cos(angle)]])
    corners = (UNIT_CORNERS - 0.5) * (width, height)
    return corners @ (turn @ np.array([[1, lean_x], [lean_y, 1]])).T


def fit_corners(
    corners: np.ndarray, scale: float = 1.0, place: tuple[float, float] = (0.5, 0.5)
) -> np.ndarray:
    """Corners stretched to fill a share of a picture of one unit.

    Args:
        corners: Of any size, ``(4, 2)``.
        scale: Share of the width and height of the picture that they fill.
        place: Where in the room that is left: 0 is left or top, 1 right or bottom.

    Returns:
        Corners between 0 and 1, ``(4, 2)``.
    """
    low, high = corners.min(axis=0), corners.max(axis=0)
    return (corners - low) / (high - low) * scale + (1 - scale) * np.asarray(place)


def warp_word(image: np.ndarray, corners: np.ndarray) -> np.ndarray:
    """Move the corners of an image; what comes in from outside continues its edge.

    Args:
        image: uint8 ``(H, W, 3)``.
        corners: New places of the corners, ``(4, 2)`` as x and y between 0 and 1: top left, top
            right, bottom right, bottom left.

    Returns:
        Image of the same size.
    """
    height, width = image.shape[:2]
    # Edges of the outer pixels; OpenCV counts from their centers.
    before = (UNIT_CORNERS * (width, height) - 0.5).astype(np.float32)
    after = (corners * (width, height) - 0.5).astype(np.float32)
    matrix = cv2.getPerspectiveTransform(before, after)
    return cv2.warpPerspective(
        image, matrix, (width, height), flags=cv2.INTER_LINEAR, borderMode=cv2.BORDER_REPLICATE
    )


@TRANSFORMS.register_module()
class WarpWord(BaseTransform):
    """Turn a word, or shear, turn and shrink it, or tilt it: one of the three, equally often.

    These are the geometric augmentations of ABINet and MAERec. torchvision's, as MMOCR's configs
    use them, turn the picture within its frame and push parts of the word out of it; here the frame
    grows with the picture, as the box around a slanted word does, and the label stays true. Angles
    are those of the image as it was before it was resized (``ori_shape``).

    Args:
        degrees: Largest angle to turn by, to either side.
        shear: Largest angle by which vertical edges lean.
        min_scale: Smallest share of the frame that a sheared word fills.
        distortion: How far tilting moves corners inwards, at most, of half the width and height.
        prob: How often a word is warped at all.

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
        for name, value, most in (
            ("degrees", degrees, 180),
            ("shear", shear, 80),
            ("min_scale", min_scale, 1),
            ("distortion", distortion, 0.99),
            ("prob", prob, 1),
        ):
            if not 0 <= value <= most:
                raise ValueError(f"{name} of WarpWord must lie in [0, {most}], got {value}")
        self.degrees = degrees
        self.shear = shear
        self.min_scale = min_scale
        self.distortion = distortion
        self.prob = prob

    def transform(self, results: dict) -> dict:
        """Warp the image in ``results``; its size stays, and ``char_boxes`` are dropped."""
        if np.random.random() >= self.prob:
            return results
        shape = results.get("ori_shape", results["img"].shape[:2])
        results["img"] = warp_word(results["img"], self.draw_corners(shape[:2]))
        results.pop("char_boxes", None)  # the characters stand elsewhere now
        return results

    def draw_corners(self, shape: tuple[int, int]) -> np.ndarray:
        """New places of the corners ``(4, 2)`` of an image of this height and width."""
        kind = np.random.randint(3)
        angle = np.random.uniform(-self.degrees, self.degrees)
        if kind == 0:
            return fit_corners(turned_corners(shape, angle))
        if kind == 1:
            lean = np.random.uniform(-self.shear, self.shear)
            scale = np.random.uniform(self.min_scale, 1)
            place = np.random.uniform(size=2)
            return fit_corners(turned_corners(shape, angle, (lean, 0)), scale, tuple(place))
        inwards = np.random.uniform(0, self.distortion / 2, size=(4, 2))
        return UNIT_CORNERS + inwards * (1 - 2 * UNIT_CORNERS)

    def __repr__(self) -> str:
        return (
            f"{type(self).__name__}(degrees={self.degrees}, shear={self.shear}, "
            f"min_scale={self.min_scale}, distortion={self.distortion}, prob={self.prob})"
        )
