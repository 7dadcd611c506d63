"""Damage images, annotation files and LMDB values at random; none may crash, nor be read wrongly.

Hypothesis draws the damage: bits flipped, bytes set, cut, deleted, inserted and copied, most of all
at the start of a file, where its header is. Whatever comes of it must be a clear error that names
the image, or the right thing:

- PNG: the very image. It has checksums.
- other images: what Pillow's strict decoding makes of the same bytes, or an error. JPEG and the
  like have no checksums: a changed byte within the pixels gives another image, unnoticed.
- JPEG with a stretch lost: refused where zeros reach the end. Where bytes of the middle are lost,
  the decoder may fall into step again, and nothing shows.
- masks: the very levels, or an error.
- JSON lines: the bytes of the file that the line names, inside the data root, and its label, as
  Python's json reads the line; every other line as before.
- LMDB: the bytes and the label of this index, as they were put there.

    python tests/faults/fuzz_data.py --examples 1000
"""

from __future__ import annotations

import argparse
import io
import json
import os
import random
import sys
import tempfile
from collections import Counter
from collections.abc import Callable
from pathlib import Path

import cv2
import lmdb
import numpy as np
from hypothesis import HealthCheck, given, seed, settings
from hypothesis import strategies as st
from PIL import Image

import mms_ocr  # noqa: F401
from mms_ocr.datasets import decode_image, open_source
from mms_ocr.datasets.sources.label_maps import decode_label_map
from mms_ocr.utils.decoding import MAX_PIXELS
from mms_ocr.utils.errors import BrokenImageError

FORMATS = {"JPEG": "jpeg", "PNG": "png", "WEBP": "other", "BMP": "other", "GIF": "other"}
_place = st.one_of(st.integers(0, 64), st.integers(0, 100_000))
_length = st.integers(1, 40)
_bytes = st.one_of(
    st.binary(min_size=1, max_size=8),
    st.sampled_from([b"\xff" * 4, b"\0" * 4, b"\n", b'"', b"../", b"/etc/passwd", b"\xff\xd9"]),
    st.sampled_from([b"{", b"}", b"\\u0000", b"\xed\xa0\x80", b"NaN", b"1e999", b"[" * 3000]),
)
_damage = st.lists(
    st.one_of(
        st.tuples(st.just("flip"), _place, st.integers(0, 7)),
        st.tuples(st.just("set"), _place, _bytes),
        st.tuples(st.just("insert"), _place, _bytes),
        st.tuples(st.just("delete"), _place, _length),
        st.tuples(st.just("cut"), _place, _length),
        st.tuples(st.just("copy"), _place, _place, _length),
    ),
    min_size=1,
    max_size=5,
)


def mutate(data: bytes, damage: list[tuple]) -> bytes:
    """Damage some bytes."""
    for kind, place, *how in damage:
        at = place % (len(data) + 1)
        if kind == "flip" and at < len(data):
            data = data[:at] + bytes([data[at] ^ 1 << how[0]]) + data[at + 1 :]
        elif kind == "set":
            data = data[:at] + how[0] + data[at + len(how[0]) :]
        elif kind == "insert":
            data = data[:at] + how[0] + data[at:]
        elif kind == "delete":
            data = data[:at] + data[at + how[0] :]
        elif kind == "cut":
            data = data[:at]
        elif kind == "copy":
            start = how[0] % (len(data) + 1)
            data = data[:at] + data[start : start + how[1]] + data[at:]
    return data


def make_images() -> list[tuple[str, bytes]]:
    """Make small images of several formats, sizes and modes: format and bytes."""
    rng = np.random.default_rng(0)
    images = []
    for number, form in enumerate(FORMATS):
        for mode in ("RGB", "L"):
            small = rng.integers(0, 256, (3, 8, 3), dtype=np.uint8)
            size = (24 + 9 * number, 12 + 5 * number)
            image = Image.fromarray(cv2.resize(small, size, interpolation=cv2.INTER_CUBIC))
            file = io.BytesIO()
            options = dict(lossless=True) if form == "WEBP" else {}
            options |= dict(progressive=True) if (form, mode) == ("JPEG", "L") else {}
            image.convert(mode).save(file, form, **options)
            images.append((form, file.getvalue()))
    return images


def expected_pixels(data: bytes) -> np.ndarray | None:
    """Decode an image with Pillow; None if Pillow refuses it."""
    try:
        image = Image.open(io.BytesIO(data))
        if image.width * image.height > MAX_PIXELS:
            return None
        return np.asarray(image.convert("RGB"))[:, :, ::-1]
    except Exception:  # whatever it raises, it refuses
        return None


