"""Speed of readers of words, from images in memory to texts: this project's, and others.

Every reader is in a process of its own, with the Python that ``--python PACKAGE=PATH`` names for
its package, and reads the same images. In each round the first reader, the reference, reads before
each other one, and a ratio is the median over the rounds: other work on the machine slows both.
Words per second are per second of processor time on one thread, and by the clock on more.

Weights that are not at hand are random. Random weights never end a word of an autoregressive
decoder; here they end after six characters, except in MMOCR's decoders, which always write their
longest word.

    python tools/benchmarks/bench_readers.py --images test.jsonl --python doctr=venv/bin/python
"""

from __future__ import annotations

import argparse
import json
import os
import statistics
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path
from typing import Any, NamedTuple

import cv2
import numpy as np
from reader_worker import LOADERS, config_of

from mms_ocr.apis.input_images import input_images
from mms_ocr.evaluation.benchmark_scores import markdown_table
from mms_ocr.utils.bundled import bundled_names, bundled_onnx
from mms_ocr.utils.devices import describe_machine

WORKER = Path(__file__).with_name("reader_worker.py")
#: What the command starts with, as it does where torch is not installed.
IN_ONNX = "mms_vit_n_ctc.onnx"
#: Package, model and form of the readers; the first is the reference.
READERS = (
    "mms_ocr:mms_vit_n_ctc:onnx",
    "mms_ocr:mms_vit_n_ctc:int8",
    "mms_ocr:mms_vit_n_ctc:torch",
    "mms_ocr:mms_vit_n_ctc:compiled",
    *(
        f"mms_ocr:mms_vit_{size}_{kind}_words:{form}"
        for size in "ts"
        for kind, forms in (("ctc", ("onnx", "int8", "torch")), ("ar", ("onnx", "torch")))
        for form in forms
    ),
    "mmocr:crnn",
    "mmocr:svtr-tiny",
    "mmocr:satrn",
    "mmocr:nrtr",
    "doctr:crnn_mobilenet_v3_small",
    "doctr:vitstr_small",
    "doctr:parseq",
    "easyocr:english_g2",
    "rapidocr:PP-OCRv6_rec_small",
    "tesseract:eng",
)


class Spec(NamedTuple):
    """Reader to measure."""

    package: str
    model: str
    form: str = ""

    @property
    def name(self) -> str:
        """Name in the tables."""
        package = "" if self.package == "mms_ocr" else f"{self.package} "
        return f"{package}`{self.model}`" + (f", {self.form}" if self.form else "")


class Speed(NamedTuple):
    """Words per second: median and extremes of the rounds, and the ratio to the reference."""

    median: float
    low: float
    high: float
    ratio: float

    def __str__(self) -> str:
        digits = 0 if self.median >= 100 else 1
        shown = [f"{value:,.{digits}f}" for value in (self.median, self.low, self.high)]
        return f"{shown[0]} ({shown[1]}–{shown[2]})"


def parse_args(argv: list[str] | None = None) -> argparse.Namespace:
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("--images", required=True, help="folder, LMDB or JSON lines of word images")
    parser.add_argument("--words", type=int, default=512, help="evenly spaced ones of them (512)")
    parser.add_argument(
        "--readers", nargs="+", default=list(READERS), metavar="PACKAGE:MODEL[:FORM]",
        help="readers to measure, the reference first (default: all)"
    )  # fmt: skip
    parser.add_argument(
        "--python", nargs="+", default=[], metavar="PACKAGE=PATH",
        help="Python of an environment with the package (default: this one)"
    )  # fmt: skip
    parser.add_argument("--threads", type=int, nargs="+", default=[1, 2])
    parser.add_argument("--batches", type=int, nargs="+", default=[1, 32])
    parser.add_argument("--rounds", type=int, default=5)
    parser.add_argument(
        "--seconds", type=float, default=1.0, help="about what a reader works in a round (1)"
    )
    parser.add_argument(
        "--longest", type=float, default=20.0,
        help="seconds after which a reader has no more than two rounds of a batch size (20)"
    )  # fmt: skip
    parser.add_argument("--starts", type=int, default=3, help="cold starts of each reader; 0 none")
    args = parser.parse_args(argv)
    if min(args.words, args.rounds, *args.threads, *args.batches) < 1:
        parser.error("--words, --rounds, --threads and --batches are at least 1")
    args.readers = [Spec(*reader.split(":")) for reader in args.readers]
    args.python = dict(pair.split("=", 1) for pair in args.python)
    for package in [reader.package for reader in args.readers] + list(args.python):
        if package not in LOADERS:
            parser.error(f"unknown package {package!r}: choose from {', '.join(LOADERS)}")
    return args


