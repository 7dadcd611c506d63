"""Strict decoding of JPEGs: libjpeg's warnings are errors, unless no pixel depends on them."""

from __future__ import annotations

import struct
from collections.abc import Iterator
from typing import NamedTuple

import numpy as np
import simplejpeg

from mms_ocr.utils.errors import BrokenImageError

JPEG_START, _END = b"\xff\xd8", b"\xff\xd9"
_FRAMES = frozenset(range(0xC0, 0xD0)) - {0xC4, 0xC8, 0xCC}
_SEQUENTIAL = (0xC0, 0xC1)
_PROGRESSIVE = 0xC2
_WITHOUT_LENGTH = (0x00, 0x01, 0xFF, *range(0xD0, 0xD9))
_APP0, _APP1, _SCAN = 0xE0, 0xE1, 0xDA
# Under the usual Huffman tables (Annex K of the standard; these are the code lengths of one) zeros
# are endless coefficients of -1, which no image has. The decoder may still end at the right place.
_USUAL_TABLE = bytes.fromhex("0002010303020403050504040000017d")
_ZEROS = bytes(16)


class JpegFrame(NamedTuple):
    """Header of a JPEG; ``start`` is its place in the file, ``exif`` the EXIF block, if any."""

    start: int
    is_progressive: bool
    bits: int
    height: int
    width: int
    components: int
    exif: bytes | None


def _segments(data: bytes) -> Iterator[tuple[int, int, int]]:
    """Yield marker, start and end of each segment, without the pixels, until the end mark."""
    start = data.find(b"\xff", 2)
    while 0 <= start < len(data) - 4 and data[start + 1] != _END[1]:
        marker, end = data[start + 1], start + 1
        if marker not in _WITHOUT_LENGTH:
            end = start + 2 + (data[start + 2] << 8 | data[start + 3])
            yield marker, start, end
        start = data.find(b"\xff", end)


def read_frame(data: bytes) -> JpegFrame | None:
    """Read the header of a JPEG; None if it does not look like one."""
    exif = None
    for marker, start, end in _segments(data):
        if marker in _FRAMES and end <= len(data):
            bits, height, width, components = struct.unpack_from(">BHHB", data, start + 4)
            is_progressive = marker == _PROGRESSIVE
            return JpegFrame(start, is_progressive, bits, height, width, components, exif)
        if marker == _APP1 and exif is None and data[start + 4 : start + 10] == b"Exif\0\0":
            exif = data[start + 4 : end]
    return None


def decode_strictly(data: bytes, frame: JpegFrame) -> np.ndarray | None:
    """Decode a JPEG to BGR ``(H, W, 3)``, or CMYK ``(H, W, 4)`` as stored, uint8.

    Returns None for unusual subsampling, and raises BrokenImageError where libjpeg warns.
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
            image = simplejpeg.decode_jpeg(_mend_harmless_faults(data), colorspace)
        except ValueError as error:
            raise BrokenImageError(f"a damaged JPEG: {error}") from error
    if frame.is_progressive and not _is_complete(data):
        raise BrokenImageError("a damaged JPEG: the last scans of a progressive one are missing")
    return image


def _without_zeros(data: bytes, frame: JpegFrame) -> bytes:
    """Cut off zeros between the pixels and the end mark; elsewhere among the pixels, raise.

    Zeros can be pixels unless the tables are the usual ones, in a scan of all components.
    """
    scan = data.find(b"\xff\xda", frame.start)
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
    for marker, start, end in _segments(data):
        part = data[start + 4 : end]
        if marker == _PROGRESSIVE:
            bits_left = {component: [16] * 64 for component in part[6::3]}
        elif marker == _SCAN:
            first, last, bits = part[-3:]
            for component in part[1:-3:2]:
                bits_left[component][first : last + 1] = [bits & 15] * (last + 1 - first)
    return not any(any(bits) for bits in bits_left.values())


def _mend_harmless_faults(data: bytes) -> bytes:
    """Repair faults that libjpeg warns of and no pixel depends on.

    These are bytes between the parts of the header, JFIF revisions unknown to libjpeg, spectral
    ranges in the scan of a sequential file (some phones leave them 0), and zeros between the pixels
    and the end mark. Without zeros in place of pixels, libjpeg reports missing pixels.
    """
    repaired, is_sequential = bytearray(JPEG_START), False
    for marker, start, end in _segments(data):
        part = bytearray(data[start:end])
        if marker == _SCAN:
            if is_sequential:
                part[-3:] = b"\x00\x3f\x00"
            repaired += part + data[end:]
            break
        if marker == _APP0 and part[4:9] == b"JFIF\0":
            part[9:10] = b"\1"
        elif marker in _FRAMES:
            is_sequential = marker in _SEQUENTIAL
        repaired += part
    end = repaired.rfind(_END)
    return bytes(repaired[:end].rstrip(b"\0") + _END) if end > 0 else bytes(repaired)
