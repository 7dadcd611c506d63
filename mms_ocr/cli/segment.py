"""``mms-ocr segment``: words cut out of their background."""

from __future__ import annotations

import argparse
from pathlib import Path

from mms_ocr.cli.word_options import BrokenCount, add_word_options, check_word_options

HELP = "cut words out of their background: mask, cut-out with transparency, overlay"


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """Declare the command's options."""
    add_word_options(parser, "segmentor", "folder to write to", needs_out=True)
    parser.add_argument(
        "--threshold", type=float, help="lowest probability of a text pixel (default: the config's)"
    )


def run(args: argparse.Namespace) -> int:
    """Write three pictures for every image; 1 if some images could not be used."""
    from mms_ocr.apis.input_images import output_stem
    from mms_ocr.apis.segmenting import PARTS, WordSegmenter, write_parts

    check_word_options(args, [f"_{part}.png" for part in PARTS])
    segmenter = WordSegmenter(
        args.weights, args.config, args.device, args.batch_size, threshold=args.threshold
    )
    Path(args.out).mkdir(parents=True, exist_ok=True)
    count = BrokenCount("mms-ocr segment")
    taken: set[str] = set()
    for word in segmenter.iterate(args.images, count.report):
        write_parts(word, args.out, output_stem(word.name, taken))
    print(f"{args.out}: mask, cut-out and overlay of {len(taken):,} words")
    return count.exit_status(len(taken))
