"""Pictures of many words at once, to judge them by eye."""

from __future__ import annotations

import os
from collections.abc import Iterable, Sequence

import cv2
import numpy as np
from numpy.typing import NDArray

from mms_ocr.rendering.renderer import RenderedWord
from mms_ocr.utils.writing import check_place, write_image

SHEET_SUFFIXES = (".png", ".jpg", ".jpeg")

_GAP = 4


def word_sheet(
    images: Iterable[NDArray], width: int = 1200, height: int = 40, max_rows: int = 1000
) -> NDArray:
    """Words in rows of equal height, ``(H, width, 3)`` uint8 on white.

    Args:
        images: uint8 BGR; no more are taken than fit.
        width: of the sheet, pixels.
        height: of a row, pixels.
        max_rows: most rows.
    """
    rows: list[NDArray] = []
    row, x = _empty_row(height, width), 0
    for image in images:
        scaled = _scale_to(image, height, width)
        if x and x + scaled.shape[1] > width:
            rows.append(row)
            row, x = _empty_row(height, width), 0
            if len(rows) == max_rows:
                break
        row[:height, x : x + scaled.shape[1]] = scaled
        x += scaled.shape[1] + _GAP
    if x:
        rows.append(row)
    if not rows:
        raise ValueError("a sheet needs at least one image")
    return np.concatenate(rows)[:-_GAP]


def parts_sheet(
    words: Sequence[RenderedWord], width: int = 1200, height: int = 48, columns: int = 2
) -> NDArray:
    """For each word its image, its clean version with character boxes, and its mask in a row."""
    cells = []
    cell_width = (width - (columns - 1) * 4 * _GAP) // columns
    part_width = (cell_width - 2 * _GAP) // 3
    for word in words:
        boxed = word.clean.copy()
        for x, y, w, h in word.char_boxes.tolist():
            if w > 0:
                corner = (int(np.ceil(x + w)) - 1, int(np.ceil(y + h)) - 1)
                cv2.rectangle(boxed, (int(x), int(y)), corner, (0, 0, 255), 1)
        mask = cv2.cvtColor(word.mask * 255, cv2.COLOR_GRAY2BGR)
        cell = np.full((height + _GAP, cell_width, 3), 255, np.uint8)
        for number, part in enumerate((word.image, boxed, mask)):
            scaled = _scale_to(part, height, part_width)
            x = number * (part_width + _GAP)
            cell[: scaled.shape[0], x : x + scaled.shape[1]] = scaled
        cells.append(cell)
    while len(cells) % columns:
        cells.append(np.full_like(cells[0], 255))
    space = np.full((height + _GAP, 4 * _GAP, 3), 255, np.uint8)
    rows = []
    for start in range(0, len(cells), columns):
        row = [piece for cell in cells[start : start + columns] for piece in (cell, space)]
        rows.append(np.concatenate(row[:-1], 1))
    return np.concatenate(rows)[:-_GAP]


def beside(left: NDArray, right: NDArray) -> NDArray:
    """Two sheets side by side with a black bar between them; the lower one is cut to the other."""
    height = min(len(left), len(right))
    bar = np.zeros((height, 2 * _GAP, 3), np.uint8)
    return np.concatenate([left[:height], bar, right[:height]], 1)


def save_sheet(sheet: NDArray, path: str | os.PathLike[str]) -> None:
    """Write a sheet, PNG or JPEG by the suffix; only a whole one replaces a file of that name.

    Raises:
        ValueError: if the suffix is another.
        OSError: if it cannot be written.
    """
    path = check_place(path, SHEET_SUFFIXES)
    is_png = path.suffix.lower() == ".png"
    write_image(path, sheet, [] if is_png else [cv2.IMWRITE_JPEG_QUALITY, 88])


def _empty_row(height: int, width: int) -> NDArray:
    return np.full((height + _GAP, width, 3), 255, np.uint8)


def _scale_to(image: NDArray, height: int, most: int) -> NDArray:
    """The image at a height, or lower where it would get wider than ``most``."""
    scale = min(height / image.shape[0], most / image.shape[1])
    size = max(1, round(image.shape[1] * scale)), max(1, round(image.shape[0] * scale))
    mode = cv2.INTER_AREA if scale < 1 else cv2.INTER_LINEAR
    scaled = cv2.resize(image, size, interpolation=mode)
    return cv2.copyMakeBorder(
        scaled, 0, height - size[1], 0, 0, cv2.BORDER_CONSTANT, value=(255, 255, 255)
    )
