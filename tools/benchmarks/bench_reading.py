"""Images per second on one core, from an LMDB to a collated uint8 batch.

The same images go through the data set, its transforms and the collate function on one side, and
through bare ``cv2.imdecode`` and ``cv2.resize`` on the other, taking turns in one process. Prints
both and their ratio; ``--profile`` adds where the time goes.

    python tools/benchmarks/bench_reading.py --images ../shared/data/iiit5k/train.jsonl
"""

from __future__ import annotations

import argparse
import cProfile
import os
import platform
import pstats
import statistics
import tempfile
import time
from collections.abc import Callable

import cv2
import lmdb
import numpy as np
import torch
from mmengine.dataset import default_collate

from mms_ocr.datasets import WordImageDataset, open_source

HEIGHT, WIDTH = 32, 128


def noise_images(count: int) -> list[bytes]:
    """JPEGs of smooth noise as large as word crops are: 24 to 64 high, 1 to 6 times as wide."""
    rng = np.random.default_rng(0)
    images = []
    for _ in range(count):
        height = int(rng.integers(24, 65))
        width = int(height * rng.uniform(1, 6))
        small = rng.integers(0, 256, (height // 4 + 1, width // 4 + 1, 3), dtype=np.uint8)
        image = cv2.resize(small, (width, height), interpolation=cv2.INTER_CUBIC)
        images.append(cv2.imencode(".jpg", image, [cv2.IMWRITE_JPEG_QUALITY, 95])[1].tobytes())
    return images


def given_images(path: str, count: int) -> list[bytes]:
    source = open_source(path)
    return [source.read(index).data for index in range(min(count, len(source)))]


def write_lmdb(path: str, images: list[bytes]) -> None:
    with lmdb.open(path, map_size=1 << 32) as environment, environment.begin(write=True) as out:
        for number, image in enumerate(images, start=1):
            out.put(b"image-%09d" % number, image)
        out.put(b"num-samples", b"%d" % len(images))


def bare(images: list[bytes], interpolation: int) -> int:
    for data in images:
        image = cv2.imdecode(np.frombuffer(data, np.uint8), cv2.IMREAD_COLOR)
        cv2.resize(image, (WIDTH, HEIGHT), interpolation=interpolation)
    return len(images)


def whole_path(dataset: WordImageDataset, order: np.ndarray, batch_size: int) -> int:
    for start in range(0, len(order), batch_size):
        batch = default_collate([dataset[int(i)] for i in order[start : start + batch_size]])
    assert batch["inputs"].dtype == torch.uint8
    return len(order)


def speed(run: Callable[[], int]) -> float:
    start = time.perf_counter()
    count = run()
    return count / (time.perf_counter() - start)


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--images", help="folder, LMDB or JSON lines; noise images by default")
    parser.add_argument("--count", type=int, default=2000, help="images at most")
    parser.add_argument("--batch-size", type=int, default=256)
    parser.add_argument("--repeats", type=int, default=7)
    parser.add_argument("--profile", action="store_true")
    args = parser.parse_args()
    cv2.setNumThreads(1)
    torch.set_num_threads(1)

    images = given_images(args.images, args.count) if args.images else noise_images(args.count)
    order = np.random.default_rng(0).permutation(len(images))
    with tempfile.TemporaryDirectory() as folder:
        path = os.path.join(folder, "words.lmdb")
        write_lmdb(path, images)
        dataset = WordImageDataset(
            path,
            [
                dict(type="mms_ocr.ResizeWordImage", size=(HEIGHT, WIDTH)),
                dict(type="mms_ocr.PackWordImage"),
            ],
        )
        shuffled = [images[i] for i in order]
        candidates = {
            "LMDB to batch (mms_ocr)": lambda: whole_path(dataset, order, args.batch_size),
            "bare imdecode + resize, bicubic": lambda: bare(shuffled, cv2.INTER_CUBIC),
            "bare imdecode + resize, bilinear": lambda: bare(shuffled, cv2.INTER_LINEAR),
        }
        speeds: dict[str, list[float]] = {name: [] for name in candidates}
        for run in candidates.values():
            run()  # warm up: page cache, allocator
        for _ in range(args.repeats):
            for name, run in candidates.items():
                speeds[name].append(speed(run))
        print(
            f"{platform.machine()}, one core, OpenCV {cv2.__version__}, {len(images)} images of "
            f"{np.mean([len(image) for image in images]) / 1024:.1f} KiB, "
            f"median of {args.repeats} turns"
        )
        whole = statistics.median(speeds["LMDB to batch (mms_ocr)"])
        for name, values in speeds.items():
            median = statistics.median(values)
            print(f"{name:34} {median:8.0f} images/s   ratio {whole / median:.2f}")
        if args.profile:
            with cProfile.Profile() as profile:
                whole_path(dataset, order, args.batch_size)
            pstats.Stats(profile).sort_stats("tottime").print_stats(14)


if __name__ == "__main__":
    main()
