"""Speed and memory of a ViT-S pretraining step, beside MMPretrain's MAE with as many tokens.

MMPretrain's MAE takes squares only: deit-small on 64×64 pixels in patches of 4 has the 256 tokens
of a 32×128 word image. Every variant runs in its own process, for its peak memory; processes take
turns, so that other jobs slow them equally. Ratios are of medians. Masks remove 75% where nothing
else is said.
"""

import argparse
import json
import resource
import statistics
import subprocess
import sys
import time

import torch

import mms_ocr.registry  # noqa: F401
from mms_ocr.utils.devices import describe_machine, synchronize

VARIANTS = {
    "mmpretrain": "MMPretrain MAE, 64×64, decoder 512/8/16",
    "same": "MMS, 32×128, same decoder",
    "cross": "MMS, cross-attention decoder 256/4/8, all removed patches",
    "half": "MMS, decoder 256/4/8, half of the removed patches",
    "torch": "MMS, half, with torch's attention",
    "joint": "MMS, half, in joint mode: three views an image",
    "default": "MMS, half, blocks and spans of 60%: the default",
}
INIT = [
    {"type": "Xavier", "layer": "Linear", "distribution": "uniform"},
    {"type": "Constant", "layer": "LayerNorm", "val": 1.0, "bias": 0.0},
]


def parse_args():
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--variants", nargs="+", choices=VARIANTS, default=list(VARIANTS))
    parser.add_argument("--batch-size", type=int, default=16)
    parser.add_argument("--rounds", type=int, default=3, help="processes per variant")
    parser.add_argument("--steps", type=int, default=3, help="timed steps per process")
    parser.add_argument("--bf16", action="store_true")
    parser.add_argument("--device", default="cuda" if torch.cuda.is_available() else "cpu")
    parser.add_argument("--one", choices=VARIANTS, help=argparse.SUPPRESS)
    return parser.parse_args()


def build_mmpretrain() -> torch.nn.Module:
    """Build MMPretrain's MAE as its configs do, at word-image scale."""
    from mmpretrain.registry import MODELS

    return MODELS.build(
        {
            "type": "mmpretrain.MAE",
            "data_preprocessor": {
                "type": "mmpretrain.SelfSupDataPreprocessor",
                "mean": [127.5] * 3,
                "std": [127.5] * 3,
                "bgr_to_rgb": True,
            },
            "backbone": {
                "type": "mmpretrain.MAEViT",
                "arch": "deit-small",
                "img_size": 64,
                "patch_size": 4,
                "mask_ratio": 0.75,
            },
            "neck": {
                "type": "mmpretrain.MAEPretrainDecoder",
                "num_patches": 256,
                "patch_size": 4,
                "embed_dim": 384,
                "decoder_embed_dim": 512,
                "decoder_depth": 8,
                "decoder_num_heads": 16,
            },
            "head": {
                "type": "mmpretrain.MAEPretrainHead",
                "norm_pix": True,
                "patch_size": 4,
                "loss": {"type": "mmpretrain.PixelReconstructionLoss", "criterion": "L2"},
            },
            "init_cfg": INIT,
        }
    )


def build_mms(variant: str) -> torch.nn.Module:
    """Build the model of configs/mms/pretrain_vit_s.py, or a variant of it."""
    from pathlib import Path

    from mmengine.config import Config

    from mms_ocr.models.backbones import attention
    from mms_ocr.registry import MODELS

    root = Path(__file__).resolve().parents[2]
    model = Config.fromfile(root / "configs/mms/pretrain_vit_s.py").model
    if variant == "same":
        model.neck = {
            "type": "mms_ocr.SelfAttentionDecoder",
            "decoder_embed_dim": 512,
            "decoder_depth": 8,
            "decoder_num_heads": 16,
        }
    if variant == "cross":
        model.neck.predict_share = 1.0
    if variant == "torch":
        attention.MAX_PROBABILITIES = -1
    if variant != "default":
        model.data_preprocessor.mask_generator.ratio = 0.75
    if variant == "joint":
        model.data_preprocessor.mask_generator.mode = "joint"
    return MODELS.build(model)


def make_step(model: torch.nn.Module, batch_size: int, device: str, bf16: bool = False):
    """Make a function that does one training step: preprocessing, forward, backward, AdamW."""
    model.to(device).train()
    optimizer = torch.optim.AdamW(model.parameters(), lr=1e-4)
    square = type(model).__name__ == "MAE"
    size = (64, 64) if square else (32, 128)
    images = torch.randint(0, 256, (batch_size, 3, *size), dtype=torch.uint8)

    def step() -> None:
        data = model.data_preprocessor(
            {"inputs": images, "data_samples": [None] * batch_size}, True
        )
        with torch.autocast(device.split(":")[0], torch.bfloat16, enabled=bf16):
            losses = model(**data, mode="loss")
        loss, _ = model.parse_losses(losses)
        optimizer.zero_grad()
        loss.backward()
        optimizer.step()

    return step


def measure_one(args: argparse.Namespace) -> None:
    """Child process: time one variant, and print seconds a step and peak memory as JSON."""
    torch.manual_seed(0)
    model = build_mmpretrain() if args.one == "mmpretrain" else build_mms(args.one)
    before = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss
    step = make_step(model, args.batch_size, args.device, args.bf16)
    step()
    times = []
    for _ in range(args.steps):
        synchronize(args.device)
        start = time.perf_counter()
        step()
        synchronize(args.device)
        times.append(time.perf_counter() - start)
    peak = (resource.getrusage(resource.RUSAGE_SELF).ru_maxrss - before) * 1024
    if args.device.startswith("cuda"):
        peak = torch.cuda.max_memory_allocated()
    print(json.dumps({"times": times, "peak": peak}))


def main() -> None:
    args = parse_args()
    if args.one:
        measure_one(args)
        return
    times: dict[str, list[float]] = {name: [] for name in args.variants}
    peaks = dict.fromkeys(args.variants, 0.0)
    settings = [
        *("--batch-size", str(args.batch_size), "--steps", str(args.steps)),
        *("--device", args.device, *(["--bf16"] if args.bf16 else [])),
    ]
    for _ in range(args.rounds):
        for name in args.variants:
            output = subprocess.run(
                [sys.executable, __file__, "--one", name, *settings],
                check=True,
                capture_output=True,
                text=True,
            ).stdout
            result = json.loads(output.splitlines()[-1])
            times[name] += result["times"]
            peaks[name] = max(peaks[name], result["peak"])
    print(f"{describe_machine(args.device)}, {'bf16' if args.bf16 else 'float32'}, ", end="")
    print(f"batch {args.batch_size}, {args.rounds} × {args.steps} steps a variant\n")
    reference = statistics.median(times[args.variants[0]])
    print("| step | images/s | times the first | peak memory, MiB |")
    print("| --- | ---: | ---: | ---: |")
    for name in args.variants:
        seconds = statistics.median(times[name])
        print(
            f"| {VARIANTS[name]} | {args.batch_size / seconds:.1f} | {reference / seconds:.2f} | "
            f"{peaks[name] / 2**20:.0f} |"
        )


if __name__ == "__main__":
    main()