def make_masks() -> list[bytes]:
    """Make PNGs with levels of every kind."""
    strokes = Image.fromarray(np.eye(24, 60, dtype=np.uint8) * 255)
    deep = Image.fromarray(np.eye(24, 60, dtype=np.uint16) * 300)
    modes = [strokes.convert(mode) for mode in ("L", "1", "P", "LA", "RGB", "RGBA")]
    files = [io.BytesIO() for _ in range(7)]
    for image, file in zip((*modes, deep), files):
        image.save(file, "PNG")
    return [file.getvalue() for file in files]


def lose_stretch(data: bytes, rng: random.Random) -> bytes:
    """Replace a stretch of a JPEG's scan by zeros, or remove it."""
    scan = data.index(b"\xff\xda") + 14
    start, end = sorted(rng.sample(range(scan, len(data) - 2), 2))
    to_the_end = data[:start] + bytes(len(data) - start)
    return rng.choice([to_the_end, to_the_end[:-2] + data[-2:], data[:start] + data[end:]])


class ImageFuzz:
    """Damaged images of one kind, decoded.

    Args:
        kind: ``'jpeg'``, ``'png'``, ``'other'``, ``'stretch'`` (JPEGs of which a stretch is lost)
            or ``'mask'``.
    """

    def __init__(self, kind: str) -> None:
        form = "jpeg" if kind == "stretch" else kind
        images = [data for name, data in make_images() if FORMATS[name] == form]
        self.images = images or make_masks()
        self.kind = kind

    def __call__(self, number: int, damage: list[tuple]) -> str:
        """Damage an image and decode it; return the outcome."""
        decode = decode_label_map if self.kind == "mask" else decode_image
        original = self.images[number % len(self.images)]
        if self.kind == "stretch":
            data = lose_stretch(original, random.Random(repr((number, damage))))
        else:
            data = mutate(original, damage)
        if data == original:
            return "unchanged"
        try:
            pixels = decode(data)
        except BrokenImageError as error:
            return "refused" if str(error).strip() and "\n" not in str(error) else "unclear"
        is_same = np.array_equal(pixels, decode(original))
        if self.kind in ("png", "mask") or is_same:
            return "exact" if is_same else "wrong"
        if self.kind == "stretch":
            return "wrong" if data.endswith(b"\0\0") else "unnoticed"
        right = pixels.dtype == np.uint8 and pixels.ndim == 3 and pixels.shape[2] == 3
        if not right or pixels.shape[0] * pixels.shape[1] > MAX_PIXELS:
            return "wrong"
        expected = expected_pixels(data)
        if expected is None:
            return "lenient"
        if pixels.shape != expected.shape:
            # Rotated as its EXIF orientation says.
            return "exact" if pixels.shape[:2] == expected.shape[1::-1] else "wrong"
        close = np.abs(pixels.astype(int) - expected).mean() < 16
        return "exact" if close else "wrong"


class JsonlFuzz:
    """A damaged annotation file in a folder, read line by line."""

    def __init__(self, folder: Path) -> None:
        self.root = folder / "words"
        (self.root / "train").mkdir(parents=True)
        (folder / "secret.png").write_bytes(b"outside of the data root")
        lines = []
        for number, (_, data) in enumerate(make_images()):
            (self.root / "train" / f"{number}.png").write_bytes(data)
            lines.append(json.dumps(dict(filename=f"train/{number}.png", text=f"wörd {number}")))
        self.content = "\n".join(lines).encode() + b"\n"
        self.file = self.root / "words.jsonl"

    def __call__(self, number: int, damage: list[tuple]) -> str:
        """Damage the file and read all of it; return the outcome."""
        shift = 7 * number  # anywhere in the file, and not at its start only
        content = mutate(self.content[shift:], damage)
        content = self.content[:shift] + content
        if content == self.content:
            return "unchanged"
        self.file.write_bytes(content)
        try:
            source = open_source(str(self.file))
        except (ValueError, FileNotFoundError) as error:
            return "refused" if "\n" not in str(error) else "unclear"
        lines = [line for line in content.split(b"\n") if line.strip()]
        if len(source) != len(lines):
            return "wrong"
        endings = {self._read(source, index, line) for index, line in enumerate(lines)}
        for ending in ("wrong", "unclear", "refused"):
            if ending in endings:
                return ending
        return "exact"

    def _read(self, source: object, index: int, line: bytes) -> str:
        try:
            image = source.read(index, labelled=True)
        except BrokenImageError as error:
            return "refused" if "\n" not in str(error) else "unclear"
        row = json.loads(line)
        path = os.path.realpath(self.root / row["filename"])
        inside = path.startswith(os.path.realpath(self.root) + os.sep)
        right = inside and image.data == Path(path).read_bytes() and image.text == row["text"]
        return "exact" if right else "wrong"


