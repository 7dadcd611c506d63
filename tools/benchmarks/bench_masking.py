"""Speed of mask generation, beside MMPretrain's per-image generator and a ViT-S step.

All parts run in turn, several rounds in one process; medians are reported. The training step is
measured on a smaller batch and scaled to the batch of the masks.
"""

import argparse
import statistics
import time

import torch

import mms_ocr.registry  # noqa: F401
from mms_ocr.masking import BlockwiseMask, MultiMask, RandomPatchMask, SpanMask
from mms_ocr.utils.devices import describe_machine, synchronize

GRID = (8, 32)


def parse_args():
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--batch-size", type=int, default=256)
    parser.add_argument("--step-batch-size", type=int, default=16)
    parser.add_argument("--ratio", type=float, default=0.75)
    parser.add_argument("--rounds", type=int, default=5)
    parser.add_argument("--device", default="cuda" if torch.cuda.is_available() else "cpu")
    return parser.parse_args()


def timed(run, device: str) -> float:
    synchronize(device)
    start = time.perf_counter()
    run()
    synchronize(device)
    return time.perf_counter() - start


def main() -> None:
    args = parse_args()
    from bench_pretraining_step import build_mms, make_step
    from mmpretrain.datasets import BEiTMaskGenerator

    single = [kind(args.ratio, GRID) for kind in (RandomPatchMask, BlockwiseMask, SpanMask)]
    parts = {generator.name: generator for generator in single}
    parts["mixed"] = MultiMask(single)
    parts["joint (three views)"] = MultiMask(single, mode="joint")
    rng = torch.Generator(args.device).manual_seed(0)
    runs = {
        name: lambda g=generator: [g.views(args.batch_size, args.device, rng) for _ in range(10)]
        for name, generator in parts.items()
    }
    beit = BEiTMaskGenerator(GRID, round(args.ratio * GRID[0] * GRID[1]), min_num_patches=16)
    runs["MMPretrain BEiTMaskGenerator"] = lambda: [beit({}) for _ in range(args.batch_size)]
    step = make_step(build_mms("half"), args.step_batch_size, args.device)
    runs["ViT-S training step"] = step
    times: dict[str, list[float]] = {name: [] for name in runs}
    for round_ in range(args.rounds + 1):
        for name, run in runs.items():
            seconds = timed(run, args.device)
            if round_:  # the first round warms up
                times[name].append(seconds / (10 if name in parts else 1))
    median = {name: statistics.median(values) for name, values in times.items()}
    step_time = median.pop("ViT-S training step") * args.batch_size / args.step_batch_size
    beit_time = median["MMPretrain BEiTMaskGenerator"]
    print(f"{describe_machine(args.device)}\n")
    print(f"{args.batch_size} masks on {GRID[0]}×{GRID[1]} at ratio {args.ratio:g}; ", end="")
    print(f"ViT-S step of {args.batch_size} images: {step_time * 1e3:.0f} ms\n")
    print("| masks | ms | share of the step, % | times faster than BEiTMaskGenerator |")
    print("| --- | ---: | ---: | ---: |")
    for name, seconds in median.items():
        print(
            f"| {name} | {seconds * 1e3:.2f} | {100 * seconds / step_time:.3f} | "
            f"{beit_time / seconds:.1f} |"
        )


if __name__ == "__main__":
    main()
