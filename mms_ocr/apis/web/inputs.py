"""Images that the page sends: files of word images, and boxes in a photograph."""

from __future__ import annotations

import base64
import binascii
from collections.abc import Mapping, Sequence
from typing import Any

import cv2
import numpy as np

from mms_ocr.apis.input_images import BrokenImage, InputImage, decode_input
from mms_ocr.rendering import FontCollection, TextSource, WordRenderer
from mms_ocr.utils.decoding import MAX_PIXELS
from mms_ocr.visualization import fit_picture, picture_grid

#: Largest file, bytes, and most word images at a time.
MAX_BYTES, MAX_WORDS = 20_000_000, 24
#: Larger word images are shrunk to this many pixels in height and width, and long lines to a height
#: of 64 pixels or this many in width.
LONGEST_SIDE, LINE_HEIGHT, LINE_WIDTH = 1024, 64, 8192
#: What the page says about the limits.
LIMITS = f"{MAX_WORDS} images at a time, each up to 20 MB and {MAX_PIXELS / 1e6:.1f} million pixels"

_EXAMPLE_WORDS = ("Harbor", "Museum", "Pretrain", "Coffee", "Platform", "Garden")
_EXAMPLE_SEED, _EXAMPLES = 3, (0, 6, 11, 16, 19, 23)  # plain, bent, faint and blurred words
_SMALL, _SMALL_HEIGHT = 19, 16  # a word that super-resolution is for, and its height in pixels


def read_files(files: Any, limit: int = MAX_WORDS) -> tuple[list[InputImage], list[str]]:
    """Decode files of the page, as :func:`~mms_ocr.utils.decoding.decode_image` does.

    Args:
        files: A list of ``{"name": …, "size": bytes, "data": base64}``.
        limit: Most images; the files after these are not read.

    Returns:
        The images, and a message for each file that cannot be used.
    """
    files = [file for file in files or () if isinstance(file, Mapping)]
    images, messages = [], []
    for file in files[:limit]:
        image = _read_file(file)
        if isinstance(image, BrokenImage):
            messages.append(image.line)
        else:
            images.append(image)
    if len(files) > limit:
        messages.append(f"only the first {limit} of {len(files)} files are used")
    return images, messages


def _read_file(file: Mapping[str, Any]) -> InputImage | BrokenImage:
    name = str(file.get("name") or "pasted image")
    try:
        data = base64.b64decode(str(file.get("data") or ""), validate=True)
        size = max(len(data), int(file.get("size") or 0))
    except (binascii.Error, ValueError, TypeError):
        return BrokenImage(name, "the browser has sent it damaged")
    if size > MAX_BYTES:
        return BrokenImage(name, f"{size / 1e6:.1f} MB; a file may have {MAX_BYTES / 1e6:.0f} MB")
    return decode_input(data, name)


def shrink(image: InputImage) -> tuple[InputImage, list[str]]:
    """Shrink a word image that is larger than the limits; return it, and a message if it was."""
    height, width = image.image.shape[:2]
    factor = max(LONGEST_SIDE / max(height, width), min(LINE_HEIGHT / height, LINE_WIDTH / width))
    if factor >= 1:
        return image, []
    size = max(1, round(width * factor)), max(1, round(height * factor))
    smaller = cv2.resize(image.image, size, interpolation=cv2.INTER_AREA)
    message = (
        f"{image.name}: {width} × {height} pixels, shrunk to {size[0]} × {size[1]}; cut words out "
        "of a photograph under “Photograph”"
    )
    return InputImage(image.name, smaller), [message]


def crop_box(photograph: np.ndarray, box: Sequence[Any]) -> np.ndarray:
    """Crop a box out of an image ``(H, W, 3)``.

    Args:
        photograph: The image.
        box: Left, top, width and height in percent of the image.

    Raises:
        ValueError: These are not four numbers, or the box has no pixel in the image.
    """
    try:
        left, top, width, height = (float(value) / 100 for value in box)
    except (TypeError, ValueError) as error:
        raise ValueError("a box needs four numbers: left, top, width and height") from error
    rows, columns = photograph.shape[:2]
    x0, x1 = (_clamp(x * columns, columns) for x in (left, left + width))
    y0, y1 = (_clamp(y * rows, rows) for y in (top, top + height))
    if x1 <= x0 or y1 <= y0:
        raise ValueError(
            f"the box (left {100 * left:g}, top {100 * top:g}, width {100 * width:g}, height "
            f"{100 * height:g} percent) has no pixel of the photograph"
        )
    return np.ascontiguousarray(photograph[y0:y1, x0:x1])


def _clamp(position: float, size: int) -> int:
    return 0 if not position > 0 else min(size, round(min(position, size)))


def render_examples() -> list[InputImage]:
    """Render the example words, the same ones every time, in matplotlib's fonts."""
    source = TextSource(_EXAMPLE_WORDS)
    renderer = WordRenderer(FontCollection(), source, seed=_EXAMPLE_SEED)
    words = [(index, renderer.render(index)) for index in _EXAMPLES]
    return [
        InputImage(
            f"rendered word {word.text}",
            fit_picture(word.image, _SMALL_HEIGHT, 64) if index == _SMALL else word.image,
        )
        for index, word in words
    ]


def example_photograph(words: Sequence[InputImage]) -> InputImage:
    """Make a sheet of words, two a row, in place of a photograph."""
    pictures = [fit_picture(word.image, 96, 420, 420) for word in words]
    rows = [pictures[start : start + 2] for start in range(0, len(pictures), 2)]
    return InputImage("sheet of rendered words", picture_grid(rows))
