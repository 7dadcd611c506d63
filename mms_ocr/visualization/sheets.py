"""Picture sheets of word images."""

from __future__ import annotations

from collections.abc import Mapping, Sequence

import numpy as np
from PIL import Image, ImageDraw

GAP = 4
HEADER = 14
BACKGROUND = 255


def stack_rows(rows: Sequence[Sequence[np.ndarray]], scale: int = 2) -> np.ndarray:
    """Lay images of one size out in rows.

    Args:
        rows: uint8 RGB images ``(H, W, 3)``, equally many in every row.
        scale: Whole factor by which they are enlarged, pixel by pixel.

    Returns:
        uint8 RGB sheet.
    """
    large = [[image.repeat(scale, 0).repeat(scale, 1) for image in row] for row in rows]
    height, width = large[0][0].shape[:2]
    columns = len(large[0])
    sheet = np.full(
        (len(rows) * (height + GAP) + GAP, columns * (width + GAP) + GAP, 3), BACKGROUND, np.uint8
    )
    for r, row in enumerate(large):
        for c, image in enumerate(row):
            top, left = GAP + r * (height + GAP), GAP + c * (width + GAP)
            sheet[top : top + height, left : left + width] = image
    return sheet


def label_columns(sheet: np.ndarray, labels: Sequence[str]) -> np.ndarray:
    """Put a line of column names above a sheet of equally wide columns."""
    header = Image.new("RGB", (sheet.shape[1], HEADER), "white")
    draw = ImageDraw.Draw(header)
    for column, label in enumerate(labels):
        draw.text((GAP + column * (sheet.shape[1] - GAP) // len(labels), 1), label, fill="black")
    return np.concatenate([np.asarray(header), sheet])


def reconstruction_sheet(
    images: Sequence[np.ndarray],
    masked: Sequence[Mapping[str, np.ndarray]],
    reconstructions: Sequence[Mapping[str, np.ndarray]],
    scale: int = 2,
) -> np.ndarray:
    """Sheet of original | masked | reconstruction, a row an image, a pair of columns a strategy.

    Args:
        images: uint8 RGB originals ``(H, W, 3)``.
        masked: Per image, strategy → the image with its removed patches hidden.
        reconstructions: Per image, strategy → the image with removed patches predicted.
        scale: Whole factor of enlargement.

    Returns:
        uint8 RGB sheet with a line of column names.

    Raises:
        ValueError: There is no image.
    """
    if not images:
        raise ValueError("a sheet needs at least one image, got none")
    names = list(masked[0])
    rows = [
        [image, *(part[name] for name in names for part in (hidden, filled))]
        for image, hidden, filled in zip(images, masked, reconstructions)
    ]
    labels = [
        "original",
        *(label for name in names for label in (f"{name} mask", "reconstruction")),
    ]
    return label_columns(stack_rows(rows, scale), labels)
