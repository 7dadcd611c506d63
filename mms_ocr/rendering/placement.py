"""Drawing the geometry of a text: bend, rotation and tilt, then size and margins."""

from __future__ import annotations

import math
from dataclasses import replace

import numpy as np
from numpy.typing import NDArray

from mms_ocr.rendering.faces import CAP_HEIGHT
from mms_ocr.rendering.geometry import Bend, Geometry, homography, translation
from mms_ocr.rendering.layout import TextLayout
from mms_ocr.rendering.settings import RenderSettings

_LEAST_CAP_HEIGHT = 3  # pixels; smaller letters cannot be read


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

    Returns:
        The map from the canvas to the image, ``(width, height)`` of the image, and the scale.

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