def write_words(path: Path, images: str, count: int) -> int:
    """Write evenly spaced images, decoded and in random order, for all readers alike."""
    skipped: list[str] = []
    words = [item.image for item in input_images(images, skipped.append)]
    if not words:
        raise ValueError(f"{images} has no image that can be read: {skipped[:1]}")
    chosen = np.linspace(0, len(words) - 1, min(count, len(words))).round().astype(int)
    order = np.random.default_rng(0).permutation(chosen)
    np.savez(path, **{f"{place:06}": words[index] for place, index in enumerate(order)})
    cv2.imwrite(str(path.with_name("word.png")), words[order[0]])
    return len(order)


def write_models(readers: Sequence[Spec], folder: Path) -> None:
    """Write what readers need: random weights of unbundled models, and models in ONNX."""
    for reader in readers:
        if reader.package not in ("mms_ocr", "mmocr"):
            continue
        weights, config = reader.model, None
        if reader.model not in bundled_names():
            config, path = config_of(reader.model), folder / f"{reader.model}.pth"
            if not path.exists():
                from bench_reading_words import random_weights

                Path(random_weights(config, folder)).rename(path)
            weights = str(path)
        is_bundled = reader.form == "onnx" and bundled_onnx(reader.model).exists()
        if reader.form in ("onnx", "int8") and not is_bundled:
            from mms_ocr.apis.exporting import export

            is_int8 = reader.form == "int8"
            out = folder / f"{reader.model}.{reader.form}.onnx"
            export(weights, out, config, quantize=is_int8, half=not is_int8)


class Worker:
    """Reader in a process of its own; RuntimeError with the reason if it does not load."""

    def __init__(self, command: list[str], environment: dict[str, str], log: Path) -> None:
        with log.open("w") as errors:
            self.process = subprocess.Popen(
                command, env=environment, text=True, stderr=errors,
                stdin=subprocess.PIPE, stdout=subprocess.PIPE,
            )  # fmt: skip
        self.log = log
        self.facts = self._receive()

    def ask(self, batch: int, count: int) -> dict[str, Any]:
        """Read ``count`` words in batches; return seconds, peak memory and texts."""
        self.process.stdin.write(json.dumps(dict(batch=batch, count=count)) + "\n")
        self.process.stdin.flush()
        return self._receive()

    def close(self) -> None:
        """End the process, and wait for its end."""
        self.process.communicate()

    def _receive(self) -> dict[str, Any]:
        line = self.process.stdout.readline()
        if not line:
            self.close()
            lines = self.log.read_text().strip().splitlines()
            raise RuntimeError(lines[-1] if lines else f"exit status {self.process.returncode}")
        answer: dict[str, Any] = json.loads(line)
        return answer


