"""Colors that differ from each other by a set amount of luma.

Colors are float BGR in [0, 1]; luma is Rec. 601's, as in gray-scale conversion.
"""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray

Color = NDArray[np.float32]
_WEIGHTS = (0.114, 0.587, 0.299)  # of blue, green, red


def luma(image: NDArray) -> float:
    """Mean luma, in [0, 1], of an image ``(H, W, 3)`` in [0, 255]."""
    # Whole numbers add up to the same sum in any order.
    total = image.astype(np.uint8).reshape(-1, 3).sum(axis=0, dtype=np.int64).tolist()
    weighted = sum(weight * channel for weight, channel in zip(_WEIGHTS, total))
    return weighted / (255 * image.shape[0] * image.shape[1])


def color_of_luma(rng: np.random.Generator, target: float, saturation: float) -> Color:
    """A color of exactly this luma, in the hues of signs and print.

    Args:
        rng: the generator to draw from.
        target: luma in [0, 1].
        saturation: 0 for gray only, 1 for as colorful as the luma allows at most.
    """
    if rng.random() > 0.7 * saturation:  # white, black and grays are the commonest of all
        chroma, room = _chroma_of_hue(rng.random() * 6, target)
        strength = 0.1 * rng.random() * saturation
    else:
        # The more colorful of two: few signs are brownish or pale for want of room.
        chroma, room = max(
            (_chroma_of_hue(_draw_hue(rng), target) for _ in range(2)), key=lambda pair: pair[1]
        )
        strength = (0.15 + 0.85 * rng.random()) * saturation
    return np.float32(target) + chroma * np.float32(strength * room)


# Hues from red (0) over yellow (1), green (2), cyan (3), blue (4) and magenta (5) back to red, and
# up to which draw each is taken.
_SIGN_HUES = (
    (0.0, 0.27), (0.5, 0.4), (0.9, 0.55), (2.1, 0.66), (3.3, 0.76), (3.8, 0.94), (5.2, 1.0)
)  # fmt: skip


def _draw_hue(rng: np.random.Generator) -> float:
    draw = rng.random()
    center = next(hue for hue, upto in _SIGN_HUES if draw < upto)
    return center + 0.5 * (rng.random() - 0.5)


def _chroma_of_hue(hue: float, target: float) -> tuple[Color, float]:
    """What the hue adds to gray, without luma of its own, and how much of it the luma allows."""
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
    """A luma in [0, 1] whose distance to the background's lies in the range, where there is room.

    Where even black and white are nearer than the range's low end, the farther of them is taken.
    """
    room_below, room_above = background, 1 - background
    low, high = contrast[0], min(contrast[1], max(room_below, room_above))
    # Signs are made to be read: strong contrasts are commoner than weak ones.
    wanted = low + (high - low) * rng.random() ** 0.65 if high > low else high
    darker_fits, lighter_fits = wanted <= room_below, wanted <= room_above
    either = darker_fits and lighter_fits
    darker = rng.random() < 0.5 if either else room_below > room_above
    return background - wanted if darker else background + wanted
