"""Measure the cost of pretraining: images per second of a device, and reading to feed it.

Trains encoders of three sizes with batches of several sizes, as `configs/mms/pretrain_vit_*.py`
(preprocessing, masks, forward, backward, check of the gradients, AdamW), and reads an LMDB of word
images by the pipeline of training on one core. Prints both as Markdown tables, and the cost of
pretraining on 10 million, 100 million and a billion images (pretraining_cost.py). It measures as
much as --seconds allows, the largest encoder first.

    python tools/benchmarks/bench_scaling.py --device cuda
"""

from __future__ import annotations

import argparse
import statistics
import tempfile
import time
from pathlib import Path
from typing import NamedTuple

import cv2
import lmdb
import numpy as np
import torch
from mmengine.config import Config
from pretraining_cost import Speeds, cost_table
from torch.utils.data import DataLoader

import mms_ocr.registry  # noqa: F401
from mms_ocr.datasets import EndlessSampler, WordImageDataset, collate_words
from mms_ocr.engine.hooks.non_finite_hook import all_finite, with_nan_gradient
from mms_ocr.registry import MODELS, TRANSFORMS
from mms_ocr.utils.devices import describe_machine, synchronize, usable_device

ROOT = Path(__file__).resolve().parents[2]
ARCHS = {"t": "tiny", "s": "small", "b": "base"}


class Speed(NamedTuple):
    """A training step of one encoder and batch size.

    Attributes:
        arch: ``'t'``, ``'s'`` or ``'b'``.
        batch_size: Images of a step.
        images: Per second.
        memory: Peak in GiB; nan if not known.
    """

    arch: str
    batch_size: int
    images: float
    memory: float


def parse_args() -> argparse.Namespace:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--device", help="such as cuda or cuda:1 (default: a GPU if there is one)")
    parser.add_argument("--archs", nargs="+", choices=ARCHS, default=["b", "s", "t"])
    parser.add_argument("--batch-sizes", nargs="+", type=int, help="default: fit the device")
    parser.add_argument("--fp32", action="store_true", help="instead of bf16")
    parser.add_argument("--compile", action="store_true", help="compile the layers")
    parser.add_argument("--seconds", type=float, default=80, help="for all measurements")
    parser.add_argument("--epochs", type=int, default=20, help="of the cost table")
    parser.add_argument("--data", help="LMDB to read (default: noise)")
    args = parser.parse_args()
    try:
        args.device = usable_device(args.device)
    except ValueError as error:
        parser.error(str(error))
    on_gpu = args.device.startswith("cuda")
    args.batch_sizes = args.batch_sizes or ([256, 1024] if on_gpu else [8])
    return args


def build_model(arch: str, device: str, compiled: bool) -> torch.nn.Module:
    """Build the model of the bundled config of an encoder."""
    model = MODELS.build(Config.fromfile(ROOT / f"configs/mms/pretrain_vit_{arch}.py").model)
    model.to(device).train()
    if compiled:
        from mms_ocr.engine.hooks.compile_hook import repeated_layers

        for layer in repeated_layers(model):
            layer.compile()
    return model


def time_steps(
    model: torch.nn.Module, batch_size: int, device: str, bf16: bool, seconds: float
) -> tuple[float, float]:
    """Measure images per second and peak GiB of training steps, for some seconds."""
    kind = device.split(":")[0]
    parameters = [value for value in model.parameters() if value.requires_grad]
    optimizer = torch.optim.AdamW(parameters, lr=1e-4)
    images = torch.randint(0, 256, (batch_size, 3, 32, 128), dtype=torch.uint8)
    if kind == "cuda":
        images = images.pin_memory()
        torch.cuda.reset_peak_memory_stats(device)

    def step() -> None:
        data = model.data_preprocessor({"inputs": images}, True)
        with torch.autocast(kind, torch.bfloat16, enabled=bf16):
            losses = model(**data, mode="loss")
        optimizer.zero_grad()
        with_nan_gradient(model.parse_losses(losses)[0]).backward()
        # As in SkipNonFiniteHook, which waits for the device in every step.
        if all_finite([value.grad for value in parameters if value.grad is not None]):
            optimizer.step()

    step()  # warms up
    synchronize(device)
    times = []
    until = time.perf_counter() + seconds
    while len(times) < 3 or time.perf_counter() < until:
        start = time.perf_counter()
        for _ in range(10 if kind == "cuda" else 1):
            step()
        synchronize(device)
        times.append((time.perf_counter() - start) / (10 if kind == "cuda" else 1))
    memory = float("nan")
    if kind == "cuda":
        memory = torch.cuda.max_memory_allocated(device) / 2**30
    return batch_size / statistics.median(times), memory


