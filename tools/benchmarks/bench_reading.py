"""Speed of reading on one core, from an LMDB to a collated uint8 batch.

The same images are read by the data set in batches, as torch's loader fetches and collates them,
and by bare ``cv2.imdecode`` and ``cv2.resize`` (bicubic), in turns in one process. Prints both and
their ratio, for given images or for noise of three sizes. ``--profile`` adds batches of validation,
mixed data sets, and the stages of reading one by one; ``--workers`` adds
the scaling of loader processes, by the clock and by processor time.

    python tools/benchmarks/bench_reading.py --images iiit5k/train.jsonl --profile
"""

from __future__ import annotations

import argparse
import os
import platform
import tempfile
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any, NamedTuple

import cv2
import lmdb
import numpy as np
import torch
from torch.utils.data import DataLoader, Dataset, _DatasetKind

from mms_ocr.datasets import (
    EndlessSampler,
    MixedDataset,
    WordImageDataset,
    collate_words,
    decode_image,
    open_source,
)
from mms_ocr.datasets.transforms import resize_word_image

HEIGHT, WIDTH = 32, 128
_BARE, _SAME = "bare imdecode + resize", "the same, antialiased"
_LEAST, _WHOLE = "a batch, the least way", "the whole, for training"

NOISE_HEIGHTS = {"small": (16, 48), "middle": (48, 96), "large": (96, 192)}


