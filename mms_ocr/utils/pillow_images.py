"""Decoding images with Pillow: upright, and with their exact levels."""

from __future__ import annotations

import io
import struct
import warnings
from typing import NamedTuple

import numpy as np
from PIL import Image, ImageOps

from mms_ocr.utils.errors import BrokenImageError

_ORIENTATION, _PHOTOMETRIC, _SAMPLE_FORMAT = 0x0112, 262, 339  # EXIF and TIFF tags
_WHITE_IS_ZERO, _SIGNED = 0, 2
_TIFF_STARTS = (b"II*\0", b"MM\0*")
# Pillow reads the orientation from these as well; viewers and OpenCV do not.
_OTHER_ORIENTATIONS = ("xmp", "XML:com.adobe.xmp", "Raw profile type exif")


class StoredImage(NamedTuple):
    """A decoded Pillow image and how its file stores the levels.

    Attributes:
        image: The first frame, upright.
        orientation: The EXIF orientation that was applied, 1 to 8.
        raw_mode: Pillow's name of the sample format, such as ``'I;16B'``.
        is_inverted: Whether white is zero and Pillow has not inverted it.
        is_signed: Whether levels may be negative.
        is_scaled: Whether Pillow has scaled the levels from another maximum.
    """

    image: Image.Image
    orientation: int
    raw_mode: str
    is_inverted: bool
    is_signed: bool
    is_scaled: bool

    @property
    def bits(self) -> int:
        """Bits of a sample: 8 (also of those with fewer), 16 or 32."""
        if self.image.mode.startswith("I"):
            return 32 if "32" in self.raw_mode else 16
        # BGR;16 has 16 bits for a whole pixel.
        return 16 if ";16" in self.raw_mode and not self.raw_mode.startswith("BGR") else 8


def open_upright(data: bytes, max_pixels: int, single_frame: bool = False) -> StoredImage:
    """Decode the first frame of an image file and apply its EXIF orientation.

    Raises:
        BrokenImageError: The bytes are no image, are truncated, or have too many pixels; or, with
            ``single_frame``, several frames or pages.
    """
    try:
        with warnings.catch_warnings():
            # Pillow warns of large images, where max_pixels is the limit, and of damaged EXIF.
            warnings.simplefilter("ignore")
            image, is_inverted = _open(data)
            if not 0 < image.height * image.width <= max_pixels:
                raise wrong_size(image.height, image.width, max_pixels)
            if image.format == "WEBP" and len(data.rstrip(b"\0")) < len(data) * 7 // 8:
                raise BrokenImageError("a damaged WebP: zeros in place of its end")
            frames = getattr(image, "n_frames", 1) if single_frame else 1
            if frames > 1:
                raise BrokenImageError(f"{frames} frames or pages instead of one")
            return _upright(image, is_inverted)
    except BrokenImageError:
        raise
    except Exception as error:  # Pillow's decoders raise nearly anything on damaged files
        reason = str(error).replace("\n", " ") or type(error).__name__
        if isinstance(error, Image.UnidentifiedImageError):
            reason = "not an image of a known format"
            if data[:4] in _TIFF_STARTS:
                reason = "a TIFF with samples of a kind that is not supported"
        raise BrokenImageError(reason) from error


def _open(data: bytes) -> tuple[Image.Image, bool]:
    """Open an image, and return whether its white is zero but was opened as if black was."""
    try:
        return Image.open(io.BytesIO(data)), False
    except Image.UnidentifiedImageError:
        if data[:4] not in _TIFF_STARTS:
            raise
        # Pillow opens 16-bit and signed levels of most TIFFs only if black is zero.
        order = "<" if data[:2] == b"II" else ">"
        (start,) = struct.unpack_from(f"{order}I", data, 4)
        (count,) = struct.unpack_from(f"{order}H", data, start)
        for place in range(start + 2, start + 2 + 12 * count, 12):
            tag, kind = struct.unpack_from(f"{order}HH", data, place)
            value = f"{order}{'H' if kind == 3 else 'I'}"
            if tag == _PHOTOMETRIC and struct.unpack_from(value, data, place + 8) == (0,):
                changed = bytearray(data)
                struct.pack_into(value, changed, place + 8, 1)
                return Image.open(io.BytesIO(changed)), True
        raise


