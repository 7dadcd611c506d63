"""Word accuracy and speed of Tesseract and of recognizers, in one table.

Tesseract gets each word 64 pixels high (bicubic), with a border of 12 pixels repeated from its
edge, and reads it as a single word (``--psm 8``). One process of one thread reads all images of a
set from a list of files; preparing them is not counted. A recognizer of this project reads the
image files in this process, on one thread. Words per second are per second of processor time, over
all sets.

    python projects/studies/readers.py --data ../shared/data --readers NAME_OR_CHECKPOINT
"""

from __future__ import annotations

import argparse
import math
import os
import resource
import shutil
import subprocess
import tempfile
import time
from collections.abc import Callable, Sequence
from pathlib import Path
from statistics import NormalDist

import cv2
import numpy as np
import torch

from mms_ocr.apis.reading import WordReader
from mms_ocr.datasets import open_source
from mms_ocr.evaluation.benchmark_scores import PROTOCOLS, ReadWord, markdown_table
from mms_ocr.evaluation.word_benchmark import judge_words
from mms_ocr.utils.decoding import decode_image
from mms_ocr.utils.devices import describe_machine

PROTOCOL = "word_acc_ignore_case_symbol"
SETS = {
    "IIIT5K": "iiit5k/test.jsonl",
    "SVT": "svt/test.jsonl",
    "ICDAR 2013 (1,015)": "icdar2013/test_1015.jsonl",
}
HEIGHT, BORDER = 64, 12
Words = list[tuple[str, str]]  # path of the image, label


def parse_args() -> argparse.Namespace:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--data", default="../shared/data", help="folder of iiit5k, svt, icdar2013")
    parser.add_argument(
        "--readers", nargs="+", default=[], metavar="WEIGHTS", help="recognizers to measure"
    )
    parser.add_argument("--config", help="config of the recognizers, where it is not known")
    parser.add_argument("--no-tesseract", action="store_true", help="only the recognizers")
    parser.add_argument("--words", type=int, help="words of each set, evenly spaced (all)")
    parser.add_argument("--batch-size", type=int, default=64, help="of the recognizers (64)")
    args = parser.parse_args()
    if args.words is not None and args.words < 1:
        parser.error(f"--words must be at least 1, got {args.words}")
    if args.no_tesseract and not args.readers:
        parser.error("nothing to measure: give --readers, or leave out --no-tesseract")
    if not args.no_tesseract and shutil.which("tesseract") is None:
        parser.error("no tesseract here: apt-get install tesseract-ocr, or give --no-tesseract")
    return args


def read_set(path: Path, count: int | None) -> Words:
    """Read paths and labels of a test set's words: all, or ``count`` evenly spaced ones."""
    source = open_source(path)
    total = len(source)
    chosen = np.linspace(0, total - 1, min(count or total, total)).round().astype(int)
    images = [source.read(int(index), labelled=True) for index in chosen]
    return [(image.name, image.text or "") for image in images]


def wilson_interval(right: int, count: int, level: float = 0.95) -> tuple[float, float]:
    """Return Wilson's score interval of a share, ``right`` of ``count``, in [0, 1].

    From E. B. Wilson, "Probable inference, the law of succession, and statistical inference",
    Journal of the American Statistical Association, 1927.
    """
    z = NormalDist().inv_cdf((1 + level) / 2)
    share = right / count
    center = (share + z * z / (2 * count)) / (1 + z * z / count)
    half = z / (1 + z * z / count) * math.sqrt(share * (1 - share) / count + (z / (2 * count)) ** 2)
    return max(0.0, center - half), min(1.0, center + half)


def prepare_for_tesseract(path: str) -> np.ndarray:
    """Decode a word image and return it 64 pixels high, with a border repeated from its edge."""
    image = decode_image(Path(path).read_bytes())
    width = max(1, round(image.shape[1] * HEIGHT / image.shape[0]))
    image = cv2.resize(image, (width, HEIGHT), interpolation=cv2.INTER_CUBIC)
    return cv2.copyMakeBorder(image, BORDER, BORDER, BORDER, BORDER, cv2.BORDER_REPLICATE)


def read_with_tesseract(paths: Sequence[str]) -> tuple[list[str], float]:
    """Read word images with one process of Tesseract; returns texts and processor seconds."""
    with tempfile.TemporaryDirectory() as name:
        files = [Path(name, f"{number:06}.png") for number in range(len(paths))]
        for path, file in zip(paths, files):
            cv2.imwrite(str(file), prepare_for_tesseract(path))
        Path(name, "list.txt").write_text("".join(f"{file}\n" for file in files))
        before = resource.getrusage(resource.RUSAGE_CHILDREN)
        output = subprocess.run(
            ["tesseract", str(Path(name, "list.txt")), "stdout", "--psm", "8"],
            env={**os.environ, "OMP_THREAD_LIMIT": "1"},
            stdout=subprocess.PIPE,
            stderr=subprocess.DEVNULL,
            text=True,
            check=True,
        ).stdout
        after = resource.getrusage(resource.RUSAGE_CHILDREN)
    pages = split_pages(output)
    if len(pages) != len(paths):
        raise RuntimeError(f"tesseract returned {len(pages)} pages for {len(paths)} images")
    taken = after.ru_utime - before.ru_utime + after.ru_stime - before.ru_stime
    return pages, taken


def split_pages(output: str) -> list[str]:
    """Split the output of Tesseract into texts of pages, with a form feed between or after them."""
    return [" ".join(page.split()) for page in output.removesuffix("\f").split("\f")]


def recognizer(weights: str, args: argparse.Namespace) -> Callable:
    """Make a function that reads word images with a recognizer, as :func:`read_with_tesseract`."""
    reader = WordReader(weights, args.config, "cpu", args.batch_size)

    def read(paths: Sequence[str]) -> tuple[list[str], float]:
        reader(paths[: args.batch_size])  # warms up
        start = time.process_time()
        texts = [reading.text or "" for reading in reader(paths)]
        return texts, time.process_time() - start

    return read


def measure(read: Callable, sets: Sequence[Words]) -> list[str]:
    """Measure a reader: accuracy of every set with its interval, and words per second, as cells."""
    cells, taken = [], 0.0
    for words in sets:
        texts, seconds = read([path for path, _ in words])
        taken += seconds
        results = [ReadWord(i, words[i][1], text) for i, text in enumerate(texts)]
        right = sum(judge_words(results)[PROTOCOL])
        low, high = wilson_interval(right, len(words))
        cells.append(f"{right / len(words):.1%} ({100 * low:.1f}–{100 * high:.1f})")
    return [*cells, f"{sum(map(len, sets)) / taken:.1f}"]


def main() -> None:
    args = parse_args()
    torch.set_num_threads(1)
    sets = {name: read_set(Path(args.data, path), args.words) for name, path in SETS.items()}
    readers: dict[str, Callable] = {}
    if not args.no_tesseract:
        command = subprocess.run(["tesseract", "--version"], capture_output=True, text=True)
        version = command.stdout.split()[1] if command.stdout else ""
        readers[f"Tesseract {version}"] = read_with_tesseract
    readers.update({weights: recognizer(weights, args) for weights in args.readers})
    print(f"{describe_machine()}; {PROTOCOLS[PROTOCOL]}; 95% intervals by Wilson\n")
    rows = [["reader", *sets, "words/s"], ["images", *(f"{len(w):,}" for w in sets.values()), ""]]
    for name, read in readers.items():
        rows.append([name, *measure(read, list(sets.values()))])
    print(markdown_table(rows))


if __name__ == "__main__":
    main()
