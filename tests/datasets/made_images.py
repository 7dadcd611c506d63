"""Small word images and the sources made of them, for the tests of this folder and below."""

from __future__ import annotations

import json
from pathlib import Path

import cv2
import lmdb
import numpy as np


def encode(image: np.ndarray, suffix: str = ".png") -> bytes:
    return cv2.imencode(suffix, image)[1].tobytes()


def word_pixels(number: int, height: int = 20, width: int = 60) -> np.ndarray:
    """An image whose pixels tell its number: no two are alike."""
    return np.random.default_rng(number).integers(0, 256, (height, width, 3), dtype=np.uint8)


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
