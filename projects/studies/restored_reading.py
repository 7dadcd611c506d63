"""Read restored words with a recognizer that was trained on rendered words only.

A super-resolution checkpoint restores the held-out tenth of real words (as `tools/test.py` does),
and the small convolutional recognizer of `rendering.py` reads the enlarged input (LR), the restored
image (SR) and the true one (HR). It was trained on neither real nor restored words.
`tools/test.py --recognizer` does the same with a recognizer of this project; this script is for
machines that cannot train one.

    python projects/studies/rendering.py --variants full --test WORDS --work-dir work_dirs/reader
    python projects/studies/restored_reading.py --words WORDS [WORDS ...] \
        --checkpoint work_dirs/sr/iter_20000.pth --reader work_dirs/reader/full
"""

from __future__ import annotations

import argparse
import sys
from pathlib import Path

import numpy as np
from mmengine.config import Config
from mmengine.structures import BaseDataElement
from rendering import Scores, difference, load_model
from runs import ROOT
from small_recognizer import normalize, read, to_input
from super_resolution import restore
from torch import Tensor

from mms_ocr.utils.devices import describe_machine

KINDS = {"LR, enlarged": "bicubic_img", "SR": "pred_img", "HR": "gt_img"}


def parse_args(arguments: list[str] | None = None) -> argparse.Namespace:
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("--words", nargs="+", required=True, help="real words with labels")
    parser.add_argument("--checkpoint", required=True, help="of a super-resolution run")
    parser.add_argument(
        "--config",
        default=str(ROOT / "configs/super_resolution/mms_vit_t_sr_words.py"),
        help="its config (mms_vit_t_sr_words.py)",
    )
    parser.add_argument("--reader", required=True, help="folder of a variant of rendering.py")
    return parser.parse_args(arguments)


def pixels(image: Tensor) -> np.ndarray:
    """Convert RGB in [0, 1] to BGR as stored in a file, uint8 ``(H, W, 3)``."""
    return (image.permute(1, 2, 0).clamp(0, 1) * 255).round().byte().numpy()[:, :, ::-1].copy()


def scores(samples: list[BaseDataElement], reader: str) -> dict[str, Scores]:
    """Compute the scores on words with a letter or digit, by kind of image."""
    model = load_model(Path(reader))
    samples = [sample for sample in samples if normalize(sample.text)]
    labels = [normalize(sample.text) for sample in samples]
    return {
        kind: Scores.of(
            read(model, np.stack([to_input(pixels(sample.get(field))) for sample in samples])),
            labels,
        )
        for kind, field in KINDS.items()
    }


def main() -> None:
    args = parse_args()
    cfg = Config.fromfile(args.config)
    cfg.model.backbone.init_cfg = None
    words = cfg.test_dataloader.dataset
    words.path = [str(Path(path).resolve()) for path in args.words]
    words.labelled = True
    try:
        by_kind = scores(restore(cfg, Path(args.checkpoint), words), args.reader)
    except (OSError, ValueError) as error:
        sys.exit(f"restored_reading.py: {error}")
    print(describe_machine("cpu"))
    count = len(by_kind["SR"].correct)
    print(f"{count:,} held-out words; letters and digits, ignoring case\n")
    print("| image | words read | character error | 1 - NED |\n| --- | ---: | ---: | ---: |")
    for kind, score in by_kind.items():
        print(f"| {kind} | {score.cells()} |")
    print(f"\nSR over LR: {difference(by_kind['SR'], by_kind['LR, enlarged'])}")


if __name__ == "__main__":
    main()
