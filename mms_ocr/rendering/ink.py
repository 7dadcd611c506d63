"""Drawing the ink of a word on a background: shadow, outline, gradient, emboss."""

from __future__ import annotations

import math

import cv2
import numpy as np
from numpy.typing import NDArray

from mms_ocr.rendering.backgrounds import ramp
from mms_ocr.rendering.colors import color_of_luma, contrasting_luma, luma
from mms_ocr.rendering.settings import RenderSettings

Image = NDArray


def blend(picture: Image, alpha: NDArray[np.float32], color: NDArray[np.float32]) -> None:
    """Blend a color ``(3,)`` or ``(H, W, 3)`` into an image by alpha ``(H, W)``, in place."""
    picture += alpha[..., None] * (color - picture)


def lay_ink(
    rng: np.random.Generator,
    picture: Image,
    coverage: NDArray,
    neighbours: NDArray | None,
    text_height: float,
    settings: RenderSettings,
) -> None:
    """Draw text on an image in place, in a color whose contrast is in the range of the settings.

    Args:
        rng: Generator of all draws.
        picture: Background, float32 BGR in [0, 255].
        coverage: Ink of the word, uint8 ``(H, W)``.
        neighbours: Ink of other text, or None.
        text_height: Height of the word in pixels, which scales outline and shadow.
        settings: Probabilities and strengths.
    """
    ground = luma(picture)
    ink_luma = contrasting_luma(rng, ground, settings.contrast)
    ink = color_of_luma(rng, ink_luma, settings.saturation) * np.float32(255)
    alpha = coverage.astype(np.float32) * np.float32(1 / 255)
    if neighbours is not None:
        other = ink
        if rng.random() < 0.3:
            other_luma = contrasting_luma(rng, ground, settings.contrast)
            other = color_of_luma(rng, other_luma, settings.saturation) * np.float32(255)
        blend(picture, neighbours.astype(np.float32) * np.float32(1 / 255), other)
    if rng.random() < settings.shadow:
        _drop_shadow(rng, picture, coverage, text_height)
    if rng.random() < settings.outline:
        _outline(rng, picture, coverage, ink_luma, text_height, settings)
    if rng.random() < settings.ink_gradient:
        end = contrasting_luma(rng, ground, settings.contrast)
        if (end > ground) != (ink_luma > ground):  # would cross the background's luma
            end = ink_luma
        change = color_of_luma(rng, end, settings.saturation) * np.float32(255) - ink
        blend(picture, alpha, ink + (ramp(rng, *alpha.shape) + 0.5)[..., None] * change)
    else:
        blend(picture, alpha, ink)
    if rng.random() < settings.emboss:
        _emboss(rng, picture, coverage, text_height)
    np.clip(picture, 0, 255, out=picture)


def _moved(ink: NDArray, length: float, angle: float) -> NDArray:
    """Move ink ``(H, W)`` by whole pixels in a direction; 0 outside."""
    x, y = round(length * math.cos(angle)), round(length * math.sin(angle))
    height, width = ink.shape
    moved = np.zeros_like(ink)
    if abs(x) < width and abs(y) < height:
        moved[max(y, 0) : height + min(y, 0), max(x, 0) : width + min(x, 0)] = ink[
            max(-y, 0) : height + min(-y, 0), max(-x, 0) : width + min(-x, 0)
        ]
    return moved


def _drop_shadow(
    rng: np.random.Generator, picture: Image, coverage: NDArray, text_height: float
) -> None:
    distance = max(1.0, text_height * (0.03 + 0.1 * rng.random()))
    shadow = _moved(coverage, distance, rng.random() * 2 * math.pi)
    if rng.random() < 0.7:
        shadow = cv2.GaussianBlur(shadow, (0, 0), 0.3 + text_height * 0.05 * rng.random())
    tone = np.float32(0 if rng.random() < 0.8 else 255)
    alpha = shadow.astype(np.float32) * np.float32((0.3 + 0.6 * rng.random()) / 255)
    blend(picture, alpha, np.full(3, tone, np.float32))


def _outline(
    rng: np.random.Generator,
    picture: Image,
    coverage: NDArray,
    ink_luma: float,
    text_height: float,
    settings: RenderSettings,
) -> None:
    radius = max(1, round(text_height * (0.02 + 0.05 * rng.random())))
    kernel = cv2.getStructuringElement(cv2.MORPH_ELLIPSE, (2 * radius + 1, 2 * radius + 1))
    wide = cv2.dilate(coverage, kernel).astype(np.float32) * np.float32(1 / 255)
    line_luma = contrasting_luma(rng, ink_luma, (0.35, 1.0))
    line = color_of_luma(rng, line_luma, settings.saturation) * np.float32(255)
    blend(picture, wide, line)


def _emboss(
    rng: np.random.Generator, picture: Image, coverage: NDArray, text_height: float
) -> None:
    soft = cv2.GaussianBlur(coverage, (0, 0), max(0.6, text_height * 0.025))
    depth = max(1.0, text_height * (0.02 + 0.03 * rng.random()))
    angle = rng.random() * 2 * math.pi
    lit = _moved(soft, depth, angle).astype(np.float32) - _moved(soft, -depth, angle)
    picture += lit[..., None] * np.float32((40 + 60 * rng.random()) / 255)
