"""Grid of pictures, with column names."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import Any

import cv2
import numpy as np
from numpy.typing import NDArray
from PIL import Image, ImageDraw, ImageFont

#: Pixels between pictures and around them.
GAP = 4
#: Height of the line of column names in pixels.
HEADER = 14

_FONT_SIZE = 22
_MARGIN = 6  # beside a text
# Background black, text white, ignored pixels gray.
_LABEL_COLORS = np.full((256, 3), 128, np.uint8)
_LABEL_COLORS[:2] = [[0] * 3, [255] * 3]


def picture_grid(
    rows: Sequence[Sequence[NDArray]],
    labels: Sequence[str] = (),
    scale: int = 1,
    cell: tuple[int, int] | None = None,
) -> NDArray[np.uint8]:
    """Lay pictures out in rows, on white.

    Args:
        rows: uint8 pictures ``(H, W, 3)``, at least one; rows may differ in length.
        labels: Names of the columns, drawn above the first row; every row has a picture for each.
        scale: Integer factor of enlargement; every pixel is repeated.
        cell: Height and width that every picture is stretched to; None keeps the sizes.

    Raises:
        ValueError: There is no picture, or a row does not fit the labels.
    """
    if not rows or not all(rows):
        raise ValueError("a picture grid needs at least one picture in every row")
    for row in rows:
        if labels and len(row) != len(labels):
            raise ValueError(f"a row has {len(row)} pictures and there are {len(labels)} columns")
    resized = [[_resize(picture, scale, cell) for picture in row] for row in rows]
    width = max(sum(picture.shape[1] + GAP for picture in row) for row in resized) + GAP
    strips = [_header(labels, resized[0], width)] if labels else []
    for row in resized:
        strip = np.full((GAP + max(map(len, row)), width, 3), 255, np.uint8)
        left = GAP
        for picture in row:
            strip[GAP : GAP + len(picture), left : left + picture.shape[1]] = picture
            left += picture.shape[1] + GAP
        strips.append(strip)
    strips.append(np.full((GAP, width, 3), 255, np.uint8))
    return np.concatenate(strips)


def _resize(picture: NDArray, scale: int, cell: tuple[int, int] | None) -> NDArray:
    picture = picture.repeat(scale, 0).repeat(scale, 1)
    if cell is None or picture.shape[:2] == tuple(cell):
        return picture
    shrinks = picture.shape[0] > cell[0] or picture.shape[1] > cell[1]
    mode = cv2.INTER_AREA if shrinks else cv2.INTER_NEAREST
    return cv2.resize(np.ascontiguousarray(picture), cell[::-1], interpolation=mode)


def _header(labels: Sequence[str], pictures: Sequence[NDArray], width: int) -> NDArray[np.uint8]:
    header = Image.new("RGB", (width, HEADER), "white")
    left = GAP
    for label, picture in zip(labels, pictures):
        ImageDraw.Draw(header).text((left, 1), label, fill="black")
        left += picture.shape[1] + GAP
    return np.asarray(header)


def fit_picture(
    picture: NDArray, height: int, max_width: int, width: int | None = None
) -> NDArray[np.uint8]:
    """Resize uint8 ``(H, W, 3)`` to a height, keeping its aspect ratio; white fills what is left.

    A picture that would be wider than ``max_width`` becomes lower. The result has a width of
    ``width``, or that of the picture.
    """
    scale = min(height / picture.shape[0], max_width / picture.shape[1])
    size = max(1, round(picture.shape[1] * scale)), max(1, round(picture.shape[0] * scale))
    mode = cv2.INTER_AREA if scale < 1 else cv2.INTER_LINEAR
    result = np.full((height, width or size[0], 3), 255, np.uint8)
    result[: size[1], : size[0]] = cv2.resize(
        np.ascontiguousarray(picture), size, interpolation=mode
    )
    return result


def draw_text(text: str, height: int = 64, width: int | None = 256) -> NDArray[np.uint8]:
    """Draw a line of text in black on white, ``(height, width, 3)`` uint8.

    A text longer than ``width`` is drawn smaller; a ``width`` of None is that of the text.
    """
    font = _font(_FONT_SIZE)
    length = font.getlength(text)
    if width is None:
        width = round(length) + 2 * _MARGIN
    elif length > width - 2 * _MARGIN:
        font = _font(max(1, int(_FONT_SIZE * (width - 2 * _MARGIN) / length)))
    picture = Image.new("RGB", (width, height), "white")
    ImageDraw.Draw(picture).text((_MARGIN, height // 2), text, fill="black", font=font, anchor="lm")
    return np.asarray(picture)


def _font(size: int) -> ImageFont.FreeTypeFont:
    # DejaVu Sans has Latin, Greek, Cyrillic and many symbols.
    import matplotlib

    path = Path(matplotlib.get_data_path()) / "fonts" / "ttf" / "DejaVuSans.ttf"
    return ImageFont.truetype(str(path), size)


def to_picture(values: Any) -> NDArray[np.uint8]:
    """Convert a tensor, an array or a PixelData to a picture, uint8 RGB ``(H, W, 3)``.

    An image ``(3, H, W)`` is uint8 or in [0, 1]; labels ``(1, H, W)`` or ``(H, W)`` are 0 for
    background, 1 for text and 255 for ignored pixels.

    Raises:
        ValueError: The shape is another.
    """
    if not isinstance(values, np.ndarray):
        values = getattr(values, "data", values)  # of a tensor too, without its gradient
    array = values.cpu().numpy() if hasattr(values, "cpu") else np.asarray(values)
    if array.ndim == 3 and len(array) == 3:
        if np.issubdtype(array.dtype, np.floating):
            array = np.rint(np.clip(array, 0, 1) * 255)
        return np.ascontiguousarray(array.transpose(1, 2, 0).astype(np.uint8))
    if array.ndim == 2 or (array.ndim == 3 and len(array) == 1):
        return _LABEL_COLORS[array.reshape(array.shape[-2:]).astype(np.uint8)]
    raise ValueError(
        f"a picture is (3, H, W), and labels are (1, H, W) or (H, W); got {tuple(array.shape)}"
    )
