"""Strict decoding of JPEGs: libjpeg's warnings are errors, unless no pixel depends on them."""

from __future__ import annotations

from typing import NamedTuple

import numpy as np
import simplejpeg

from mms_ocr.utils.errors import BrokenImageError

JPEG_START, _END = b"\xff\xd8", b"\xff\xd9"
_FRAMES = frozenset(range(0xC0, 0xD0)) - {0xC4, 0xC8, 0xCC}
_SEQUENTIAL = (0xC0, 0xC1)
_PROGRESSIVE = 0xC2
_WITHOUT_LENGTH = (0x00, 0x01, 0xFF, *range(0xD0, 0xDA))
_APP0, _APP1, _SCAN = 0xE0, 0xE1, 0xDA
# Under the usual Huffman tables (Annex K of the standard; these are the code lengths of one) zeros
# are endless coefficients of -1, which no image has. The decoder may still end in step.
_USUAL_TABLE = bytes.fromhex("0002010303020403050504040000017d")
_ZEROS = bytes(16)


class JpegFrame(NamedTuple):
    """Header of a JPEG: its kind, samples and size, and its EXIF block, if any.

    ``place`` is the first byte of the frame's header in the file.
    """

    place: int
    is_progressive: bool
    bits: int
    height: int
    width: int
    components: int
    exif: bytes | None


def read_frame(data: bytes) -> JpegFrame | None:
    """Read the header of a JPEG; None if it does not look like one."""
    place, end, exif = 2, len(data) - 10, None
    while place < end and data[place] == 0xFF:
        marker = data[place + 1]
        if marker in _FRAMES:
            return JpegFrame(
                place,
                marker == _PROGRESSIVE,
                data[place + 4],
                data[place + 5] << 8 | data[place + 6],
                data[place + 7] << 8 | data[place + 8],
                data[place + 9],
                exif,
            )
        following = place + (1 if marker == 0xFF else 2 + (data[place + 2] << 8 | data[place + 3]))
        if marker == _APP1 and exif is None and data[place + 4 : place + 10] == b"Exif\0\0":
            exif = data[place + 4 : following]
        place = following
    return None


def decode_strictly(data: bytes, frame: JpegFrame) -> np.ndarray | None:
    """Decode a JPEG without any warning of libjpeg; None for unusual subsampling.

    Args:
        data: The bytes of the file.
        frame: What its header says.

    Returns:
        uint8 array ``(H, W, 3)`` in BGR order; of four components ``(H, W, 4)``, CMYK as stored.

    Raises:
        BrokenImageError: It is damaged.
    """
    colorspace = "CMYK" if frame.components == 4 else "BGR"
    if _ZEROS in data:
        data = _without_zeros(data, frame)
    try:
        image = simplejpeg.decode_jpeg(data, colorspace)
    except ValueError as error:
        if "subsampling" in str(error):
            return None
        try:
            image = simplejpeg.decode_jpeg(mend_harmless_faults(data), colorspace)
        except ValueError as error:
            raise BrokenImageError(f"a damaged JPEG: {error}") from error
    if frame.is_progressive and not _is_complete(data):
        raise BrokenImageError("a damaged JPEG: the last scans of a progressive one are missing")
    return image


def _without_zeros(data: bytes, frame: JpegFrame) -> bytes:
    """Cut off zeros between the pixels and the end mark; elsewhere among pixels, they are an error.

    Only where they can be no pixels: with the usual tables, in a scan of all components.
    """
    scan = data.find(b"\xff\xda", frame.place)
    end = data.find(_END, scan)
    zeros = data.find(_ZEROS, scan, end)
    if zeros < 0 or frame.is_progressive or data[scan + 4] != frame.components:
        return data
    if _USUAL_TABLE not in data:
        return data
    if data[zeros:end].strip(b"\0"):
        raise BrokenImageError("a damaged JPEG: zeros in place of pixels")
    return data[: zeros + (data[zeros - 1] == 0xFF)] + _END  # FF 00 encodes a level of FF


def _is_complete(data: bytes) -> bool:
    """Return whether the scans of a progressive JPEG have all bits of all coefficients."""
    bits_left: dict[int, list[int]] = {}  # of the 64 coefficients of each component
    place = data.find(b"\xff", 2)
    while 0 <= place < len(data) - 4 and data[place : place + 2] != _END:
        marker, length = data[place + 1], data[place + 2] << 8 | data[place + 3]
        if marker in _WITHOUT_LENGTH:
            place = data.find(b"\xff", place + 1)
            continue
        part = data[place + 4 : place + 2 + length]
        if marker == _PROGRESSIVE:
            bits_left = {component: [16] * 64 for component in part[6::3]}
        elif marker == _SCAN:
            first, last, bits = part[-3:]
            for component in part[1:-3:2]:
                bits_left[component][first : last + 1] = [bits & 15] * (last + 1 - first)
        place = data.find(b"\xff", place + 2 + length)
    return not any(any(bits) for bits in bits_left.values())


def mend_harmless_faults(data: bytes) -> bytes:
    """Repair faults that libjpeg warns of and no pixel depends on.

    These are bytes between the parts of the header, JFIF revisions unknown to libjpeg, spectral
    ranges in the scan of a sequential file (some phones leave them 0), and zeros between the pixels
    and the end marker. If zeros are in place of pixels, libjpeg reports missing pixels without
    them.
    """
    mended = bytearray(JPEG_START)
    place, is_sequential = data.find(b"\xff", 2), False
    while 0 <= place < len(data) - 14:
        marker, length = data[place + 1], data[place + 2] << 8 | data[place + 3]
        if marker in _WITHOUT_LENGTH:
            place = data.find(b"\xff", place + 1)
            continue
        part = bytearray(data[place : place + 2 + length])
        if marker == _SCAN:
            if is_sequential:
                part[-3:] = b"\x00\x3f\x00"
            mended += part + data[place + 2 + length :]
            break
        if marker == _APP0 and part[4:9] == b"JFIF\0":
            part[9:10] = b"\1"
        elif marker in _FRAMES:
            is_sequential = marker in _SEQUENTIAL
        mended += part
        place = data.find(b"\xff", place + 2 + length)
    end = mended.rfind(_END)
    return bytes(mended[:end].rstrip(b"\0") + _END) if end > 0 else bytes(mended)
