"""Measure the best IoU that a model could reach at a resolution of masks.

Exact masks of rendered words are resized to the size of a model's output and back to the size of
their image, as a segmentor's logits are, and compared with themselves: as labels, where a pixel of
the output is text or not, and as shares of text, the target of mms_ocr's segmentor. No model is
run.

    python projects/studies/mask_resolution.py --fonts FOLDER
"""

from __future__ import annotations

import argparse
from collections.abc import Sequence

import numpy as np
import torch
from numpy.typing import NDArray

from mms_ocr.datasets import RenderedWordDataset
from mms_ocr.datasets.transforms import mask_coverage
from mms_ocr.evaluation import count_foreground, foreground_scores
from mms_ocr.models.pixel.segmentor import COVERAGE_STEPS, resize_logits
from mms_ocr.utils.devices import describe_machine

SIZES = ((32, 128), (64, 256), (128, 512))


def parse_args(argv: Sequence[str] | None = None) -> argparse.Namespace:
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("--fonts", nargs="+", help="font folders (those of matplotlib)")
    parser.add_argument("--count", type=int, default=500, help="words (500)")
    parser.add_argument("--seed", type=int, default=7)
    return parser.parse_args(argv)


def restored(mask: NDArray[np.uint8], size: tuple[int, int], as_labels: bool) -> NDArray[np.uint8]:
    """Resize a mask to ``size`` and back."""
    shares = torch.from_numpy(mask_coverage(mask, size)).float() / COVERAGE_STEPS
    if as_labels:
        shares = (shares >= 0.5).float()
    grown = resize_logits(shares[None, None], (mask.shape[0], mask.shape[1]))
    return (grown[0, 0] >= 0.5).byte().numpy()


def main() -> None:
    args = parse_args()
    words = RenderedWordDataset(args.count, seed=args.seed, fonts=args.fonts)
    masks = [words.render(index).mask for index in range(args.count)]
    print(f"{describe_machine()}\n\n{args.count:,} rendered words, median image ", end="")
    print(" x ".join(f"{side:.0f}" for side in np.median([m.shape for m in masks], axis=0)), "\n")
    print("| output | labels: IoU of the set | mean of images | shares: IoU of the set | ", end="")
    print("mean of images |\n| --- | ---: | ---: | ---: | ---: |")
    for size in SIZES:
        cells = []
        for as_labels in (True, False):
            counts = [count_foreground(restored(mask, size, as_labels), mask) for mask in masks]
            scores = foreground_scores(counts)
            cells += [scores["iou_dataset"], scores["iou_image_mean"]]
        print(f"| {size[0]} x {size[1]} | {' | '.join(f'{cell:.3f}' for cell in cells)} |")


if __name__ == "__main__":
    main()
