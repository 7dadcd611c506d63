"""The map from the canvas of a word to the image, and its draw: a bend, then a homography.

It is the same for ink, neighbors, character boxes and mask. Points are mapped by
:meth:`Geometry.forward`; pixels are fetched by :meth:`Geometry.warp`.
"""

from __future__ import annotations

import math
from dataclasses import dataclass, replace

import cv2
import numpy as np
from numpy.typing import NDArray

from mms_ocr.rendering.faces import CAP_HEIGHT
from mms_ocr.rendering.layout import TextLayout
from mms_ocr.rendering.settings import RenderSettings

_LEAST_CAP_HEIGHT = 3  # pixels; smaller letters cannot be read

Floats = NDArray[np.float32]


@dataclass(frozen=True)
class Bend:
    """Bend of the baseline, in canvas pixels from the middle of the text."""

    kind: str  # 'arc' puts the letters on a circle, 'wave' on a sine
    amount: float  # radius of the circle, negative if it opens downwards; height of the wave
    wavelength: float = 1.0  # of the wave
    phase: float = 0.0  # of the wave, in radians

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
    """Map from canvas to image: move the middle to the origin, bend, apply a homography."""

    middle: tuple[float, float]  # canvas point that becomes the origin
    matrix: NDArray[np.float64]  # homography (3, 3) from bent points to the image
    bend: Bend | None = None  # None for a straight baseline

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


def draw_geometry(
    rng: np.random.Generator, layout: TextLayout, origin: tuple[int, int], settings: RenderSettings
) -> Geometry:
    """Draw bend, stretch, shear, rotation and tilt, before the size of the image is known."""
    left, top, right, bottom = layout.bounds()
    width, height = right - left, max(bottom - top, CAP_HEIGHT // 2)
    middle = origin[0] + (left + right) / 2, origin[1] + (top + bottom) / 2
    bend = _draw_bend(rng, width, height, settings) if rng.random() < settings.curve else None
    low, high = (math.log(end) for end in settings.stretch)
    stretch = math.exp(low + (high - low) * rng.random())
    # Long words are rotated less: otherwise their letters get small in the image.
    most = min(settings.rotation, math.degrees(math.atan2(0.8 * height, width * stretch)))
    angle = _signed(rng) * most
    shear = _signed(rng) * settings.shear
    tilt_x = _signed(rng) * settings.perspective / (max(width * stretch, height) / 2)
    tilt_y = _signed(rng) * settings.perspective / max(height, width / 4)
    return Geometry(middle, homography(stretch, 1.0, shear, angle, tilt_x, tilt_y), bend)


def _signed(rng: np.random.Generator) -> float:
    """Draw from (-1, 1), small values more often than large ones."""
    value = 2 * rng.random() - 1
    return value * abs(value) ** 0.5


def _draw_bend(
    rng: np.random.Generator, width: int, height: int, settings: RenderSettings
) -> Bend | None:
    if settings.bend <= 0:
        return None
    if rng.random() < 0.75:
        # The arc may rise by the text's height at most, and its circle must hold the letters.
        turn = min(settings.bend * (0.3 + 0.7 * rng.random()), 8 * height / width)
        radius = max(width / turn, 2.0 * height)
        return Bend("arc", radius if rng.random() < 0.7 else -radius)
    wavelength = width * (0.7 + rng.random())
    amount = min(settings.bend * 0.25 * height * rng.random(), 0.1 * wavelength)
    return Bend("wave", amount, wavelength, rng.random() * 2 * math.pi)


def fit(
    rng: np.random.Generator,
    geometry: Geometry,
    points: NDArray[np.float32],
    text: str,
    settings: RenderSettings,
) -> tuple[Geometry, tuple[int, int], float]:
    """Scale and move the text, whose ink has ``points`` ``(n, 2)`` around it, into an image.

    Returns the map from the canvas to the image, its ``(width, height)``, and the scale.

    Raises:
        ValueError: The letters would be too small in the widest image.
    """
    moved = geometry.forward(points)
    left, top = moved.min(axis=0).tolist()
    right, bottom = moved.max(axis=0).tolist()
    # A dash or a dot is not enlarged to the height of the image.
    for_height = max(0.6 * CAP_HEIGHT - (bottom - top), 0) / 2
    for_width = max(0.4 * CAP_HEIGHT - (right - left), 0) / 2
    left, right = left - for_width, right + for_width
    top, bottom = top - for_height, bottom + for_height
    low, high = settings.margin
    room = [(low + (high - low) * rng.random()) * (bottom - top) for _ in range(4)]
    left, top, right, bottom = left - room[0], top - room[1], right + room[2], bottom + room[3]
    low, high = settings.height
    height = low * (high / low) ** rng.random()
    scale = min(height / (bottom - top), settings.max_width / (right - left))
    height = scale * (bottom - top)
    if scale * CAP_HEIGHT < _LEAST_CAP_HEIGHT:
        raise ValueError(
            f"text {text[:60]!r} with {len(text)} characters does not fit: in an image of "
            f"max_width={settings.max_width:g} its capitals would be {scale * CAP_HEIGHT:.1f} "
            "pixels high; raise max_width or shorten the text"
        )
    size = max(1, round(scale * (right - left))), max(1, round(height))
    fitted = np.diag([scale, scale, 1.0]) @ translation(-left, -top)
    return replace(geometry, matrix=fitted @ geometry.matrix), size, scale
