"""Colours that differ from each other by a set amount of luma.

Colours are float BGR in [0, 1]; luma is Rec. 601's, as in grey-scale conversion.
"""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray

__all__ = ["colour_of_luma", "contrasting_luma", "luma"]

Colour = NDArray[np.float32]
_WEIGHTS = np.array([0.114, 0.587, 0.299], np.float32)


def luma(colour: NDArray) -> float:
    """Luma of a colour ``(3,)``, or mean luma of an image ``(H, W, 3)``, in the colour's unit."""
    blue, green, red = colour.reshape(-1, 3).mean(axis=0).tolist()
    return 0.114 * blue + 0.587 * green + 0.299 * red


def colour_of_luma(rng: np.random.Generator, target: float, saturation: float) -> Colour:
    """A colour of exactly this luma, of any hue.

    Args:
        rng: the generator to draw from.
        target: luma in [0, 1].
        saturation: 0 for grey, 1 for as colourful as the luma allows at most. Weak colours are
            drawn more often than strong ones.
    """
    hue = 6 * rng.random() + np.array([2.0, 4.0, 0.0])  # blue, green, red
    pure = np.clip(np.abs(hue % 6 - 3) - 1, 0, 1).astype(np.float32)
    chroma = pure - float(pure @ _WEIGHTS)  # has no luma of its own
    # How far the chroma can go before a channel leaves [0, 1].
    up = (1 - target) / max(float(chroma.max()), 1e-6)
    down = target / max(-float(chroma.min()), 1e-6)
    strength = rng.random() ** 1.5 * saturation
    return np.float32(target) + chroma * np.float32(strength * max(min(up, down), 0.0))


def contrasting_luma(
    rng: np.random.Generator, background: float, contrast: tuple[float, float]
) -> float:
    """A luma in [0, 1] whose distance to the background's lies in the range, where there is room.

    Where even black and white are nearer than the range's low end, the farther of them is taken.
    """
    room_below, room_above = background, 1 - background
    low, high = contrast[0], min(contrast[1], max(room_below, room_above))
    wanted = low + (high - low) * rng.random() if high > low else high
    darker_fits, lighter_fits = wanted <= room_below, wanted <= room_above
    either = darker_fits and lighter_fits
    darker = rng.random() < 0.5 if either else room_below > room_above
    return background - wanted if darker else background + wanted