class LmdbFuzz:
    """Damaged values of an LMDB in a folder: an image, a label, or the number of images."""

    def __init__(self, folder: Path) -> None:
        self.folder = folder
        images = [data for form, data in make_images() if form == "PNG"] * 2
        self.values = {b"num-samples": str(len(images)).encode()}
        for number, data in enumerate(images, start=1):
            self.values[b"image-%09d" % number] = data
            self.values[b"label-%09d" % number] = f"wörd {number}".encode()
        self.made = 0

    def __call__(self, number: int, damage: list[tuple]) -> str:
        """Damage a value, and read and decode everything; return the outcome."""
        key = list(self.values)[number % len(self.values)]
        value = mutate(self.values[key], damage)
        if value == self.values[key]:
            return "unchanged"
        values = {**self.values, key: value}
        self.made += 1
        path = self.folder / f"{self.made}.lmdb"
        with (
            lmdb.open(str(path), subdir=False, lock=False, map_size=1 << 22) as environment,
            environment.begin(write=True) as transaction,
        ):
            for name, content in values.items():
                transaction.put(name, content)
        try:
            return self._read(str(path), values)
        finally:
            path.unlink()

    def _read(self, path: str, values: dict[bytes, bytes]) -> str:
        try:
            source = open_source(path)
        except (ValueError, FileNotFoundError) as error:
            return "refused" if "\n" not in str(error) else "unclear"
        if str(len(source)).encode() != values[b"num-samples"].strip().strip(b"\0").lstrip(b"+0"):
            return "wrong"
        ending = "exact"
        for index in range(len(source)):
            data = values[b"image-%09d" % (index + 1)]
            label = values[b"label-%09d" % (index + 1)]
            try:
                image = source.read(index, labelled=True)
                pixels = decode_image(image.data)
            except BrokenImageError as error:
                ending = "refused" if "\n" not in str(error) else "unclear"
                continue
            if image.data != data or image.text.encode() != label:
                return "wrong"
            if data in self.values.values() and not np.array_equal(pixels, decode_image(data)):
                return "wrong"
        return ending


def repeat(check: Callable[..., str], examples: int, *strategies: object) -> tuple[Counter, list]:
    """Call ``examples`` times with different draws; return counts of outcomes, and faults."""
    endings: Counter[str] = Counter()
    faults: list[tuple] = []

    @settings(
        max_examples=examples,
        database=None,
        deadline=None,
        suppress_health_check=list(HealthCheck),
    )
    @given(st.tuples(*strategies))
    def check_once(drawn: tuple) -> None:
        if sum(endings.values()) - endings["unchanged"] >= examples:
            return
        ending = check(*drawn)
        endings[ending] += 1
        if ending in ("wrong", "unclear", "lost"):
            faults.append((ending, *drawn))

    number = 0
    while sum(endings.values()) - endings["unchanged"] < examples:
        seed(number)(check_once)()
        number += 1
    return endings, faults


def run(fuzz: Callable[[int, list[tuple]], str], examples: int) -> tuple[Counter, list]:
    """Damage files ``examples`` times; see :func:`repeat`."""
    return repeat(fuzz, examples, st.integers(0, 63), _damage)


def main() -> int:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--examples", type=int, default=1000, help="of each kind")
    args = parser.parse_args()
    status = 0
    command = f"tests/faults/fuzz_data.py --examples {args.examples}"
    with tempfile.TemporaryDirectory() as folder:
        kinds = {
            "damaged JPEG images": ImageFuzz("jpeg"),
            "damaged PNG images": ImageFuzz("png"),
            "damaged WebP, BMP and GIF images": ImageFuzz("other"),
            "JPEG images with a stretch lost": ImageFuzz("stretch"),
            "damaged masks": ImageFuzz("mask"),
            "damaged JSON lines": JsonlFuzz(Path(folder)),
            "damaged LMDB values": LmdbFuzz(Path(folder)),
        }
        for name, fuzz in kinds.items():
            endings, faults = run(fuzz, args.examples)
            wrong = endings["wrong"] + endings["unclear"]
            count = sum(endings.values()) - endings["unchanged"]
            parts = ", ".join(f"{endings[key]} {key}" for key in sorted(endings))
            print(f"{name}: {parts}", file=sys.stderr)
            for fault in faults[:3]:
                print(f"  {fault}", file=sys.stderr)
            lost = f"{endings['refused']} refused with one line, {wrong} read wrongly"
            if endings["unnoticed"]:
                lost += f", {endings['unnoticed']} unnoticed"
            print(f"| {name} | {count} | {count - wrong} | {lost} | `{command}` |", flush=True)
            status |= bool(wrong)
    return status


if __name__ == "__main__":
    sys.exit(main())
