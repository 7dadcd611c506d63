"""Pictures of words and of what was read in them."""

from __future__ import annotations

from pathlib import Path

import numpy as np
from PIL import Image, ImageDraw, ImageFont

from mms_ocr.apis.input_images import output_stem
from mms_ocr.utils.writing import write_image

_WORD_HEIGHT = 64  # pixels; larger images are shrunk, smaller ones enlarged to it
_WIDEST = 1024
_FONT_SIZE = 22
_MARGIN = 6


def draw_reading(image: np.ndarray, text: str, confidence: float | None = None) -> Image.Image:
    """The image, and below it the text and the confidence.

    Args:
        image: uint8 BGR ``(H, W, 3)``.
        text: What was read.
        confidence: In [0, 1]; None for none.
    """
    height, width = image.shape[:2]
    scale = min(_WORD_HEIGHT / height, _WIDEST / width)
    size = (max(1, round(width * scale)), max(1, round(height * scale)))
    word = Image.fromarray(np.ascontiguousarray(image[:, :, ::-1])).resize(
        size, Image.Resampling.BICUBIC
    )
    caption = text if confidence is None else f"{text}   {confidence:.2f}"
    font = _font()
    left, _, right, _ = font.getbbox(caption or " ")
    picture = Image.new(
        "RGB",
        (
            max(size[0], round(right - left)) + 2 * _MARGIN,
            size[1] + _FONT_SIZE + 4 * _MARGIN,
        ),
        "white",
    )
    picture.paste(word, (_MARGIN, _MARGIN))
    ImageDraw.Draw(picture).text(
        (_MARGIN - left, size[1] + 2 * _MARGIN), caption, fill="black", font=font
    )
    return picture


def draw_text(text: str, size: tuple[int, int] = (64, 256)) -> np.ndarray:
    """Write a text in black on white, smaller where it would be too wide.

    Args:
        text: One line.
        size: Height and width of the picture.

    Returns:
        uint8 RGB ``(*size, 3)``.
    """
    height, width = size
    font = _font()
    room = width - 2 * _MARGIN
    if (length := font.getlength(text)) > room:
        font = _font(max(1, int(_FONT_SIZE * room / length)))
    picture = Image.new("RGB", (width, height), "white")
    ImageDraw.Draw(picture).text((_MARGIN, height // 2), text, fill="black", font=font, anchor="lm")
    return np.asarray(picture)


def _font(size: int = _FONT_SIZE) -> ImageFont.FreeTypeFont:
    # DejaVu Sans has Latin, Greek, Cyrillic and many symbols.
    import matplotlib

    path = Path(matplotlib.get_data_path()) / "fonts" / "ttf" / "DejaVuSans.ttf"
    return ImageFont.truetype(str(path), size)


class PictureFolder:
    """Writes pictures into a folder, each under a name of its own.

    Args:
        path: The folder, made where there is none.
    """

    def __init__(self, path: str) -> None:
        self._folder = Path(path)
        self._folder.mkdir(parents=True, exist_ok=True)
        self._taken: set[str] = set()

    def write(self, name: str, picture: Image.Image) -> Path:
        """Write a picture.

        Args:
            name: Path of the image that it shows; its last part gives the name, with a number
                where two images have the same.
            picture: What to write.

        Returns:
            Where it stands.
        """
        path = self._folder / f"{output_stem(name, self._taken)}.png"
        write_image(path, np.asarray(picture)[:, :, ::-1], source=name)
        return path
