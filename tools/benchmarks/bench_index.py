"""Start-up time and memory of the index of large sources, each measured in a fresh process.

Makes an LMDB and a JSON-lines file of 2 million tiny entries and a folder of 200,000, opens each,
and reads a few images from all over it. The memory of the index is the growth of the process's own
memory, without file mappings; the line for 10 million is that times the ratio of the counts.

    python tools/benchmarks/bench_index.py
"""

from __future__ import annotations

import argparse
import json
import os
import subprocess
import sys
import tempfile
import time
from pathlib import Path

import cv2
import lmdb
import numpy as np

TARGET = 10_000_000


def tiny_image() -> bytes:
    return cv2.imencode(".png", np.zeros((2, 2, 3), np.uint8))[1].tobytes()


def make_lmdb(path: Path, count: int) -> None:
    image = tiny_image()
    with lmdb.open(str(path), map_size=1 << 34, sync=False) as environment:
        for start in range(0, count, 100_000):
            with environment.begin(write=True) as transaction:
                cursor = transaction.cursor()
                cursor.putmulti(
                    (b"image-%09d" % number, image)
                    for number in range(start + 1, min(start + 100_000, count) + 1)
                )
        with environment.begin(write=True) as transaction:
            transaction.put(b"num-samples", b"%d" % count)


def make_jsonl(path: Path, count: int) -> None:
    (path.parent / "words").mkdir()
    (path.parent / "words" / "one.png").write_bytes(tiny_image())
    with open(path, "w") as file:
        for number in range(count):
            file.write(json.dumps(dict(filename="words/one.png", text=f"word {number}")) + "\n")


def make_folder(path: Path, count: int) -> None:
    for number in range(count):
        folder = path / f"part{number // 10_000:04d}"
        if number % 10_000 == 0:
            folder.mkdir(parents=True)
        (folder / f"word_{number:08d}.png").touch()


def own_memory() -> int:
    """Return the anonymous memory of this process in bytes, without mapped files."""
    for line in Path("/proc/self/status").read_text().splitlines():
        if line.startswith("RssAnon"):
            return int(line.split()[1]) * 1024
    raise OSError("no RssAnon in /proc/self/status")


def measure(path: str) -> None:
    from mms_ocr.datasets import EndlessSampler, MixedDataset, WordImageDataset, open_source

    MixedDataset([[0]])  # what imports and first calls take is not counted
    before = own_memory()
    start = time.perf_counter()
    if os.path.isdir(path) and not path.endswith(".lmdb"):
        sized = open_source(path)  # its files are empty
    else:
        sized = MixedDataset([WordImageDataset(path), WordImageDataset(path)], weights=[1, 2])
        next(iter(EndlessSampler(sized, seed=0)))
        for index in np.linspace(0, len(sized) - 1, 50).astype(int):
            sized[int(index)]
    seconds = time.perf_counter() - start
    print(json.dumps(dict(seconds=seconds, bytes=max(own_memory() - before, 0))))


def show(name: str, path: Path, count: int) -> None:
    """Measure in a fresh process and print a line."""
    result = subprocess.run(
        [sys.executable, __file__, "--measure", str(path)],
        check=True,
        capture_output=True,
        text=True,
    )
    measured = json.loads(result.stdout.splitlines()[-1])
    seconds, mebibytes = measured["seconds"], measured["bytes"] / 2**20
    print(
        f"{name:8} {count:10,} {seconds:7.2f} s {mebibytes:6.1f} MiB   "
        f"{seconds * TARGET / count:6.2f} s {mebibytes * TARGET / count:7.1f} MiB"
    )


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--count", type=int, default=2_000_000)
    parser.add_argument("--files", type=int, default=200_000, help="files in the folder")
    parser.add_argument("--measure", help=argparse.SUPPRESS)
    args = parser.parse_args()
    if args.measure:
        measure(args.measure)
        return
    with tempfile.TemporaryDirectory() as folder:
        kinds = dict(
            lmdb=(Path(folder, "words.lmdb"), make_lmdb, args.count),
            jsonl=(Path(folder, "words.jsonl"), make_jsonl, args.count),
            folder=(Path(folder, "tree"), make_folder, args.files),
        )
        print(f"{'source':8} {'images':>10} {'start-up':>9} {'memory':>10}   at 10 million, scaled")
        for name, (path, make, count) in kinds.items():
            make(path, count)
            show(name, path, count)


if __name__ == "__main__":
    main()
