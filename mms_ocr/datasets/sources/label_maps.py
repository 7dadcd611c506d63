"""Decoding masks to the exact levels that they store, and images together with their masks."""

from __future__ import annotations

from collections.abc import Callable

import cv2
import numpy as np

from mms_ocr.datasets.sources.base import RawImage
from mms_ocr.utils.decoding import (
    MAX_PIXELS,
    PNG_START,
    SPECIAL_CHUNKS,
    check_png,
    decode_oriented,
)
from mms_ocr.utils.errors import BrokenImageError
from mms_ocr.utils.jpeg import JPEG_START
from mms_ocr.utils.pillow_images import StoredImage, alpha_of, gray_levels, open_upright

_COLOR_MODES = ("RGB", "RGBX", "RGBA", "LA", "PA")


def decode_label_map(data: bytes, max_pixels: int = MAX_PIXELS) -> np.ndarray:
    """Decode a mask to its levels, without rounding, scaling or blending.

    - Gray: the levels as stored, of up to 16 bits; 1 bit becomes 0 and 255, and 2 and 4 bits become
      the levels that every decoder shows. White is high, also if the file stores it as zero.
    - Palette: the gray level of the color if all colors of the palette are gray, and otherwise its
      index. Black has to be index 0, and no other used index may be black.
    - Color: the gray level, which all three channels have to share.
    - Transparency: if there is only one gray level, opacity is the level (the strokes are opaque).
      Otherwise all transparent pixels have to be fully transparent and black.

    EXIF orientation is applied. The result is uint8 ``(H, W)``, or uint16 with a level above 255.

    Raises:
        BrokenImageError: The bytes are not an image or damaged, or their levels are ambiguous.
    """
    return _decode_levels(data, max_pixels)[0]


def decode_masked(
    image: RawImage, mask: RawImage, max_pixels: int = MAX_PIXELS
) -> tuple[np.ndarray, np.ndarray]:
    """Decode an image, uint8 BGR ``(H, W, 3)``, and its mask; see :func:`decode_label_map`.

    Raises:
        BrokenImageError: One of them cannot be used, or they differ in EXIF orientation or size.
    """
    pixels, levels = decode_pair(image, mask, max_pixels, _decode_levels)
    (height, width), own = pixels.shape[:2], levels.shape
    if own != (height, width):
        raise BrokenImageError(
            f"{mask.name}: a mask of {own[1]} x {own[0]} pixels, and its image {image.name} has "
            f"{width} x {height}"
        )
    return pixels, levels


def decode_pair(
    first: RawImage,
    second: RawImage,
    max_pixels: int = MAX_PIXELS,
    decode_second: Callable[[bytes, int], tuple[np.ndarray, int]] = decode_oriented,
) -> tuple[np.ndarray, np.ndarray]:
    """Decode two images that show the same and have to have the same EXIF orientation.

    If one is stored rotated, the other may be made from the stored or from the upright pixels.

    Raises:
        BrokenImageError: One of them cannot be used, or they differ in orientation.
    """
    decoded = []
    for raw, decode in ((first, decode_oriented), (second, decode_second)):
        try:
            decoded.append(decode(raw.data, max_pixels))
        except BrokenImageError as error:
            raise BrokenImageError(f"{raw.name}: {error}") from error
    (pixels, orientation), (other, other_orientation) = decoded
    if orientation != other_orientation:
        raise BrokenImageError(
            f"{second.name}: EXIF orientation {other_orientation}, and {first.name} has "
            f"{orientation}: store the pixels of both upright, without EXIF orientation"
        )
    return pixels, other


def _decode_levels(data: bytes, max_pixels: int) -> tuple[np.ndarray, int]:
    if data[:2] == JPEG_START:
        image, orientation = decode_oriented(data, max_pixels)
        return _shared_level(image), orientation
    if data[:8] == PNG_START:
        chunks = check_png(data, max_pixels)
        if data[25] == 0 and not chunks & SPECIAL_CHUNKS:
            levels = cv2.imdecode(np.frombuffer(data, np.uint8), cv2.IMREAD_UNCHANGED)
            if levels is not None and levels.ndim == 2:
                return levels, 1
    stored = open_upright(data, max_pixels, single_frame=True)
    levels = _stored_levels(stored)
    dtype = np.uint8 if levels.max() < 256 else np.uint16
    return levels.astype(dtype), stored.orientation


def _stored_levels(stored: StoredImage) -> np.ndarray:
    image = stored.image
    if stored.is_scaled:
        raise BrokenImageError("a mask with a highest level other than 1, 255 or 65535")
    levels = gray = gray_levels(stored)
    if levels is None:
        if image.mode == "P":
            levels = _palette_levels(stored)
        elif image.mode not in _COLOR_MODES or stored.bits == 16:
            raise BrokenImageError(
                f"a mask of mode {image.mode} ({stored.raw_mode}), whose levels cannot be kept; "
                "store it as a gray PNG"
            )
        else:
            levels = _shared_level(np.asarray(image.convert("RGBA")))
    alpha = alpha_of(stored, gray)
    if alpha is None:
        return levels
    if levels.min() == levels.max() and alpha.min() < alpha.max():
        return alpha
    if levels[alpha < 255].any() or alpha[alpha < 255].any():
        raise BrokenImageError(
            "a mask with transparency that its gray levels do not repeat; store it without an "
            "alpha channel, black where there is no text"
        )
    return levels


def _palette_levels(stored: StoredImage) -> np.ndarray:
    indices = np.asarray(stored.image)
    palette = np.zeros((256, 3), np.int32)
    colors = np.array(stored.image.getpalette("RGB"), np.int32).reshape(-1, 3)
    palette[: len(colors)] = colors
    used = np.unique(indices)
    if any(palette[index].any() == (index == 0) for index in used):
        raise BrokenImageError(
            "a mask with a palette in which index 0 and black are not the same; store it as a "
            "gray PNG"
        )
    if np.array_equal(colors, np.repeat(colors[:, :1], 3, axis=1)):
        return palette[indices, 0]
    return indices.astype(np.int32)


def _shared_level(image: np.ndarray) -> np.ndarray:
    """Return the first channel of ``(H, W, 3 or more)``, which the next two have to equal."""
    level = image[:, :, 0]
    if not (np.array_equal(level, image[:, :, 1]) and np.array_equal(level, image[:, :, 2])):
        raise BrokenImageError("a colored mask; it has to be gray, with a level for each label")
    return level
