"""Decoding images with Pillow: upright, and with their exact levels."""

from __future__ import annotations

import io
import warnings
from typing import NamedTuple

import numpy as np
from PIL import Image, ImageOps

from mms_ocr.utils.errors import BrokenImageError

_ORIENTATION, _BITS, _PHOTOMETRIC, _PLANES, _SAMPLE_FORMAT = 0x0112, 258, 262, 284, 339  # tags
_WHITE_IS_ZERO, _SEPARATE, _SIGNED = 0, 2, 2
_UNUSUAL_TIFF = (
    "a TIFF with signed, inverted 16-bit or other unusual levels; store 8 or 16 bits, black as 0, "
    "colors of a pixel together"
)
_GRAY_BITS = {"I;12": 12}  # others have 16 or 32
_TIFF_STARTS = (b"II*\0", b"MM\0*")
# Pillow reads the orientation from these as well; viewers and OpenCV do not.
_OTHER_ORIENTATIONS = ("xmp", "XML:com.adobe.xmp", "Raw profile type exif")


class StoredImage(NamedTuple):
    """Decoded Pillow image and how its file stores the levels."""

    image: Image.Image  # the first frame, upright
    orientation: int  # EXIF orientation that was applied, 1 to 8
    raw_mode: str  # Pillow's name of the sample format, such as 'I;16B'
    is_scaled: bool  # whether Pillow has scaled the levels from another maximum

    @property
    def bits(self) -> int:
        """Bits of a sample: 8 (also of those with fewer), 12, 16 or 32."""
        if self.image.mode.startswith("I"):
            return _GRAY_BITS.get(self.raw_mode, 32 if "32" in self.raw_mode else 16)
        # BGR;16 has 16 bits for a whole pixel.
        return 16 if ";16" in self.raw_mode and not self.raw_mode.startswith("BGR") else 8


def open_upright(data: bytes, max_pixels: int, single_frame: bool = False) -> StoredImage:
    """Decode the first frame of an image file and apply its EXIF orientation.

    Raises:
        BrokenImageError: The bytes are truncated or not an image; or the image has too many
            pixels or, with ``single_frame``, several frames or pages.
    """
    try:
        with warnings.catch_warnings():
            # Pillow warns of large images, where max_pixels is the limit, and of damaged EXIF.
            warnings.simplefilter("ignore")
            image = Image.open(io.BytesIO(data))
            if not 0 < image.height * image.width <= max_pixels:
                raise wrong_size(image.height, image.width, max_pixels)
            if image.format == "WEBP" and len(data.rstrip(b"\0")) < len(data) * 7 // 8:
                raise BrokenImageError("a damaged WebP: zeros in place of its end")
            frames = getattr(image, "n_frames", 1) if single_frame else 1
            if frames > 1:
                raise BrokenImageError(f"{frames} frames or pages instead of one")
            return _upright(image)
    except BrokenImageError:
        raise
    except Exception as error:  # Pillow's decoders raise nearly anything on damaged files
        reason = str(error).replace("\n", " ") or type(error).__name__
        if isinstance(error, Image.UnidentifiedImageError):
            reason = "not an image of a known format"
            if data[:4] in _TIFF_STARTS:
                reason = _UNUSUAL_TIFF
        raise BrokenImageError(reason) from error


def _upright(image: Image.Image) -> StoredImage:
    arguments = image.tile[0][3] if image.tile else ""  # type: ignore[attr-defined]
    arguments = arguments if isinstance(arguments, tuple) else (arguments,)
    is_tiff = image.format == "TIFF"
    tags = dict(image.tag_v2) if is_tiff else {}  # type: ignore[attr-defined]
    is_inverted = image.mode.startswith("I") and tags.get(_PHOTOMETRIC) == _WHITE_IS_ZERO
    # Pillow reads uncompressed planes of 16 bits as if they had 8.
    is_planar = tags.get(_PLANES) == _SEPARATE and len(tags.get(_BITS, ())) > 1
    has_wrong_planes = is_planar and tags[_BITS][0] > 8 and image.tile[0][0] == "raw"  # type: ignore[attr-defined]
    if is_inverted or has_wrong_planes or tags.get(_SAMPLE_FORMAT, (1,))[0] == _SIGNED:
        raise BrokenImageError(_UNUSUAL_TIFF)
    image.load()
    for key in _OTHER_ORIENTATIONS:
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
    """Read the exact levels of a gray image, int32 ``(H, W)``; None with colors or alpha channel.

    Raises:
        BrokenImageError: The levels have 32 bits, or are floating-point numbers.
    """
    mode = stored.image.mode
    if mode not in ("1", "L", "F") and not mode.startswith("I"):
        return None
    if mode == "F" or stored.bits == 32:
        raise BrokenImageError("gray levels of unknown range; store 8 or 16 bits")
    levels = np.asarray(stored.image).astype(np.int32)
    return levels * 255 if mode == "1" else levels


def alpha_of(stored: StoredImage, levels: np.ndarray | None) -> np.ndarray | None:
    """Read the opacity of an image, uint8 ``(H, W)``; None if all of it is opaque.

    ``levels`` is the result of :func:`gray_levels`.
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
