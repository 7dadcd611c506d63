"""``mms-ocr upscale``: word images twice as large and sharp."""

from __future__ import annotations

import argparse
from pathlib import Path

from mms_ocr.cli.word_options import BrokenCount, add_word_options, check_word_options

HELP = "make word images twice as large and sharp"


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """Declare the command's options."""
    add_word_options(parser, "super-resolution model", "folder to write to", needs_out=True)
    parser.add_argument(
        "--size",
        choices=("double", "network"),
        default="double",
        help="twice that of the image (double), or the network's 32 x 128",
    )


def run(args: argparse.Namespace) -> int:
    """Write a picture for every image; 1 if some images could not be used."""
    from mms_ocr.apis.input_images import output_stem
    from mms_ocr.apis.upscaling import WordUpscaler, write_upscaled

    check_word_options(args)
    upscaler = WordUpscaler(args.weights, args.config, args.device, args.batch_size)
    Path(args.out).mkdir(parents=True, exist_ok=True)
    count = BrokenCount("mms-ocr upscale")
    taken: set[str] = set()
    shrunk = 0
    for word in upscaler.iterate(args.images, count.report):
        write_upscaled(word, args.out, output_stem(word.name, taken), args.size)
        shrunk += word.shrunk
    print(f"{args.out}: {len(taken):,} words upscaled")
    if shrunk:
        print(f"{shrunk:,} of them are larger than the network's 16 x 64 pixels, and lost detail")
    return count.exit_status(len(taken))
