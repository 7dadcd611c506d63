"""``mms-ocr upscale``: word images twice as large and sharp."""

from __future__ import annotations

import argparse
import sys
from pathlib import Path

HELP = "make word images twice as large and sharp"


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """Declare the command's options."""
    parser.add_argument(
        "images", nargs="+", metavar="IMAGE", help="image file, folder, LMDB or .jsonl"
    )
    parser.add_argument("--out", required=True, metavar="DIR", help="folder to write to")
    parser.add_argument("--weights", required=True, help="checkpoint of a super-resolution run")
    parser.add_argument(
        "--config", help="its config, by path or name (found by the width of the encoder)"
    )
    parser.add_argument("--device", help="such as cpu or cuda:0 (a GPU where there is one)")
    parser.add_argument("--batch-size", type=int, default=64, help="images at a time (64)")
    parser.add_argument(
        "--size",
        choices=("double", "network"),
        default="double",
        help="twice that of the image (double), or the network's 32 x 128",
    )


def run(args: argparse.Namespace) -> int:
    """Write a picture for every image; 1 where some of them could not be used."""
    from mms_ocr.apis.given_images import output_stem
    from mms_ocr.apis.upscaling import WordUpscaler, write_upscaled

    upscaler = WordUpscaler(args.weights, args.config, args.device, args.batch_size)
    Path(args.out).mkdir(parents=True, exist_ok=True)
    broken: list[str] = []

    def report(fault: str) -> None:
        broken.append(fault)
        print(f"mms-ocr upscale: left out: {' '.join(fault.split())}", file=sys.stderr)

    taken: set[str] = set()
    shrunk = 0
    for word in upscaler.iterate(args.images, report):
        write_upscaled(word, args.out, output_stem(word.name, taken), args.size)
        shrunk += word.shrunk
    print(f"{args.out}: {len(taken):,} words upscaled", end="")
    print(f"; {len(broken):,} could not be used" if broken else "")
    if shrunk:
        print(
            f"{shrunk:,} of them are larger than the 16 x 64 pixels that the network sees, and "
            "lost detail"
        )
    return 1 if broken else 0