def noise_images(count: int, heights: tuple[int, int]) -> list[bytes]:
    """Make JPEGs of smooth noise, 1 to 6 times as wide as high, of quality 95."""
    rng = np.random.default_rng(0)
    images = []
    for _ in range(count):
        height = int(rng.integers(*heights))
        width = int(height * rng.uniform(1, 6))
        small = rng.integers(0, 256, (height // 4 + 1, width // 4 + 1, 3), dtype=np.uint8)
        image = cv2.resize(small, (width, height), interpolation=cv2.INTER_CUBIC)
        images.append(cv2.imencode(".jpg", image, [cv2.IMWRITE_JPEG_QUALITY, 95])[1].tobytes())
    return images


def input_images(path: str, count: int) -> list[bytes]:
    source = open_source(path)
    return [source.read(index).data for index in range(min(count, len(source)))]


def write_lmdb(path: str, images: list[bytes]) -> None:
    with lmdb.open(path, map_size=1 << 32) as environment, environment.begin(write=True) as out:
        for number, image in enumerate(images, start=1):
            out.put(b"image-%09d" % number, image)
        out.put(b"num-samples", b"%d" % len(images))


def bare(images: list[bytes]) -> None:
    for data in images:
        image = cv2.imdecode(np.frombuffer(data, np.uint8), cv2.IMREAD_COLOR)
        cv2.resize(image, (WIDTH, HEIGHT), interpolation=cv2.INTER_CUBIC)


def same_resize(images: list[bytes]) -> None:
    for data in images:
        image = cv2.imdecode(np.frombuffer(data, np.uint8), cv2.IMREAD_COLOR)
        resize_word_image(image, (HEIGHT, WIDTH))


def words(path: str, **pack: Any) -> WordImageDataset:
    """Open an LMDB as a data set with the pipeline of the configs."""
    resize = dict(type="mms_ocr.ResizeWordImage", size=(HEIGHT, WIDTH))
    return WordImageDataset(path, [resize, dict(type="mms_ocr.PackWordImage", **pack)])


def mixed(path: str) -> MixedDataset:
    """Mix the data set of an LMDB with itself; indices of the first are indices of the mix."""
    return MixedDataset([words(path, meta_keys=()), words(path, meta_keys=())])


def fetch(dataset: Dataset) -> Callable:
    """Read and collate batches as torch's loader does for a list of indices."""
    loader = DataLoader(dataset, batch_size=2, collate_fn=collate_words)
    return _DatasetKind.create_fetcher(
        _DatasetKind.Map, dataset, loader._auto_collation, loader.collate_fn, False
    ).fetch


def stages(path: str, images: list[bytes]) -> dict[str, Callable]:
    """Return functions of a list of indices; from the read on, each adds one stage."""
    dataset = words(path)
    source = dataset.sources[0]
    resize, pack = dataset.pipeline.transforms
    mix = fetch(mixed(path))
    return {
        _BARE: lambda batch: bare([images[i] for i in batch]),
        _SAME: lambda batch: same_resize([images[i] for i in batch]),
        _LEAST: lambda batch: least(dataset, batch),
        _WHOLE: fetch(words(path, meta_keys=())),
        "for validation": fetch(words(path, meta_keys=("sample_idx",))),
        "mixed of two": lambda batch: mix([place + len(images) * (place % 2) for place in batch]),
        "LMDB": lambda batch: [source.read(i) is None for i in batch],
        "+ decode": lambda batch: [dataset.load(i) is None for i in batch],
        "+ resize": lambda batch: [resize(dataset.load(i)) is None for i in batch],
        "+ pack": lambda batch: [pack(resize(dataset.load(i))) is None for i in batch],
        "+ data set": lambda batch: [dataset[i] is None for i in batch],
        "+ collate": lambda batch: collate_words([dataset[i] for i in batch]),
    }


def least(dataset: WordImageDataset, indices: list[int]) -> torch.Tensor:
    """Read the same batch directly: without data set, broken images or checks of the source."""
    pixels = np.empty((len(indices), HEIGHT, WIDTH, 3), np.uint8)
    # A file can be open only once in a process: the data set's own is used.
    with dataset.sources[0]._environment().begin() as transaction:
        for index, slot in zip(indices, pixels):
            image = decode_image(transaction.get(b"image-%09d" % (index + 1)))
            resize_word_image(image, (HEIGHT, WIDTH), out=slot)
    return torch.from_numpy(pixels).permute(0, 3, 1, 2)


def best_times(runs: dict[str, Callable], batches: list[list[int]], repeats: int) -> dict:
    """Measure microseconds per image of each run, in turns: the best repeat of each batch.

    Processor time, so that other work on the machine counts as little as it can.
    """
    best = {name: np.full(len(batches), np.inf) for name in runs}
    for _ in range(repeats):
        for number, batch in enumerate(batches):
            for name, run in runs.items():
                start = time.process_time()
                run(batch)
                best[name][number] = min(best[name][number], time.process_time() - start)
    return {name: values.sum() / sum(map(len, batches)) * 1e6 for name, values in best.items()}


class LoaderSpeed(NamedTuple):
    """Images per second by the clock; microseconds of processor time for each image."""

    speed: float
    main: float
    workers: float


def loader_speed(dataset: WordImageDataset, workers: int, batch_size: int) -> LoaderSpeed:
    """Measure the speed of a loader and the processor time of its processes, without its start."""
    loader = DataLoader(
        dataset,
        batch_size,
        sampler=EndlessSampler(dataset, seed=0),
        num_workers=workers,
        collate_fn=collate_words,
    )
    batches = iter(loader)
    for _ in range(2 * workers + 1):
        next(batches)
    count = max(20, 40_000 // batch_size)
    images = count * batch_size
    processes = [worker.pid for worker in batches._workers]
    worked = sum(map(processor_time, processes))
    start, main = time.perf_counter(), time.process_time()
    for _ in range(count):
        next(batches)
    seconds, main = time.perf_counter() - start, time.process_time() - main
    worked = sum(map(processor_time, processes)) - worked
    batches._shutdown_workers()
    return LoaderSpeed(images / seconds, 1e6 * main / images, 1e6 * worked / images)


def processor_time(process: int) -> float:
    """Return the processor time of another process in seconds, which Linux counts in hundredths."""
    fields = Path(f"/proc/{process}/stat").read_text().rpartition(")")[2].split()
    return (int(fields[11]) + int(fields[12])) / os.sysconf("SC_CLK_TCK")


def scaling(dataset: WordImageDataset, workers: int, batch_size: int, repeats: int) -> None:
    """Print how much faster several workers are than one, the best of the repeats of each."""
    runs = {number: [] for number in (1, workers)}
    for _ in range(repeats):
        for number, speeds in runs.items():
            speeds.append(loader_speed(dataset, number, batch_size))
    best = {number: max(speeds) for number, speeds in runs.items()}
    for number, speed in best.items():
        print(
            f"    loader, {number} workers: {speed.speed:,.0f}/s; processor time of an image: "
            f"{speed.workers:.1f} us in workers, {speed.main:.1f} us in the main process"
        )
    cores = len(os.sched_getaffinity(0))
    single, many = best[1], best[workers]
    needed = max(many.workers / workers, (many.workers + many.main) / cores)
    print(
        f"    {many.speed / single.speed:.2f} x by the clock; by processor time {cores} cores "
        f"allow {single.workers / needed:.2f} x, and with one more for the main process "
        f"{single.workers * workers / many.workers:.2f} x"
    )


def measure(name: str, images: list[bytes], args: argparse.Namespace) -> None:
    order = np.random.default_rng(0).permutation(len(images)).tolist()
    size = args.batch_size
    batches = [order[start : start + size] for start in range(0, len(order), size)]
    with tempfile.TemporaryDirectory() as folder:
        path = os.path.join(folder, "words.lmdb")
        write_lmdb(path, images)
        runs = stages(path, images)
        if not args.profile:
            runs = {key: runs[key] for key in (_BARE, _SAME, _WHOLE)}
        times = best_times(runs, batches, args.repeats)
        plain, whole = times[_BARE], times[_WHOLE]
        kibibytes = np.mean([len(image) for image in images]) / 1024
        print(
            f"{name}: {len(images)} images of {kibibytes:.1f} KiB: bare {1e6 / plain:,.0f}/s, "
            f"LMDB to batch {1e6 / whole:,.0f}/s, ratio {plain / whole:.2f} "
            f"({times[_SAME] / whole:.2f} to bare with the same antialiased resize)"
        )
        if args.profile:
            for stage, microseconds in times.items():
                print(f"    {stage:24} {microseconds:7.1f} us")
        if args.workers:
            scaling(words(path, meta_keys=()), args.workers, size, args.repeats)


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--images", help="folder, LMDB or JSON lines; noise images by default")
    parser.add_argument("--count", type=int, default=2000, help="images at most")
    parser.add_argument("--batch-size", type=int, default=250)
    parser.add_argument("--repeats", type=int, default=5)
    parser.add_argument("--profile", action="store_true", help="what each stage adds")
    parser.add_argument("--workers", type=int, default=0, help="also loaders of 1 and N workers")
    args = parser.parse_args()
    cv2.setNumThreads(1)
    torch.set_num_threads(1)
    print(f"{platform.machine()}, one core, OpenCV {cv2.__version__}, torch {torch.__version__}")
    if args.images:
        measure(args.images, input_images(args.images, args.count), args)
        return
    for name, heights in NOISE_HEIGHTS.items():
        low, high = heights
        measure(f"{name} noise, {low} to {high - 1} high", noise_images(args.count, heights), args)


if __name__ == "__main__":
    main()
