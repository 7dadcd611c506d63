"""Speed and peak memory of reading words, from image files to text, by batch size.

Each recognizer reads the same files with ``WordReader`` and with MMOCR's ``TextRecInferencer``, in
one process and with the same weights; the words have to be equal. Weights are random by default,
with words of an autoregressive decoder ending after six characters. Times are processor time on a
CPU, wall-clock time on a GPU; the least of the rounds is reported.

    python tools/benchmarks/bench_reading_words.py --images iiit5k/train.jsonl
"""

from __future__ import annotations

import argparse
import tempfile
from collections.abc import Callable
from pathlib import Path

import cv2
import numpy as np
import torch
from bench_decoding import let_words_end, peak_memory, seconds
from mmengine.registry import DefaultScope

from mms_ocr.apis import WordReader, mmocr_inferencer
from mms_ocr.apis.trained_models import RECOGNITION, load_config
from mms_ocr.datasets import open_source
from mms_ocr.registry import MODELS
from mms_ocr.utils.devices import describe_machine

CHARACTERS = 6


def parse_args() -> argparse.Namespace:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument(
        "--configs", nargs="+", default=["mms_vit_t_ar_words", "mms_vit_t_ctc_words"]
    )
    parser.add_argument("--weights", help="checkpoint for a single config; else random weights")
    parser.add_argument("--images", help="folder, LMDB or JSON lines; else smooth noise")
    parser.add_argument("--count", type=int, default=128, help="images read in a round (128)")
    parser.add_argument("--batches", type=int, nargs="+", default=[1, 64])
    parser.add_argument("--rounds", type=int, default=3)
    parser.add_argument("--device", default="cuda" if torch.cuda.is_available() else "cpu")
    parser.add_argument("--only-ours", action="store_true", help="without TextRecInferencer")
    args = parser.parse_args()
    if args.weights and len(args.configs) != 1:
        parser.error("--weights goes with one config")
    return args


def write_images(folder: Path, images: str | None, count: int) -> list[str]:
    """Write the images as files, so that both sides read files."""
    if images:
        source = open_source(images)
        data = [source.read(index % len(source)).data for index in range(count)]
    else:
        rng = np.random.default_rng(0)
        small = rng.integers(0, 256, (count, 8, 24, 3), dtype=np.uint8)
        data = [
            cv2.imencode(".jpg", cv2.resize(image, (96, 32), interpolation=cv2.INTER_CUBIC))[1]
            for image in small
        ]
    paths = [folder / f"{number:06d}.jpg" for number in range(count)]
    for path, content in zip(paths, data):
        path.write_bytes(bytes(content))
    return [str(path) for path in paths]


def random_weights(config: str, folder: Path) -> str:
    """Write a checkpoint of random weights whose words have six characters."""
    torch.manual_seed(0)
    cfg = load_config(config, "", RECOGNITION)
    with DefaultScope.overwrite_default_scope(cfg.get("default_scope", "mms_ocr")):
        model = MODELS.build(cfg.model)
    if hasattr(model.decoder, "position_enc"):
        let_words_end(model.decoder, CHARACTERS)
    path = folder / f"{config.replace('/', '_')}.pth"
    torch.save(dict(state_dict=model.state_dict()), path)
    return str(path)


def measure(run: Callable[[], list[str]], args: argparse.Namespace) -> tuple[float, float]:
    """Measure images per second, and MiB in addition to model and images."""
    taken = min(seconds(run, args.device) for _ in range(args.rounds))
    return args.count / taken, peak_memory(run, args.device)


def compare(config: str, paths: list[str], folder: Path, args: argparse.Namespace) -> None:
    weights = args.weights or random_weights(config, folder)
    reader = WordReader(weights, config, args.device)
    inferencer = None if args.only_ours else mmocr_inferencer(weights, config, args.device)
    for batch in args.batches:

        def ours(batch: int = batch) -> list[str]:
            reader.batch_size = batch
            return [reading.text or "" for reading in reader(paths)]

        def theirs(batch: int = batch) -> list[str]:
            result = inferencer(paths, batch_size=batch, progress_bar=False)
            return [prediction["text"] for prediction in result["predictions"]]

        read = ours()  # warms up
        length = sum(map(len, read)) / len(read)
        cells = [f"{config}", f"{batch}", f"{length:.1f}"]
        speed, memory = measure(ours, args)
        cells += [f"{speed:.1f}", f"{memory:.0f}"]
        if inferencer is not None:
            other = theirs()
            same = sum(first == second for first, second in zip(read, other)) / len(read)
            slow, slow_memory = measure(theirs, args)
            cells += [f"{slow:.1f}", f"{slow_memory:.0f}", f"{speed / slow:.2f}", f"{same:.1%}"]
        print(f"| {' | '.join(cells)} |", flush=True)


def main() -> None:
    args = parse_args()
    print(f"{describe_machine(args.device)}; {args.images or 'noise'}, {args.count} images\n")
    head = ["config", "batch", "characters a word", "images/s", "peak memory, MiB"]
    if not args.only_ours:
        head += ["TextRecInferencer, images/s", "peak memory, MiB", "times faster", "same words"]
    print(f"| {' | '.join(head)} |")
    print(f"| --- |{' ---: |' * (len(head) - 1)}")
    with tempfile.TemporaryDirectory() as name:
        folder = Path(name)
        (folder / "images").mkdir()
        paths = write_images(folder / "images", args.images, args.count)
        for config in args.configs:
            compare(config, paths, folder, args)


if __name__ == "__main__":
    main()
