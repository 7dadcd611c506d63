"""The map from the canvas of a word to the image: a bend, then a homography.

It is the same for ink, neighbors, character boxes and mask. Points are mapped by
:meth:`Geometry.forward`; pixels are fetched by :meth:`Geometry.warp`.
"""

from __future__ import annotations

import math
from dataclasses import dataclass

import cv2
import numpy as np
from numpy.typing import NDArray

Floats = NDArray[np.float32]


@dataclass(frozen=True)
class Bend:
    """A bend of the baseline, in canvas pixels from the middle of the text.

    Attributes:
        kind: ``'arc'`` puts the letters on a circle, ``'wave'`` on a sine.
        amount: Radius of the circle, negative for one that opens downwards; height of the wave.
        wavelength: Of the wave.
        phase: Of the wave, in radians.
    """

    kind: str
    amount: float
    wavelength: float = 1.0
    phase: float = 0.0

    def forward(self, x: NDArray, y: NDArray) -> tuple[NDArray, NDArray]:
        """Map canvas points to bent points."""
        if self.kind == "wave":
            return x, y + self.amount * np.sin(x * (2 * math.pi / self.wavelength) + self.phase)
        angle = x / self.amount
        radius = self.amount - y
        return radius * np.sin(angle), self.amount - radius * np.cos(angle)

    def backward(self, x: NDArray, y: NDArray) -> tuple[NDArray, NDArray]:
        """Map bent points to canvas points."""
        if self.kind == "wave":
            return x, y - self.amount * np.sin(x * (2 * math.pi / self.wavelength) + self.phase)
        sign = math.copysign(1.0, self.amount)
        along, across = x * sign, (self.amount - y) * sign
        angle = np.arctan2(along, across)
        return angle * self.amount, self.amount - sign * np.hypot(along, across)


@dataclass(frozen=True)
class Geometry:
    """A map from canvas to image: move the middle to the origin, bend, apply a homography.

    Attributes:
        middle: Canvas point that becomes the origin.
        matrix: ``(3, 3)`` homography from bent points to the image.
        bend: Bend of the baseline; None for a straight one.
    """

    middle: tuple[float, float]
    matrix: NDArray[np.float64]
    bend: Bend | None = None

    def forward(self, points: Floats) -> Floats:
        """Map canvas points ``(n, 2)`` (x, y) to image points."""
        points = points.astype(np.float64)
        x, y = points[:, 0] - self.middle[0], points[:, 1] - self.middle[1]
        if self.bend is not None:
            x, y = self.bend.forward(x, y)
        a, b, c = self.matrix
        depth = c[0] * x + c[1] * y + c[2]
        moved = (a[0] * x + a[1] * y + a[2]) / depth, (b[0] * x + b[1] * y + b[2]) / depth
        return np.stack(moved, 1).astype(np.float32)

    def warp(self, canvas: NDArray, size: tuple[int, int]) -> NDArray:
        """Warp the canvas ``(H, W)`` to an image of ``size = (width, height)``; 0 outside.

        Pixel centers are at half-integers on both sides. The map is computed in double precision
        and rounded to 1/32 pixel, and the pixels are interpolated with integers, so that every
        machine gives the same image.
        """
        width, height = size
        # From a pixel's index to its center, and from there to the bent baseline.
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
    """Return the ``(3, 3)`` matrix of a translation."""
    return np.array([[1, 0, x], [0, 1, y], [0, 0, 1]], np.float64)


def homography(
    scale_x: float, scale_y: float, shear: float, angle: float, tilt_x: float, tilt_y: float
) -> NDArray[np.float64]:
    """Return the matrix that scales, shears, rotates by degrees, then tilts about the origin.

    ``shear`` is a tangent; ``tilt_x`` and ``tilt_y`` are the change of depth per pixel.
    """
    turn = math.radians(angle)
    cos, sin = math.cos(turn), math.sin(turn)
    scale = np.diag([scale_x, scale_y, 1.0])
    sheared = np.array([[1, -shear, 0], [0, 1, 0], [0, 0, 1]], np.float64)
    rotated = np.array([[cos, -sin, 0], [sin, cos, 0], [0, 0, 1]], np.float64)
    tilted = np.array([[1, 0, 0], [0, 1, 0], [tilt_x, tilt_y, 1]], np.float64)
    return tilted @ rotated @ sheared @ scale
