"""Count how often masks remove whole characters, by strategy and mask ratio.

A character counts as removed when every patch that its box touches is removed. Boxes come from
the ``char_boxes`` of a JSON-lines file (``[x, y, w, h]`` in pixels of the stored image), such as
that of IIIT5K; images are resized to --size.
"""

import argparse
import sys

import torch

from mms_ocr.evaluation.characters import read_characters
from mms_ocr.masking import BlockwiseMask, RandomPatchMask, SpanMask
from mms_ocr.utils.errors import run_program


def parse_args():
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("annotations", help="JSON lines with filename and char_boxes")
    parser.add_argument(
        "--ratios",
        type=float,
        nargs="+",
        default=[0.5, 0.6, 0.75, 0.8, 0.9],
        help="mask ratios (0.5 0.6 0.75 0.8 0.9)",
    )
    parser.add_argument(
        "--size",
        type=int,
        nargs=2,
        default=[32, 128],
        metavar=("H", "W"),
        help="pixels that images are resized to (32 128)",
    )
    parser.add_argument("--patch-size", type=int, default=4, help="pixels of a patch's side (4)")
    parser.add_argument("--draws", type=int, default=8, help="masks per image and strategy")
    parser.add_argument("--seed", type=int, default=0, help="of the masks (0)")
    parser.add_argument("--traceback", action="store_true", help="show the traceback of an error")
    return parser.parse_args()


def measure(args: argparse.Namespace) -> None:
    grid = (args.size[0] // args.patch_size, args.size[1] // args.patch_size)
    words = [word.patches for word in read_characters(args.annotations, grid)]
    characters = torch.cat(words).float()
    owner = torch.repeat_interleave(
        torch.arange(len(words)), torch.tensor([len(word) for word in words])
    )
    rng = torch.Generator().manual_seed(args.seed)
    print(
        f"{args.annotations}: {len(words)} images, {len(characters)} characters, on average "
        f"{characters.sum(1).mean():.1f} patches each; {args.draws} masks an image"
    )
    print("share of characters whose patches are all removed, %\n")
    print("| strategy | " + " | ".join(f"ratio {ratio:g}" for ratio in args.ratios) + " |")
    print("| --- |" + " ---: |" * len(args.ratios))
    for kind in (RandomPatchMask, BlockwiseMask, SpanMask):
        shares = []
        for ratio in args.ratios:
            generator = kind(ratio, grid)
            removed = 0.0
            for _ in range(args.draws):
                visible = ~generator(len(words), rng=rng)
                seen = (characters * visible[owner]).sum(1)
                removed += float((seen == 0).float().mean())
            shares.append(100 * removed / args.draws)
        print(f"| {kind.name} | " + " | ".join(f"{share:.1f}" for share in shares) + " |")


if __name__ == "__main__":
    sys.exit(run_program("mask_coverage.py", parse_args, measure))
