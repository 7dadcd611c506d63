"""Reading an image file of any format as 8-bit BGR pixels."""

from __future__ import annotations

import errno
import os
import stat
import zlib

import cv2
import numpy as np

from mms_ocr.utils.errors import BrokenImageError
from mms_ocr.utils.jpeg import JPEG_START, decode_strictly, read_frame
from mms_ocr.utils.pillow_images import (
    alpha_of,
    apply_orientation,
    exif_orientation,
    gray_levels,
    open_upright,
    wrong_size,
)

#: Images with more pixels than this are refused unread: 2^24 = 16,384 x 1,024.
MAX_PIXELS = 1 << 24

PNG_START = b"\x89PNG\r\n\x1a\n"
#: Chunks that change what a PNG shows; OpenCV ignores some of them.
SPECIAL_CHUNKS = frozenset([b"tRNS", b"eXIf", b"acTL"])
_AS_8_BITS = "store 8-bit levels with 8 bits"
_WHITE, _BLACK, _GRAY = 255, 0, 128
_NEAR = 64  # levels from the background within which a pixel is hard to see


def read_image_file(path: str) -> bytes:
    """Read the bytes of an image file.

    Raises:
        BrokenImageError: The file is missing, empty or unreadable, or is no regular file.
    """
    try:
        if not stat.S_ISREG(os.stat(path).st_mode):  # opening a pipe would wait for its writer
            raise OSError(errno.EINVAL, "a folder, a pipe or a device")
        with open(path, "rb", buffering=0) as file:
            data = file.read()
    except (OSError, ValueError) as error:  # ValueError: a null character in the name
        raise BrokenImageError(f"{path}: {getattr(error, 'strerror', None) or error}") from error
    if not data:
        raise BrokenImageError(f"{path}: the file is empty")
    return data


def decode_image(data: bytes, max_pixels: int = MAX_PIXELS) -> np.ndarray:
    """Decode an image of any common format to uint8 BGR ``(H, W, 3)``.

    Other color spaces (CMYK, palettes, grayscale) become BGR, 16-bit values are scaled to 8 bits,
    and EXIF orientation is applied. Transparent parts become white, unless more than a tenth of the
    visible part is almost white (within 64 levels); then black, under the same condition; and
    otherwise middle gray. The first of several frames or pages is read. Images of more than
    ``max_pixels`` are refused by their header.

    Raises:
        BrokenImageError: The bytes are truncated, damaged or not an image; or the image has
            too many pixels, pixels of unknown brightness, or only transparent ones.
    """
    return decode_oriented(data, max_pixels)[0]


def decode_oriented(data: bytes, max_pixels: int = MAX_PIXELS) -> tuple[np.ndarray, int]:
    """Decode an image as :func:`decode_image`; also return the EXIF orientation, 1 to 8."""
    if data[:2] == JPEG_START:
        return _decode_jpeg(data, max_pixels)
    if data[:8] == PNG_START and _is_plain(data, check_png(data, max_pixels)):
        image = cv2.imdecode(np.frombuffer(data, np.uint8), cv2.IMREAD_COLOR)
        if image is not None:
            return image, 1
    return _decode_with_pillow(data, max_pixels)


def _decode_jpeg(data: bytes, max_pixels: int) -> tuple[np.ndarray, int]:
    frame = read_frame(data)
    if frame is None:
        return _decode_with_pillow(data, max_pixels)
    if not 0 < frame.height * frame.width <= max_pixels:
        raise wrong_size(frame.height, frame.width, max_pixels)
    if frame.bits != 8 or frame.components not in (1, 3, 4):
        return _decode_with_pillow(data, max_pixels)
    image = decode_strictly(data, frame)
    if image is None or frame.components == 4:
        return _decode_with_pillow(data, max_pixels)
    if frame.exif is None:
        return image, 1
    orientation = exif_orientation(frame.exif)
    return apply_orientation(image, orientation), orientation


def check_png(data: bytes, max_pixels: int) -> set[bytes]:
    """Check the checksums of a PNG, since decoders accept half an image; return its chunks' kinds.

    Raises:
        BrokenImageError: It is truncated or damaged, or has too many pixels.
    """
    width, height = (int.from_bytes(data[start : start + 4], "big") for start in (16, 20))
    if height * width > max_pixels:
        raise wrong_size(height, width, max_pixels)
    place, kind, kinds = 8, b"", set()
    while kind != b"IEND":
        kind = data[place + 4 : place + 8]
        end = place + 8 + int.from_bytes(data[place : place + 4], "big")
        if len(data) < end + 4:
            raise BrokenImageError("a PNG that is truncated")
        if zlib.crc32(data[place + 4 : end]) != int.from_bytes(data[end : end + 4], "big"):
            raise BrokenImageError(f"a damaged PNG: the checksum of a part ({kind!r}) is wrong")
        place = end + 4
        kinds.add(kind)
    return kinds


def _is_plain(data: bytes, chunks: set[bytes]) -> bool:
    """Return whether a PNG is stored as 8-bit gray or RGB."""
    bits, color = data[24], data[25]
    if data[12:16] != b"IHDR" or bits != 8 or color not in (0, 2) or chunks & SPECIAL_CHUNKS:
        return False
    return data[16:20] != bytes(4) and data[20:24] != bytes(4)


def _decode_with_pillow(data: bytes, max_pixels: int) -> tuple[np.ndarray, int]:
    stored = open_upright(data, max_pixels)
    image = stored.image
    levels = gray_levels(stored)
    if levels is not None:
        rgb = np.repeat(_to_8_bits(levels, stored.bits)[:, :, None], 3, axis=2)
    else:
        try:
            # By RGBA, since Pillow converts palettes and transparent colors to it in one step.
            has_alpha = "A" in image.mode or "transparency" in image.info
            rgb = np.asarray(image.convert("RGBA" if has_alpha else "RGB"))[:, :, :3]
        except ValueError as error:
            raise BrokenImageError(f"colors cannot be read: {error}") from error
        if stored.bits == 16 and not rgb.any():
            raise BrokenImageError(f"no level of a 16-bit image is above 255; {_AS_8_BITS}")
    alpha = alpha_of(stored, levels)
    if alpha is not None:
        rgb = _fill_transparent(rgb, alpha)
    return np.ascontiguousarray(rgb[:, :, ::-1]), stored.orientation


def _to_8_bits(levels: np.ndarray, bits: int) -> np.ndarray:
    """Scale gray levels of 8 or 16 bits to 8."""
    span = int(levels.max() - levels.min())
    if bits == 16 and 0 < span < 256:
        raise BrokenImageError(f"the levels of a 16-bit image span {span} of 65,535; {_AS_8_BITS}")
    return np.rint(levels * (255 / ((1 << bits) - 1))).astype(np.uint8)


def _fill_transparent(rgb: np.ndarray, alpha: np.ndarray) -> np.ndarray:
    """Put an image with transparency on a background; see :func:`decode_image`."""
    if not alpha.any():
        raise BrokenImageError("every pixel is transparent")
    luminance = rgb @ np.array([0.299, 0.587, 0.114])
    visible = int(alpha.sum())
    for background in (_WHITE, _BLACK, _GRAY):
        if 10 * int(alpha[np.abs(luminance - background) < _NEAR].sum()) <= visible:
            break
    opacity = alpha[:, :, None] / 255
    return np.rint(rgb * opacity + background * (1 - opacity)).astype(np.uint8)
