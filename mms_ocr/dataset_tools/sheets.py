"""Pictures of many words at once, to judge them by eye; images are uint8 BGR."""

from __future__ import annotations

from collections.abc import Iterable, Sequence

import cv2
import numpy as np
from numpy.typing import NDArray

from mms_ocr.rendering.renderer import RenderedWord
from mms_ocr.visualization import GAP, fit_picture, picture_grid

SHEET_SUFFIXES = (".png", ".jpg", ".jpeg")

_MAX_ROWS = 1000


def word_sheet(images: Iterable[NDArray], width: int = 1200, height: int = 40) -> NDArray:
    """Draw words in rows of one height; at most 1000 rows.

    Args:
        images: Word images, at least one.
        width: Largest width of a row in pixels.
        height: Height of a row in pixels.
    """
    rows: list[list[NDArray]] = [[]]
    space = width
    for image in images:
        word = fit_picture(image, height, width)
        if rows[-1] and word.shape[1] > space:
            if len(rows) == _MAX_ROWS:
                break
            rows.append([])
            space = width
        rows[-1].append(word)
        space -= word.shape[1] + GAP
    return picture_grid(rows)


def parts_sheet(words: Sequence[RenderedWord], width: int = 1200, height: int = 48) -> NDArray:
    """Draw the image, the clean version with character boxes, and the mask; two words a row."""
    part_width = width // 6 - GAP
    pictures = []
    for word in words:
        boxed = word.clean.copy()
        for x, y, w, h in word.char_boxes.tolist():
            if w > 0:
                corner = (int(np.ceil(x + w)) - 1, int(np.ceil(y + h)) - 1)
                cv2.rectangle(boxed, (int(x), int(y)), corner, (0, 0, 255), 1)
        mask = cv2.cvtColor(word.mask * 255, cv2.COLOR_GRAY2BGR)
        parts = (word.image, boxed, mask)
        pictures += [fit_picture(part, height, part_width, part_width) for part in parts]
    return picture_grid([pictures[start : start + 6] for start in range(0, len(pictures), 6)])
