"""Compare rendered with real words: light, contrast, color, sharpness, shape.

Every word is scaled to a height of 32 pixels; the table gives the 10th, 50th and 90th percentile
over the words of each data set.

    python projects/studies/rendered_looks.py REAL.jsonl … --fonts FOLDER
"""

from __future__ import annotations

import argparse
from pathlib import Path

import cv2
import numpy as np

from mms_ocr.datasets import RenderedWordDataset, WordImageDataset

MEASURES = {
    "mean luma": "0 to 255",
    "luma range": "5th to 95th percentile of a word's pixels",
    "saturation": "mean of HSV's, 0 to 255",
    "edge": "steepest step from pixel to pixel, share of the range",
    "width per character": "over the height",
}


def measure(image: np.ndarray, text: str) -> tuple[float, ...]:
    height, width = image.shape[:2]
    size = max(2, round(width * 32 / height)), 32
    image = cv2.resize(image, size, interpolation=cv2.INTER_AREA)
    gray = cv2.cvtColor(image, cv2.COLOR_BGR2GRAY).astype(float)
    saturation = cv2.cvtColor(image, cv2.COLOR_BGR2HSV)[..., 1].mean()
    low, high = np.percentile(gray, [5, 95])
    steepest = np.percentile(np.abs(np.diff(gray, axis=1)), 99)
    per_character = width / height / len(text)
    return gray.mean(), high - low, saturation, steepest / max(high - low, 1), per_character


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("real", nargs="+", help="labelled real words: JSON lines or LMDBs")
    parser.add_argument("--fonts", nargs="+", help="font folders (those of matplotlib)")
    parser.add_argument("--difficulty", type=float, nargs="+", default=[0, 0.5, 1])
    parser.add_argument("--count", type=int, default=1500, help="words of each (1500)")
    args = parser.parse_args()

    named = {
        f"{Path(p).parent.name}/{Path(p).stem}": WordImageDataset(p, labelled=True)
        for p in args.real
    }
    named |= {
        f"rendered, {d:g}": RenderedWordDataset(args.count, fonts=args.fonts, difficulty=d)
        for d in args.difficulty
    }
    print("| words | " + " | ".join(MEASURES) + " |")
    print("| --- |" + " --- |" * len(MEASURES))
    for name, dataset in named.items():
        order = np.random.default_rng(0).permutation(len(dataset))[: args.count]
        items = (dataset[int(index)] for index in order)
        values = np.array([measure(item["img"], item["text"]) for item in items])
        cells = []
        for low, middle, high in np.percentile(values, [10, 50, 90], axis=0).T:
            digits = 0 if high > 5 else 2
            cells.append(f"{low:.{digits}f} / {middle:.{digits}f} / {high:.{digits}f}")
        print(f"| {name} | " + " | ".join(cells) + " |")
    for name, unit in MEASURES.items():
        print(f"{name}: {unit}")


if __name__ == "__main__":
    main()
