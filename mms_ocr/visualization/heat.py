"""Values of patches, drawn over their image."""

from __future__ import annotations

import cv2
import numpy as np
from numpy.typing import NDArray


def draw_heat(picture: NDArray[np.uint8], values: NDArray, opacity: float = 0.6) -> NDArray:
    """Draw the values of patches over a picture, from dark (0) to yellow (their maximum).

    Args:
        picture: uint8 RGB ``(H, W, 3)``; its gray levels show through.
        values: ``(rows, columns)``, not negative.
        opacity: Share of the colors in the result, in [0, 1].

    Raises:
        ValueError: A value is negative or not finite.
    """
    if values.ndim != 2 or not np.isfinite(values).all() or values.min() < 0:
        raise ValueError(f"values of patches are (rows, columns) and at least 0, got {values}")
    levels = np.rint(255 * values / max(values.max(), np.finfo(np.float32).tiny)).astype(np.uint8)
    height, width = picture.shape[:2]
    levels = cv2.resize(levels, (width, height), interpolation=cv2.INTER_NEAREST)
    colors = cv2.applyColorMap(levels, cv2.COLORMAP_INFERNO)[:, :, ::-1]
    gray = cv2.cvtColor(np.ascontiguousarray(picture), cv2.COLOR_RGB2GRAY)[:, :, None]
    return np.rint(opacity * colors + (1 - opacity) * gray).astype(np.uint8)