def measure_steps(args: argparse.Namespace, seconds: float) -> list[Speed]:
    """Measure every encoder with every batch size that fits the memory, until the time is over."""
    speeds = []
    until = time.perf_counter() + seconds
    each = seconds / (2 * len(args.archs) * len(args.batch_sizes))
    for arch in args.archs:
        model = build_model(arch, args.device, args.compile)
        for batch_size in args.batch_sizes:
            if time.perf_counter() > until:
                break
            try:
                speed = time_steps(model, batch_size, args.device, not args.fp32, each)
            except torch.cuda.OutOfMemoryError:
                print(f"ViT-{arch.upper()} with {batch_size} images: out of memory")
                torch.cuda.empty_cache()
                continue
            speeds.append(Speed(arch, batch_size, *speed))
        del model
    return speeds


def write_noise(folder: Path, count: int = 2000) -> str:
    """Write an LMDB of JPEGs of smooth noise, 24 to 64 pixels high and 2 to 5 times as wide."""
    rng = np.random.default_rng(0)
    path = folder / "noise.lmdb"
    with (
        lmdb.open(str(path), map_size=1 << 30) as environment,
        environment.begin(write=True) as transaction,
    ):
        for number in range(1, count + 1):
            height = int(rng.integers(24, 65))
            width = int(height * rng.uniform(2, 5))
            small = rng.integers(0, 256, (height // 4 + 1, width // 4 + 1, 3), dtype=np.uint8)
            image = cv2.resize(small, (width, height), interpolation=cv2.INTER_CUBIC)
            data = cv2.imencode(".jpg", image)[1].tobytes()
            transaction.put(b"image-%09d" % number, data)
        transaction.put(b"num-samples", str(count).encode())
    return str(path)


def measure_reading(path: str, seconds: float) -> tuple[float, float]:
    """Measure images per second of one core in the pipeline of training, and bytes of an image."""
    pipeline = [
        dict(type="mms_ocr.ResizeWordImage", size=(32, 128)),
        dict(type="mms_ocr.PackWordImage", meta_keys=()),
    ]
    dataset = WordImageDataset(path=path, pipeline=[TRANSFORMS.build(step) for step in pipeline])
    sampler = EndlessSampler(dataset, seed=0)
    batches = iter(DataLoader(dataset, 256, sampler=sampler, collate_fn=collate_words))
    next(batches)
    read, start = 0, time.perf_counter()
    while time.perf_counter() - start < seconds:
        next(batches)
        read += 256
    rate = read / (time.perf_counter() - start)
    file = Path(path)
    size = sum(part.stat().st_size for part in (file.iterdir() if file.is_dir() else [file]))
    return rate, size / len(dataset)


def rounded(rate: float) -> str:
    """Format a rate."""
    return f"{rate:,.0f}" if rate >= 100 else f"{rate:.1f}"


def main() -> None:
    args = parse_args()
    torch.manual_seed(0)
    cv2.setNumThreads(0)
    precision = "float32" if args.fp32 else "bf16"
    reading_seconds = min(8.0, args.seconds / 8)
    with tempfile.TemporaryDirectory() as folder:
        path = args.data or write_noise(Path(folder))
        rate, size = measure_reading(path, reading_seconds)
    speeds = measure_steps(args, args.seconds - reading_seconds)
    print(f"{describe_machine(args.device)}; {precision}", end="")
    print(", layers compiled\n" if args.compile else "\n")
    print("| encoder | batch | images/s per device | memory, GiB | cores to read | MB/s to read |")
    print("| --- | ---: | ---: | ---: | ---: | ---: |")
    for speed in speeds:
        memory = "–" if np.isnan(speed.memory) else f"{speed.memory:.1f}"
        print(
            f"| ViT-{speed.arch.upper()} | {speed.batch_size} | {rounded(speed.images)} | "
            f"{memory} | {speed.images / rate:.2f} | {speed.images * size / 1e6:.2f} |"
        )
    source = args.data or "noise, 24 to 64 pixels high"
    print(f"\nOne core reads {rate:,.0f} images/s of {size:,.0f} bytes each ({source}).\n")
    for arch in args.archs:
        best = max((speed.images for speed in speeds if speed.arch == arch), default=None)
        if best:
            print(f"ViT-{arch.upper()} at {rounded(best)} images/s on each of any devices:\n")
            print(cost_table(Speeds(best, rate, size), args.epochs) + "\n")


if __name__ == "__main__":
    main()
