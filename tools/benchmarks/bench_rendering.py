"""Rendered words per second on one core, by difficulty, and what a second core adds.

One process renders on one core; then one DataLoader worker and two of them render the same words in
turns. CPU time is printed beside wall-clock time, so that a busy machine is noticed.
``--profile`` adds where the time goes.

    python tools/benchmarks/bench_rendering.py
    python tools/benchmarks/bench_rendering.py --fonts FOLDER --profile
"""

from __future__ import annotations

import argparse
import cProfile
import multiprocessing
import os
import platform
import pstats
import resource
import time
from pathlib import Path

import cv2
import numpy as np
import PIL
import torch
from torch.utils.data import DataLoader, Dataset

from mms_ocr.datasets import RenderedWordDataset

BLOCKS = 5


def machine() -> str:
    model = platform.processor() or platform.machine()
    cpu_info = Path("/proc/cpuinfo")
    if cpu_info.exists():
        names = [
            line for line in cpu_info.read_text().splitlines() if line.startswith("model name")
        ]
        model = names[0].partition(":")[2].strip() if names else model
    cores = len(os.sched_getaffinity(0))
    return (
        f"{model}, {cores} cores; Python {platform.python_version()}, NumPy {np.__version__}, "
        f"OpenCV {cv2.__version__}, Pillow {PIL.__version__}, torch {torch.__version__}"
    )


def one_core(dataset: RenderedWordDataset, count: int) -> tuple[float, float]:
    """Measure words per second, by the clock and by CPU time: the best of several blocks each."""
    clock, processor = [], []
    for block in range(BLOCKS):
        start, used = time.perf_counter(), time.process_time()
        for index in range(block * count, (block + 1) * count):
            dataset[index]
        clock.append(count / (time.perf_counter() - start))
        processor.append(count / (time.process_time() - used))
    return max(clock), max(processor)


class Clocked(Dataset):
    """Renders a word; items are the process and the CPU time that it has used."""

    def __init__(self, dataset: RenderedWordDataset) -> None:
        self.dataset = dataset

    def __len__(self) -> int:
        return len(self.dataset)

    def __getitem__(self, index: int) -> tuple[int, float]:
        self.dataset[index]
        return os.getpid(), time.process_time()


def of_cpu_time(stamps: list[tuple[int, float]]) -> float:
    """Compute the words per second of all workers if each had its own core."""
    by_worker: dict[int, list[float]] = {}
    for worker, used in stamps:
        by_worker.setdefault(worker, []).append(used)
    return sum((len(times) - 1) / (times[-1] - times[0]) for times in by_worker.values())


def scaling(dataset: RenderedWordDataset, count: int) -> dict[int, tuple[float, float]]:
    """Measure words per second, by the clock and by CPU time, with one and two workers.

    All workers are up before the first block, and wait while the others have their turn.
    """
    clock: dict[int, list[float]] = {1: [], 2: []}
    processor: dict[int, list[float]] = {1: [], 2: []}
    streams = {}
    for workers in clock:
        loader = DataLoader(
            Clocked(dataset), batch_size=64, num_workers=workers, collate_fn=list, prefetch_factor=2
        )
        streams[workers] = iter(loader)
        for _ in range(40 * workers):  # every worker fills its own glyph cache
            next(streams[workers])
    for _ in range(BLOCKS):
        for workers, batches in streams.items():
            for _ in range(2 * workers):  # made while the others had their turn
                next(batches)
            start, stamps = time.perf_counter(), []
            for _ in range(count // 64):
                stamps += next(batches)
            # Words in the making at the end pay for those in the making at the start.
            clock[workers].append(len(stamps) / (time.perf_counter() - start))
            processor[workers].append(of_cpu_time(stamps))
            time.sleep(0.5)
    return {workers: (max(clock[workers]), max(processor[workers])) for workers in clock}


def stages(dataset: RenderedWordDataset, count: int) -> None:
    profile = cProfile.Profile()
    profile.enable()
    for index in range(count):
        dataset[index]
    profile.disable()
    entries = pstats.Stats(profile).stats
    total = max(entry[3] for entry in entries.values())
    names = (
        "content", "_set_text", "draw", "_draw_neighbours", "draw_geometry", "ink_points", "fit",
        "warp", "make_background", "lay_ink", "take_photograph", "char_boxes",
    )  # fmt: skip
    print(f"share of the time at difficulty 0.5 (profiled, {count} words)")
    for name in names:
        spent = sum(
            entry[3]
            for (file, _, function), entry in entries.items()
            if function == name and "rendering" in file and not file.endswith("words.py")
            and not (name == "draw" and not file.endswith("layout.py"))
        )  # fmt: skip
        print(f"  {name.strip('_'):<18}{spent / total:>7.1%}")


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--fonts", nargs="+", help="font folders (those of matplotlib)")
    parser.add_argument("--words", type=int, default=640, help="words of a block (640)")
    parser.add_argument("--difficulty", type=float, nargs="+", default=[0.5, 0, 1])
    parser.add_argument("--profile", action="store_true", help="where the time goes")
    args = parser.parse_args()

    cv2.setNumThreads(1)
    torch.set_num_threads(1)
    multiprocessing.set_start_method("fork")
    print(machine())
    began = time.perf_counter()
    length = 10**9
    dataset = RenderedWordDataset(length, fonts=args.fonts)
    faces = len(dataset.renderer.fonts)
    print(f"{faces} fonts read and checked in {time.perf_counter() - began:.2f} s")

    print(f"{'':<30}{'words/s (clock)':>18}{'words/s (CPU time)':>20}")
    for difficulty in args.difficulty:
        dataset = RenderedWordDataset(length, fonts=args.fonts, difficulty=difficulty)
        for index in range(4 * args.words):  # fills the glyph caches
            dataset[10**6 + index]
        clock, processor = one_core(dataset, args.words)
        print(f"{f'one core, difficulty {difficulty:g}':<30}{clock:>18.0f}{processor:>20.0f}")
        if difficulty == 0.5:
            speeds = scaling(dataset, args.words)
            for workers, (by_clock, by_cpu) in speeds.items():
                name = f"  {workers} DataLoader workers" if workers > 1 else "  1 DataLoader worker"
                print(f"{name:<30}{by_clock:>18.0f}{by_cpu:>20.0f}")
            ratios = [second / first for first, second in zip(speeds[1], speeds[2])]
            print(f"{'  times as many with two':<30}{ratios[0]:>18.2f}{ratios[1]:>20.2f}")
            if args.profile:
                stages(dataset, args.words)
    memory = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 1024
    print(f"most memory of this process, torch and all caches included: {memory:.0f} MiB")


if __name__ == "__main__":
    main()
