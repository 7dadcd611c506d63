"""Speed and peak memory of segmentation and super-resolution.

From uint8 images to predictions: normalizing, encoder, decoder, and for segmentation masks at the
size of the original images (48 x 160 here), with random weights. Times are processor time on a CPU,
wall-clock time on a GPU; the least of the rounds is reported. Memory does not include the weights.

    cd tools/benchmarks && OMP_NUM_THREADS=1 python bench_pixel.py --task segmentation
"""

from __future__ import annotations

import argparse
import os

import torch
from bench_decoding import peak_memory, seconds
from mmengine.config import Config
from mmengine.structures import BaseDataElement

from mms_ocr.apis.bundled_configs import find_config
from mms_ocr.registry import MODELS
from mms_ocr.utils.devices import describe_machine

# The config of a size, and height and width of what goes in.
TASKS = {
    "segmentation": ("segmentation/mms_vit_{}_seg_rendered", (32, 128)),
    "super_resolution": ("super_resolution/mms_vit_{}_sr_words", (16, 64)),
}
ORIGINAL_SHAPE = (48, 160)


def parse_args(argv: list[str] | None = None) -> argparse.Namespace:
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("--task", choices=TASKS, nargs="+", default=list(TASKS))
    parser.add_argument("--sizes", choices=("t", "s"), nargs="+", default=["t", "s"])
    parser.add_argument("--batches", type=int, nargs="+", default=[1, 64])
    parser.add_argument("--rounds", type=int, default=5)
    parser.add_argument("--bf16", action="store_true", help="under bf16 autocast")
    parser.add_argument("--device", default="cuda" if torch.cuda.is_available() else "cpu")
    return parser.parse_args(argv)


def build(task: str, size: str, device: str) -> torch.nn.Module:
    config = Config.fromfile(find_config(TASKS[task][0].format(size)))
    return MODELS.build(config.model).to(device).eval()


def benchmark(task: str, size: str, args: argparse.Namespace) -> None:
    model = build(task, size, args.device)
    for batch in args.batches:
        images = torch.randint(0, 256, (batch, 3, *TASKS[task][1]), dtype=torch.uint8)

        @torch.no_grad()
        def run(images: torch.Tensor = images) -> None:
            meta = dict(ori_shape=ORIGINAL_SHAPE)
            samples = [BaseDataElement(metainfo=meta) for _ in images]
            kind = args.device.split(":")[0]
            with torch.autocast(kind, dtype=torch.bfloat16, enabled=args.bf16):
                model.test_step(dict(inputs=images, data_samples=samples))

        run()  # warms up
        taken = min(seconds(run, args.device) for _ in range(args.rounds))
        memory = peak_memory(run, args.device)
        print(f"| {task} | ViT-{size.upper()} | {batch} | {batch / taken:,.1f} | {memory:,.0f} |")


def main() -> None:
    args = parse_args()
    if args.device == "cpu":
        torch.set_num_threads(int(os.environ.get("OMP_NUM_THREADS", "1")))
    torch.manual_seed(0)
    precision = "bf16 autocast" if args.bf16 else "float32"
    print(f"{describe_machine(args.device)}; {precision}\n")
    print("| task | encoder | batch | images/s | peak memory, MiB |")
    print("| --- | --- | ---: | ---: | ---: |")
    for task in args.task:
        for size in args.sizes:
            benchmark(task, size, args)


if __name__ == "__main__":
    main()
