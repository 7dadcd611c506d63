"""Measure the cost of protections in a training step of ViT-S, and of a checkpoint.

All parts are timed in one process; times are medians.
"""

import argparse
import os
import statistics
import tempfile
import time
from collections.abc import Callable
from pathlib import Path

import torch
from mmengine.config import Config

import mms_ocr.registry  # noqa: F401
from mms_ocr.engine import StopOnSignalHook, WatchdogHook
from mms_ocr.engine.hooks.non_finite_hook import all_finite, with_nan_gradient
from mms_ocr.models.weights.files import check_archive
from mms_ocr.registry import MODELS
from mms_ocr.utils.devices import describe_machine, synchronize, usable_device
from mms_ocr.utils.files import replace
from mms_ocr.utils.randomness import seed_everything, take_random_states

CONFIG = Path(__file__).resolve().parents[2] / "configs" / "mms" / "pretrain_vit_s.py"


def median_ms(work: Callable[[], object], device: str, repeats: int) -> float:
    """Measure the median time of a call, in milliseconds."""
    work()
    times = []
    for _ in range(repeats):
        synchronize(device)
        start = time.perf_counter()
        work()
        synchronize(device)
        times.append(1e3 * (time.perf_counter() - start))
    return statistics.median(times)


def agree(rank: int, processes: int, folder: str) -> None:
    """Run one of several processes that agree whether to stop, after 20 ms of work each time."""
    torch.set_num_threads(1)
    store = f"file://{folder}/store"
    torch.distributed.init_process_group("gloo", store, rank=rank, world_size=processes)
    hook = StopOnSignalHook()
    hook._group = torch.distributed.new_group(backend="gloo")
    matrix = torch.rand(256, 256)
    times = []
    for _ in range(100):
        until = time.perf_counter() + 0.02
        while time.perf_counter() < until:
            matrix @ matrix
        start = time.perf_counter()
        hook._agree()
        times.append(1e3 * (time.perf_counter() - start))
    hook._pending.wait()
    if rank == 0:
        print(f"  was there a signal ({processes} processes): {statistics.median(times):.3f} ms")
    torch.distributed.destroy_process_group()


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--batch-size", type=int, default=16)
    parser.add_argument("--steps", type=int, default=3)
    parser.add_argument("--device", help="such as cuda or cuda:1 (default: a GPU if there is one)")
    args = parser.parse_args()
    try:
        args.device = usable_device(args.device)
    except ValueError as error:
        parser.error(str(error))
    model = MODELS.build(Config.fromfile(CONFIG).model).to(args.device)
    optimizer = torch.optim.AdamW(model.parameters())
    images = torch.randint(0, 256, (args.batch_size, 3, 32, 128), dtype=torch.uint8)

    def step() -> None:
        data = model.data_preprocessor({"inputs": images}, training=True)
        losses = model(**data, mode="loss")
        losses["loss_pixel"].backward()
        optimizer.step()

    whole = median_ms(step, args.device, args.steps)
    gradients = [p.grad for p in model.parameters() if p.grad is not None]
    loss = torch.ones((), device=args.device, requires_grad=True)
    stop, watchdog = StopOnSignalHook(), WatchdogHook()
    parts = {
        "are all gradients finite": lambda: all_finite(gradients),
        "make the gradients of an infinite loss NaN": lambda: with_nan_gradient(loss).backward(),
        "was there a signal (one process)": stop._agree,
        "note where the run is": lambda: watchdog._progress("training at iteration 1"),
    }
    print(describe_machine(args.device))
    print(f"one step of {args.batch_size} images: {whole:.0f} ms")
    for name, part in parts.items():
        took = median_ms(part, args.device, 50)
        print(f"  {name}: {took:.3f} ms, {took / whole:.3%} of a step")
    with tempfile.TemporaryDirectory() as folder:
        torch.multiprocessing.spawn(agree, (2, folder), nprocs=2)
    took = median_ms(lambda: seed_everything(5), "cpu", 1000)
    print(f"  seed the generators for a sample, in a worker: {1e3 * took:.0f} µs")
    with tempfile.TemporaryDirectory(dir=os.getcwd()) as folder:
        path = Path(folder, "a.pth")
        content = {"state_dict": model.state_dict(), "optimizer": optimizer.state_dict()}

        def plain() -> None:
            torch.save(content, path)

        def whole_one() -> None:
            torch.save(content, path)
            replace(path, Path(folder, "b.pth"))

        took, safe = median_ms(plain, "cpu", 3), median_ms(whole_one, "cpu", 3)
        checked = median_ms(lambda: check_archive(Path(folder, "b.pth")), "cpu", 3)
        size = Path(folder, "b.pth").stat().st_size / 1e6
        states = median_ms(take_random_states, "cpu", 50)
        print(f"a checkpoint of {size:.0f} MB: written {took:.0f} ms; with flush and rename")
        print(
            f"  {safe:.0f} ms; its CRC-32 checked {checked:.0f} ms; random states {states:.2f} ms"
        )


if __name__ == "__main__":
    main()
