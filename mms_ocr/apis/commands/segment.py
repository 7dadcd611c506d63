"""``mms-ocr segment``: words cut out of their background."""

from __future__ import annotations

import argparse
import sys
from pathlib import Path

HELP = "cut words out of their background: mask, cut-out with transparency, overlay"


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """Declare the command's options."""
    parser.add_argument(
        "images", nargs="+", metavar="IMAGE", help="image file, folder, LMDB or .jsonl"
    )
    parser.add_argument("--out", required=True, metavar="DIR", help="folder to write to")
    parser.add_argument("--weights", required=True, help="checkpoint of a segmentation run")
    parser.add_argument(
        "--config", help="its config, by path or name (found by the width of the encoder)"
    )
    parser.add_argument("--device", help="such as cpu or cuda:0 (a GPU where there is one)")
    parser.add_argument("--batch-size", type=int, default=64, help="images at a time (64)")
    parser.add_argument(
        "--threshold", type=float, help="probability from which on a pixel is text (the config's)"
    )


def run(args: argparse.Namespace) -> int:
    """Write three pictures for every image; 1 where some of them could not be used."""
    from mms_ocr.apis.given_images import output_stem
    from mms_ocr.apis.segmenting import WordSegmenter, write_parts

    if Path(args.out).is_file():
        raise ValueError(f"--out {args.out} is a file; give a folder to write to")
    segmenter = WordSegmenter(
        args.weights, args.config, args.device, args.batch_size, args.threshold
    )
    Path(args.out).mkdir(parents=True, exist_ok=True)
    broken: list[str] = []

    def report(fault: str) -> None:
        broken.append(fault)
        print(f"mms-ocr segment: left out: {' '.join(fault.split())}", file=sys.stderr)

    taken: set[str] = set()
    for word in segmenter.iterate(args.images, report):
        write_parts(word, args.out, output_stem(word.name, taken))
    print(f"{args.out}: mask, cut-out and overlay of {len(taken):,} words", end="")
    print(f"; {len(broken):,} could not be used" if broken else "")
    return 1 if broken else 0