def _upright(image: Image.Image, is_inverted: bool) -> StoredImage:
    arguments = image.tile[0][3] if image.tile else ""  # type: ignore[attr-defined]
    arguments = arguments if isinstance(arguments, tuple) else (arguments,)
    is_tiff = image.format == "TIFF"
    tags = dict(image.tag_v2) if is_tiff else {}  # type: ignore[attr-defined]
    for key in _OTHER_ORIENTATIONS:
        image.info.pop(key, None)
    image.load()
    for key in _OTHER_ORIENTATIONS:  # those after the pixels of a PNG
        image.info.pop(key, None)
    if is_tiff:
        orientation = tags.get(_ORIENTATION, 1)
        image = ImageOps.exif_transpose(image)  # unless Pillow did so when loading
    else:
        orientation = exif_orientation(image.info.get("exif"))
        if orientation != 1:
            image = ImageOps.exif_transpose(image)
    return StoredImage(
        image,
        orientation if orientation in range(1, 9) else 1,
        str(arguments[0]),
        is_inverted or (image.mode.startswith("I") and tags.get(_PHOTOMETRIC) == _WHITE_IS_ZERO),
        tags.get(_SAMPLE_FORMAT, (1,))[0] == _SIGNED,
        image.format == "PPM" and len(arguments) > 1 and arguments[1] not in (1, 255, 65535),
    )


def exif_orientation(exif: bytes | None) -> int:
    """Read the orientation of an EXIF block: 1 (upright) to 8; 1 if there is none or damage."""
    if not exif:
        return 1
    try:
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")
            block = Image.Exif()
            block.load(exif)
            orientation = block.get(_ORIENTATION, 1)
    except Exception:  # Pillow's parser raises nearly anything; the pixels are good all the same
        return 1
    return orientation if orientation in range(1, 9) else 1


def apply_orientation(image: np.ndarray, orientation: int) -> np.ndarray:
    """Rotate and mirror stored pixels ``(H, W, ...)`` by an EXIF orientation of 1 to 8."""
    if orientation in (5, 6, 7, 8):
        image = image.swapaxes(0, 1)
    if orientation in (3, 4, 7, 8):
        image = image[::-1]
    if orientation in (2, 3, 6, 7):
        image = image[:, ::-1]
    return np.ascontiguousarray(image)


def gray_levels(stored: StoredImage) -> np.ndarray | None:
    """Read the exact levels of a gray image: black is 0; signed levels are as stored.

    Returns:
        int32 ``(H, W)``; None for an image with colors or an alpha channel.

    Raises:
        BrokenImageError: The levels have 32 bits.
    """
    mode = stored.image.mode
    if mode not in ("1", "L") and not mode.startswith("I"):
        return None
    if stored.bits == 32:
        raise BrokenImageError("gray levels of 32 bits, of unknown range: store 8 or 16 bits")
    levels = np.asarray(stored.image).astype(np.int32)
    if mode == "1":
        levels *= 255
    if stored.is_signed and mode == "L":
        levels = levels.astype(np.int8).astype(np.int32)  # Pillow reads them as unsigned
    if stored.is_inverted:
        highest = -1 if stored.is_signed else (1 << stored.bits) - 1
        levels = highest - levels
    return levels


def alpha_of(stored: StoredImage, levels: np.ndarray | None) -> np.ndarray | None:
    """Read the opacity of an image, uint8 ``(H, W)``; None if all of it is opaque.

    Args:
        stored: The image.
        levels: The result of :func:`gray_levels`.
    """
    image = stored.image
    if "A" in image.mode or (levels is None and "transparency" in image.info):
        alpha = np.asarray(image.convert("RGBA"))[:, :, 3]
    elif "transparency" in image.info:
        # Pillow scales levels of 2 and 4 bits, and does not scale the transparent one.
        scale = {"L;2": 85, "L;4": 17}.get(stored.raw_mode, 1)
        alpha = np.where(levels == image.info["transparency"] * scale, 0, 255).astype(np.uint8)
    else:
        return None
    return None if alpha.min() == 255 else alpha


def wrong_size(height: int, width: int, max_pixels: int) -> BrokenImageError:
    """Describe an image of no or too many pixels."""
    if height < 1 or width < 1:
        return BrokenImageError(f"an image of {width} x {height} pixels")
    return BrokenImageError(
        f"{width} x {height} pixels, more than max_pixels={max_pixels:,} allows"
    )
