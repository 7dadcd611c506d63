"""Colors of a given luma.

Colors are float BGR in [0, 1]; luma is that of Rec. 601, as in grayscale conversion.
"""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray

Color = NDArray[np.float32]
_WEIGHTS = (0.114, 0.587, 0.299)  # of blue, green, red


def luma(image: NDArray) -> float:
    """Compute the mean luma in [0, 1] of an image ``(H, W, 3)`` in [0, 255]."""
    # The sum of integers does not depend on their order.
    total = image.astype(np.uint8).reshape(-1, 3).sum(axis=0, dtype=np.int64).tolist()
    weighted = sum(weight * channel for weight, channel in zip(_WEIGHTS, total))
    return weighted / (255 * image.shape[0] * image.shape[1])


def color_of_luma(rng: np.random.Generator, target: float, saturation: float) -> Color:
    """Draw a color of exactly the luma ``target`` in [0, 1], in the hues of signs and print.

    ``saturation`` is 0 for grays, 1 for the strongest colors that the luma allows.
    """
    if rng.random() > 0.7 * saturation:  # white, black and grays are the most common
        chroma, room = _chroma_of_hue(rng.random() * 6, target)
        strength = 0.1 * rng.random() * saturation
    else:
        # The more colorful of two: few signs are brownish or pale.
        chroma, room = max(
            (_chroma_of_hue(_draw_hue(rng), target) for _ in range(2)), key=lambda pair: pair[1]
        )
        strength = (0.15 + 0.85 * rng.random()) * saturation
    return np.float32(target) + chroma * np.float32(strength * room)


# Hues from red (0) over yellow (1), green (2), cyan (3), blue (4) and magenta (5) back to red, and
# their cumulative probabilities.
_SIGN_HUES = (
    (0.0, 0.27), (0.5, 0.4), (0.9, 0.55), (2.1, 0.66), (3.3, 0.76), (3.8, 0.94), (5.2, 1.0)
)  # fmt: skip


def _draw_hue(rng: np.random.Generator) -> float:
    draw = rng.random()
    center = next(hue for hue, end in _SIGN_HUES if draw < end)
    return center + 0.5 * (rng.random() - 0.5)


def _chroma_of_hue(hue: float, target: float) -> tuple[Color, float]:
    """Compute the chroma of a hue, without luma, and how much of it the target luma allows."""
    away = np.abs((hue + np.array([2.0, 4.0, 0.0])) % 6 - 3)  # blue, green, red
    pure = np.clip(away - 1, 0, 1)
    gray = sum(weight * channel for weight, channel in zip(_WEIGHTS, pure.tolist()))
    chroma = (pure - gray).astype(np.float32)
    above = (1 - target) / max(float(chroma.max()), 1e-6)
    below = target / max(-float(chroma.min()), 1e-6)
    return chroma, max(min(above, below, 1.0), 0.0)


def contrasting_luma(
    rng: np.random.Generator, background: float, contrast: tuple[float, float]
) -> float:
    """Draw a luma in [0, 1] whose distance to the background's is in a range.

    If black and white are both closer than the low end of the range, the farther of them is taken.
    """
    room_below, room_above = background, 1 - background
    low, high = contrast[0], min(contrast[1], max(room_below, room_above))
    # Signs are made to be read: strong contrasts are more common than weak ones.
    distance = low + (high - low) * rng.random() ** 0.65 if high > low else high
    darker_fits, lighter_fits = distance <= room_below, distance <= room_above
    either = darker_fits and lighter_fits
    darker = rng.random() < 0.5 if either else room_below > room_above
    return background - distance if darker else background + distance
