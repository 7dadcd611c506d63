"""One map from the canvas where a word is set to the image: bend, then plane to plane.

The map is applied alike to ink, neighbours, character boxes and the pixel mask. Points go forwards
with :meth:`Geometry.forward`; pixels are fetched backwards with :meth:`Geometry.warp`.
"""

from __future__ import annotations

import math
from dataclasses import dataclass, replace

import cv2
import numpy as np
from numpy.typing import NDArray

Floats = NDArray[np.float32]


@dataclass(frozen=True)
class Bend:
    """How the base line is bent, in canvas pixels from the middle of the text.

    Attributes:
        kind: ``'arc'`` sets the letters on a circle, ``'wave'`` moves them up and down a sine.
        amount: radius of the circle, negative for one that opens downwards; height of the wave.
        wavelength: of the wave.
        phase: of the wave, radians.
    """

    kind: str
    amount: float
    wavelength: float = 1.0
    phase: float = 0.0

    def forward(self, x: NDArray, y: NDArray) -> tuple[NDArray, NDArray]:
        """Where canvas points go."""
        if self.kind == "wave":
            return x, y + self.amount * np.sin(x * (2 * math.pi / self.wavelength) + self.phase)
        angle = x / self.amount
        radius = self.amount - y
        return radius * np.sin(angle), self.amount - radius * np.cos(angle)

    def backward(self, x: NDArray, y: NDArray) -> tuple[NDArray, NDArray]:
        """Which canvas points come to these."""
        if self.kind == "wave":
            return x, y - self.amount * np.sin(x * (2 * math.pi / self.wavelength) + self.phase)
        sign = math.copysign(1.0, self.amount)
        along, across = x * sign, (self.amount - y) * sign
        angle = np.arctan2(along, across)
        return angle * self.amount, self.amount - sign * np.hypot(along, across)


@dataclass(frozen=True)
class Geometry:
    """Canvas to image: move the middle to the origin, bend, then a homography.

    Attributes:
        middle: canvas point that becomes the origin.
        matrix: ``(3, 3)`` homography from bent points to the image.
        bend: of the base line; ``None`` for a straight one.
    """

    middle: tuple[float, float]
    matrix: NDArray[np.float64]
    bend: Bend | None = None

    def then(self, matrix: NDArray[np.float64]) -> Geometry:
        """This map, followed by a homography."""
        return replace(self, matrix=matrix @ self.matrix)

    def forward(self, points: Floats) -> Floats:
        """Image points ``(n, 2)`` of canvas points ``(n, 2)``, x before y."""
        points = points.astype(np.float64)
        x, y = points[:, 0] - self.middle[0], points[:, 1] - self.middle[1]
        if self.bend is not None:
            x, y = self.bend.forward(x, y)
        a, b, c = self.matrix
        depth = c[0] * x + c[1] * y + c[2]
        moved = (a[0] * x + a[1] * y + a[2]) / depth, (b[0] * x + b[1] * y + b[2]) / depth
        return np.stack(moved, 1).astype(np.float32)

    def warp(self, canvas: NDArray, size: tuple[int, int]) -> NDArray:
        """The canvas ``(H, W)`` as seen in an image of ``size = (width, height)``.

        Pixel centers lie at half-integers on both sides, so the identity changes nothing. What lies
        outside the canvas is 0. The map is computed in double precision and rounded to 1/32 pixel,
        and the pixels are fetched with integers, so that every machine gives the same image.
        """
        width, height = size
        # From a pixel's number to its center, and from there to the bent base line.
        a, b, c = np.linalg.inv(self.matrix) @ translation(0.5, 0.5)
        x, y = np.arange(width)[None], np.arange(height)[:, None]
        bent_x, bent_y = a[0] * x + (a[1] * y + a[2]), b[0] * x + (b[1] * y + b[2])
        depth = c[0] * x + (c[1] * y + c[2])
        bent_x /= depth
        bent_y /= depth
        if self.bend is not None:
            bent_x, bent_y = self.bend.backward(bent_x, bent_y)
        bent_x += self.middle[0] - 0.5
        bent_y += self.middle[1] - 0.5
        places, fractions = cv2.convertMaps(
            bent_x.astype(np.float32), bent_y.astype(np.float32), cv2.CV_16SC2
        )
        return cv2.remap(canvas, places, fractions, cv2.INTER_LINEAR)


def translation(x: float, y: float) -> NDArray[np.float64]:
    """``(3, 3)`` matrix that moves by (x, y)."""
    return np.array([[1, 0, x], [0, 1, y], [0, 0, 1]], np.float64)


def homography(
    scale_x: float, scale_y: float, shear: float, angle: float, tilt_x: float, tilt_y: float
) -> NDArray[np.float64]:
    """Scale, shear by a tangent, rotate by degrees, then tilt, all about the origin.

    ``tilt_x`` and ``tilt_y`` are how much nearness grows per pixel to the right and downwards.
    """
    turn = math.radians(angle)
    cos, sin = math.cos(turn), math.sin(turn)
    scale = np.diag([scale_x, scale_y, 1.0])
    sheared = np.array([[1, -shear, 0], [0, 1, 0], [0, 0, 1]], np.float64)
    rotated = np.array([[cos, -sin, 0], [sin, cos, 0], [0, 0, 1]], np.float64)
    tilted = np.array([[1, 0, 0], [0, 1, 0], [tilt_x, tilt_y, 1]], np.float64)
    return tilted @ rotated @ sheared @ scale


def boxes_of_points(points: Floats, owners: NDArray[np.int64], count: int) -> Floats:
    """``(count, 4)`` ``[left, top, right, bottom]`` of each owner's points; NaN for one without."""
    boxes = np.full((count, 4), np.nan, np.float32)
    starts = np.flatnonzero(np.diff(owners, prepend=-1))
    boxes[owners[starts], :2] = np.minimum.reduceat(points, starts)
    boxes[owners[starts], 2:] = np.maximum.reduceat(points, starts)
    return boxes
