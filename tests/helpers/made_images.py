"""Small word images and the sources made of them, for the tests of this folder and below."""

from __future__ import annotations

import io
import json
import struct
from pathlib import Path

import cv2
import lmdb
import numpy as np
from PIL import Image


def encode(image: np.ndarray, suffix: str = ".png") -> bytes:
    return cv2.imencode(suffix, image)[1].tobytes()


def word_pixels(number: int, height: int = 20, width: int = 60) -> np.ndarray:
    """Make an image whose pixels encode its number, so that all images differ."""
    return np.random.default_rng(number).integers(0, 256, (height, width, 3), dtype=np.uint8)


def pillow_bytes(image: Image.Image | np.ndarray, form: str = "PNG", **options) -> bytes:
    buffer = io.BytesIO()
    image = image if isinstance(image, Image.Image) else Image.fromarray(image)
    image.save(buffer, form, **options)
    return buffer.getvalue()


def exif_block(orientation: int) -> Image.Exif:
    exif = Image.Exif()
    exif[0x0112] = orientation
    return exif


def tiff_bytes(levels: np.ndarray, white_is_zero: bool = False, bits: int = 0) -> bytes:
    """Encode an array as an uncompressed gray TIFF, in the byte order of the array.

    Of ``bits``, 12 packs two levels of a row, of an even width, into three bytes.
    """
    height, width = levels.shape
    order = ">" if levels.dtype.byteorder == ">" else "<"
    pixels = levels.tobytes()
    if bits == 12:
        pairs = levels.reshape(-1, 2).tolist()
        pixels = b"".join((first << 12 | second).to_bytes(3, "big") for first, second in pairs)
    sample_format = "uif".index(levels.dtype.kind) + 1
    tags = {
        256: width,
        257: height,
        258: bits or levels.itemsize * 8,
        259: 1,
        262: not white_is_zero,
    }
    tags |= {273: 134, 277: 1, 278: height, 279: len(pixels), 339: sample_format}
    header = struct.pack(order + "2sHIH", b"II" if order == "<" else b"MM", 42, 8, len(tags))
    entries = b"".join(struct.pack(order + "HHII", tag, 4, 1, tags[tag]) for tag in tags)
    return header + entries + bytes(4) + pixels


def write_lmdb(path: Path, entries: dict[str, bytes]) -> Path:
    with lmdb.open(str(path), map_size=1 << 28) as file, file.begin(write=True) as transaction:
        for key, value in entries.items():
            transaction.put(key.encode(), value)
    return path


def lmdb_entries(images: list[bytes], labels: list[str] | None = None) -> dict[str, bytes]:
    entries = {f"image-{number:09d}": image for number, image in enumerate(images, start=1)}
    for number, label in enumerate(labels or [], start=1):
        entries[f"label-{number:09d}"] = label.encode()
    return {**entries, "num-samples": str(len(images)).encode()}


def write_jsonl(path: Path, images: list[bytes], labels: list[str] | None = None) -> Path:
    path.parent.mkdir(parents=True, exist_ok=True)
    lines = []
    for number, image in enumerate(images):
        (path.parent / f"{number}.png").write_bytes(image)
        line = {"filename": f"{number}.png"}
        if labels:
            line["text"] = labels[number]
        lines.append(json.dumps(line, ensure_ascii=False) + "\n")
    path.write_text("".join(lines), encoding="utf-8")
    return path


def write_folder(path: Path, images: list[bytes]) -> Path:
    for number, image in enumerate(images):
        file = path / f"part{number % 3}" / f"{number:03d}.png"
        file.parent.mkdir(parents=True, exist_ok=True)
        file.write_bytes(image)
    return path