class Bench:
    """Measures readers of a list, with their files in a folder."""

    def __init__(self, args: argparse.Namespace, folder: Path) -> None:
        self.args = args
        self.folder = folder
        self.count = write_words(folder / "words.npz", args.images, args.words)
        write_models(args.readers, folder)

    def command(self, reader: Spec, threads: int, *options: str) -> list[str]:
        """Build the command of a reader's process."""
        python = self.args.python.get(reader.package, sys.executable)
        command = [python, str(WORKER), *reader[:2], reader.form or "-"]
        return [*command, "--folder", str(self.folder), "--threads", str(threads), *options]

    @contextmanager
    def start(self, reader: Spec, threads: int) -> Iterator[Worker]:
        """Start a reader's process, and end it."""
        log = self.folder / f"{reader.package}_{reader.model}_{reader.form}.log"
        worker = Worker(self.command(reader, threads), environment(threads), log)
        try:
            yield worker
        finally:
            worker.close()

    def speeds(self, reader: Spec, worker: Worker, reference: Worker, threads: int) -> list[Speed]:
        """Measure words per second by batch size."""
        clock = "processor" if threads == 1 else "wall"
        return [self._speed(worker, reference, batch, clock) for batch in self.args.batches]

    def _speed(self, worker: Worker, reference: Worker, batch: int, clock: str) -> Speed:
        sides = (reference, worker)
        counts = [self._words_of_a_round(side, batch) for side in sides]
        speeds: list[list[float]] = []
        start = time.perf_counter()
        while len(speeds) < self.args.rounds:
            pair = zip(sides, counts)
            speeds.append([count / side.ask(batch, count)[clock] for side, count in pair])
            if len(speeds) > 1 and time.perf_counter() - start > self.args.longest:
                break
        own = [speed for _, speed in speeds]
        ratio = statistics.median(speed / other for other, speed in speeds)
        return Speed(statistics.median(own), min(own), max(own), ratio)

    def _words_of_a_round(self, worker: Worker, batch: int) -> int:
        few = min(batch, self.count)
        taken = worker.ask(batch, few)["wall"]  # warms up, compiles
        if taken < 2 * self.args.longest:
            taken = worker.ask(batch, few)["wall"]
        return min(self.count, max(1, int(self.args.seconds / taken)) * batch)

    def cold_start(self, command: list[str]) -> tuple[float, float]:
        """Measure seconds from the start of a process to its end: median by clock, and extremes."""
        taken = []
        for _ in range(self.args.starts):
            start = time.perf_counter()
            subprocess.run(command, env=environment(1), check=True, capture_output=True)
            taken.append(time.perf_counter() - start)
        return statistics.median(taken), max(taken)


def environment(threads: int) -> dict[str, str]:
    return {**os.environ, "OMP_NUM_THREADS": str(threads)}


def measure(bench: Bench, report: Callable[[str], Any]) -> None:
    """Measure all readers, and report a table for each number of threads, and one of costs."""
    args = bench.args
    reference, failed = args.readers[0], dict[str, str]()
    costs = [["reader", "version", "weights, MB", "peak memory, MiB", "import and load, s"]]
    if args.starts:
        costs[0] += ["start to first word, s"]
    for threads in args.threads:
        head = [f"batch {batch}, words/s|ratio" for batch in args.batches]
        rows = [["reader", *"|".join(head).split("|")]]
        for reader in args.readers:
            try:
                with bench.start(reference, threads) as base, bench.start(reader, threads) as own:
                    cells = [
                        cell
                        for speed in bench.speeds(reader, own, base, threads)
                        for cell in (str(speed), f"{speed.ratio:.2f}")
                    ]
                    memory = own.ask(args.batches[-1], 1)["memory"]
            except RuntimeError as error:
                failed[reader.name] = str(error)
                continue
            rows.append([reader.name, *cells])
            print(*rows[-1], sep="\t", file=sys.stderr, flush=True)
            if threads == args.threads[0]:
                facts = own.facts
                cost = [facts["version"], f"{facts['size'] / 1e6:.1f}", f"{memory:.0f}"]
                costs.append([reader.name, *cost, f"{facts['loading']:.2f}"])
                if args.starts:
                    typical, longest = bench.cold_start(bench.command(reader, 1, "--once"))
                    costs[-1].append(f"{typical:.2f} (up to {longest:.2f})")
        report(f"{threads} thread{'s' * (threads > 1)}:\n\n{markdown_table(rows)}\n")
    report(markdown_table(costs))
    for name, reason in failed.items():
        report(f"\nNot measured: {name}: {reason}")


def main(argv: list[str] | None = None) -> None:
    args = parse_args(argv)
    with tempfile.TemporaryDirectory() as name:
        bench = Bench(args, Path(name))
        print(f"{describe_machine()}; {bench.count} words of {args.images}\n")
        measure(bench, print)
        if args.starts:
            read = ["read", "--weights", IN_ONNX]
            command = [sys.executable, "-m", "mms_ocr.cli.main", *read, f"{name}/word.png"]
            typical, longest = bench.cold_start(command)
            print(f"\n`mms-ocr {' '.join(read)} word.png`: {typical:.2f} s (up to {longest:.2f})")


if __name__ == "__main__":
    main()
