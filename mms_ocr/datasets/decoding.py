"""From the bytes of an image file to 8-bit BGR pixels, whatever the file holds."""

from __future__ import annotations

import io
import warnings
import zlib

import cv2
import numpy as np
from PIL import Image, ImageOps

from mms_ocr.datasets.sources.base import BrokenImageError

__all__ = ["MAX_PIXELS", "decode_image"]

#: Images with more pixels than this are refused unread: 2^24 = 16,384 x 1,024.
MAX_PIXELS = 1 << 24

_JPEG_FRAMES = frozenset(range(0xC0, 0xD0)) - {0xC4, 0xC8, 0xCC}
_JPEG_START, _JPEG_END = b"\xff\xd8", b"\xff\xd9"
_PNG_START = b"\x89PNG\r\n\x1a\n"


def decode_image(data: bytes, max_pixels: int = MAX_PIXELS) -> np.ndarray:
    """Decode an image of any common format.

    Colours in other spaces (CMYK, palettes, greyscale) become BGR, 16-bit values are scaled to 8
    bits, transparent parts are laid on white, and EXIF orientation is applied. The size is read
    from the header, so that an image of too many pixels is refused before it takes any memory.

    Args:
        data: The bytes of the image file.
        max_pixels: The most pixels, height times width, that are accepted.

    Returns:
        uint8 array ``(H, W, 3)`` in BGR order.

    Raises:
        BrokenImageError: The bytes are no image, are truncated, or hold too many pixels.
    """
    if data[:8] == _PNG_START:
        _check_png(data, max_pixels)
        plain = _plain_png_size(data)
    else:
        plain = _plain_jpeg_size(data) if data[:2] == _JPEG_START else None
    if plain is None:
        return _decode_with_pillow(data, max_pixels)
    height, width = plain
    if not 0 < height * width <= max_pixels:
        raise _wrong_size(height, width, max_pixels)
    image = cv2.imdecode(np.frombuffer(data, np.uint8), cv2.IMREAD_COLOR)
    if image is None:
        return _decode_with_pillow(data, max_pixels)  # says what is wrong with it
    return image


def _plain_jpeg_size(data: bytes) -> tuple[int, int] | None:
    """Height and width of a complete 8-bit grey or RGB JPEG; None for other JPEGs."""
    place = 2
    end = len(data) - 10
    while place < end and data[place] == 0xFF:
        marker = data[place + 1]
        if marker in _JPEG_FRAMES:
            # OpenCV fills the missing part of a cut file with grey, and says so only on stderr.
            is_whole = data.endswith(_JPEG_END) or data.rfind(_JPEG_END, place) >= 0
            if not (is_whole and data[place + 4] == 8 and data[place + 9] in (1, 3)):
                return None
            return (
                data[place + 5] << 8 | data[place + 6],
                data[place + 7] << 8 | data[place + 8],
            )
        place += 1 if marker == 0xFF else 2 + (data[place + 2] << 8 | data[place + 3])
    return None


def _check_png(data: bytes, max_pixels: int) -> None:
    """Make sure that all parts of a PNG are there and as written; decoders show half an image."""
    width, height = (int.from_bytes(data[start : start + 4], "big") for start in (16, 20))
    if height * width > max_pixels:
        raise _wrong_size(height, width, max_pixels)
    place, kind = 8, b""
    while kind != b"IEND":
        kind = data[place + 4 : place + 8]
        end = place + 8 + int.from_bytes(data[place : place + 4], "big")
        if len(data) < end + 4:
            raise BrokenImageError("a PNG that is truncated")
        if zlib.crc32(data[place + 4 : end]) != int.from_bytes(data[end : end + 4], "big"):
            raise BrokenImageError(f"a damaged PNG: the checksum of a part ({kind!r}) is wrong")
        place = end + 4


def _plain_png_size(data: bytes) -> tuple[int, int] | None:
    """Height and width of a complete 8-bit grey or RGB PNG; None for any other PNG."""
    if data[12:16] != b"IHDR" or data[-8:-4] != b"IEND":
        return None
    bits, colour = data[24], data[25]
    first_pixels = data.find(b"IDAT")
    is_plain = bits == 8 and colour in (0, 2) and data.find(b"tRNS", 0, first_pixels) < 0
    if not is_plain:
        return None
    return int.from_bytes(data[20:24], "big"), int.from_bytes(data[16:20], "big")


def _wrong_size(height: int, width: int, max_pixels: int) -> BrokenImageError:
    if height < 1 or width < 1:
        return BrokenImageError(f"an image of {width} x {height} pixels")
    return BrokenImageError(
        f"{width} x {height} pixels, more than max_pixels={max_pixels:,} allows"
    )


def _decode_with_pillow(data: bytes, max_pixels: int) -> np.ndarray:
    try:
        with warnings.catch_warnings():
            # Pillow warns of large images; the limit here is max_pixels.
            warnings.simplefilter("ignore", Image.DecompressionBombWarning)
            image = Image.open(io.BytesIO(data))
        if not 0 < image.height * image.width <= max_pixels:
            raise _wrong_size(image.height, image.width, max_pixels)
        rgb = _to_rgb(ImageOps.exif_transpose(image))
    except BrokenImageError:
        raise
    except Exception as error:  # Pillow's decoders raise nearly anything on damaged files
        reason = str(error).replace("\n", " ") or type(error).__name__
        if isinstance(error, Image.UnidentifiedImageError):
            reason = "not an image of a known format"
        raise BrokenImageError(reason) from error
    return np.ascontiguousarray(rgb[:, :, ::-1])


def _to_rgb(image: Image.Image) -> np.ndarray:
    """8-bit RGB of a Pillow image; transparent parts on white."""
    if image.mode.startswith("I"):
        return _grey_to_rgb(np.asarray(image))
    if image.mode == "F":
        raise BrokenImageError("pixels are floating-point numbers of unknown range")
    if image.mode in ("RGBA", "LA", "PA", "RGBa", "La") or "transparency" in image.info:
        image = image.convert("RGBA")
        white = Image.new("RGBA", image.size, "white")
        image = Image.alpha_composite(white, image)
    return np.asarray(image.convert("RGB"))


def _grey_to_rgb(values: np.ndarray) -> np.ndarray:
    """16-bit grey levels to 8-bit RGB: 65,535 becomes 255."""
    if values.min() < 0 or values.max() > 65535:
        raise BrokenImageError("grey levels beyond 16 bits")
    levels = np.rint(values / 257).astype(np.uint8)
    return np.repeat(levels[:, :, None], 3, axis=2)
