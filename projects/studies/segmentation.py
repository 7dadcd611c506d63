"""Compare segmentors with and without a pretrained encoder, trained on rendered words only.

The same segmentor trains from a pretrained encoder and from random weights, for as many iterations
on the same words in the same order (configs/segmentation/mms_vit_*_seg_rendered.py). Both are
measured on rendered words with other texts, looks and font families, of another seed than training
and validation; the last weights are used, so that nothing is chosen on what is measured. Otsu's
threshold, with the side of fewer pixels as text, is measured as well.

With --real, a sheet of real words and their masks is drawn for every variant. Finished trainings
are not repeated.

    python projects/studies/segmentation.py --pretrained work_dirs/…/iter_20000.pth \
        --fonts FOLDER --real iiit5k/train.jsonl --work-dir work_dirs/segmentation_study
"""

from __future__ import annotations

import argparse
import sys
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import cv2
import numpy as np
from mmengine.config import Config
from numpy.typing import NDArray
from runs import ROOT, train, validations
from torch.utils.data import DataLoader

from mms_ocr.apis.segmenting import WordSegmenter
from mms_ocr.datasets import WordImageDataset, collate_words
from mms_ocr.evaluation import count_foreground, foreground_scores
from mms_ocr.registry import DATASETS
from mms_ocr.utils.devices import describe_machine
from mms_ocr.utils.files import write_image
from mms_ocr.visualization import picture_grid

VARIANTS = ("pretrained", "random")
SCORES = (
    "iou_dataset",
    "iou_image_mean",
    "precision_dataset",
    "recall_dataset",
    "f_score_dataset",
)
IOU = "foreground/iou_dataset"
TEST_SEED = 2  # training renders words of seed 0, its validation of seed 1
PANEL = (48, 160)
CONFIG = """_base_ = [{base!r}]
model = dict(backbone=dict(init_cfg={init!r}))
train_dataloader = dict(
    batch_size={batch}, num_workers={workers}, persistent_workers={persistent},
    dataset=dict(fonts={fonts!r}))
val_dataloader = dict(
    batch_size={batch}, num_workers={workers}, persistent_workers={persistent},
    dataset=dict(fonts={fonts!r}, num_samples={count}))
test_dataloader = val_dataloader
optim_wrapper = dict(optimizer=dict(lr={lr}))
randomness = dict(seed={seed})
{changes}
"""


def parse_args(argv: list[str] | None = None) -> argparse.Namespace:
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("--pretrained", help="checkpoint of a pretraining run")
    parser.add_argument("--variants", nargs="+", choices=VARIANTS, default=list(VARIANTS))
    parser.add_argument("--config", default="configs/segmentation/mms_vit_s_seg_rendered.py")
    parser.add_argument(
        "--changes", default="", help="further lines of the config, such as model['decoder'] = …"
    )
    parser.add_argument("--fonts", nargs="+", help="font folders (those of matplotlib)")
    parser.add_argument("--iterations", type=int, default=3000)
    parser.add_argument("--batch-size", type=int, default=256)
    parser.add_argument("--lr", type=float, default=3e-4)
    parser.add_argument("--validations", type=int, default=5, help="during the training (5)")
    parser.add_argument("--count", type=int, default=2048, help="words to measure on (2048)")
    parser.add_argument("--real", help="real words for the sheets: folder, LMDB or .jsonl")
    parser.add_argument("--num-real", type=int, default=64, help="words on a sheet (64)")
    parser.add_argument("--workers", type=int, default=16, help="rendering processes (16)")
    parser.add_argument("--device", help="of the measurement (a GPU where there is one)")
    parser.add_argument("--seed", type=int, default=0)
    parser.add_argument("--work-dir", default="work_dirs/segmentation_study")
    args = parser.parse_args(argv)
    if "pretrained" in args.variants and not args.pretrained:
        parser.error("give --pretrained CHECKPOINT, or --variants random")
    return args


def study_config(variant: str, args: argparse.Namespace) -> str:
    """Write the text of the config of a variant.

    Raises:
        ValueError: ``--changes`` replaces the pretrained encoder.
    """
    init = None
    if variant == "pretrained":
        checkpoint = str(Path(args.pretrained).resolve())
        init = dict(type="mms_ocr.PretrainedTextViT", checkpoint=checkpoint)
    text = CONFIG.format(
        base=str((ROOT / args.config).resolve()),
        init=init,
        batch=args.batch_size,
        workers=args.workers,
        persistent=args.workers > 0,
        fonts=args.fonts and [str(Path(font).resolve()) for font in args.fonts],
        count=min(args.count, 1024),
        lr=args.lr,
        seed=args.seed,
        changes=args.changes,
    )
    if init and Config.fromstring(text, ".py").model.backbone.get("init_cfg") != init:
        raise ValueError(
            "--changes replaces the pretrained model; change its parts: "
            'model["backbone"]["arch"] = …'
        )
    return text


def test_words(config: Config, count: int) -> Any:
    """Render words that are not in training or validation, with their masks."""
    settings = config.val_dataloader.dataset
    return DATASETS.build(dict(settings, num_samples=count, seed=TEST_SEED))


def batches(words: Any, args: argparse.Namespace) -> Iterator[dict[str, Any]]:
    yield from DataLoader(
        words, args.batch_size, num_workers=args.workers, collate_fn=collate_words
    )


def measure(segmenter: WordSegmenter, words: Any, args: argparse.Namespace) -> dict[str, float]:
    """Compute the scores of a segmentor."""
    counts = []
    for batch in batches(words, args):
        for sample in segmenter.model.test_step(batch):
            masks = (sample.get(name).data.numpy() for name in ("pred_sem_seg", "gt_sem_seg"))
            counts.append(count_foreground(*masks))
    return foreground_scores(counts)


def otsu_mask(image: NDArray[np.uint8]) -> NDArray[np.uint8]:
    """1 on the smaller side of Otsu's threshold of an image in BGR."""
    gray = cv2.cvtColor(image, cv2.COLOR_BGR2GRAY)
    mask = cv2.threshold(gray, 0, 1, cv2.THRESH_BINARY + cv2.THRESH_OTSU)[1]
    return mask if mask.mean() <= 0.5 else 1 - mask


def measure_otsu(words: Any) -> dict[str, float]:
    items = (words.load(index) for index in range(len(words)))
    return foreground_scores(count_foreground(otsu_mask(i["img"]), i["mask"]) for i in items)


def real_words(path: str, count: int, seed: int) -> list[NDArray[np.uint8]]:
    """Draw images from a data set, the same ones for the same seed."""
    dataset = WordImageDataset(path)
    order = np.random.default_rng(seed).permutation(len(dataset))[:count]
    return [dataset[int(index)]["img"] for index in sorted(order)]


def real_sheet(segmenter: WordSegmenter, images: list[NDArray[np.uint8]]) -> NDArray[np.uint8]:
    """Draw words in four columns, in BGR, each beside its mask."""
    cells = []
    for word in segmenter(images):
        mask = np.repeat(word.mask[:, :, None].astype(np.uint8) * 255, 3, axis=2)
        cells += [_panel(word.image), _panel(mask)]
    cells += [np.full((*PANEL, 3), 255, np.uint8)] * (-len(cells) % 8)
    return picture_grid([cells[start : start + 8] for start in range(0, len(cells), 8)])


def _panel(image: NDArray[np.uint8]) -> NDArray[np.uint8]:
    return cv2.resize(image, PANEL[::-1], interpolation=cv2.INTER_AREA)


def study(args: argparse.Namespace) -> None:
    rows, curves, sheets = [], {}, []
    images = real_words(args.real, args.num_real, args.seed) if args.real else []
    device = "cpu"
    for variant in args.variants:
        folder = Path(args.work_dir, variant).resolve()
        weights, seconds = train(
            study_config(variant, args), folder, args.iterations, args.validations
        )
        config = Config.fromfile(folder / "study.py")
        segmenter = WordSegmenter(str(weights), config, args.device)
        device = str(segmenter.device)
        words = test_words(config, args.count)
        scores = measure(segmenter, words, args)
        rows.append((f"{variant} encoder", scores, f"{seconds:.0f}"))
        curves[variant] = {line["step"]: line[IOU] for line in validations(folder, IOU)}
        if images:
            sheet = Path(args.work_dir, f"real_{variant}.png")
            write_image(sheet, real_sheet(segmenter, images))
            sheets.append(sheet)
    rows.append(("Otsu's threshold", measure_otsu(words), "0"))
    report(args, describe_machine(device), rows, curves)
    for sheet in sheets:
        print(f"{len(images)} real words, each with its mask: {sheet}")


def report(
    args: argparse.Namespace,
    machine: str,
    rows: list[tuple[str, dict[str, float], str]],
    curves: dict[str, dict[int, float]],
) -> None:
    """Print the tables."""
    seen = args.iterations * args.batch_size
    print(f"\n{machine}\n\n{Path(args.config).stem}: {args.iterations:,} iterations, ", end="")
    print(
        f"{seen:,} rendered words, learning rate {args.lr:g}, seed {args.seed}; measured on",
        end=" ",
    )
    print(f"{args.count:,} rendered words with font families that training has not seen.\n")
    names = " | ".join(name.replace("_", " ") for name in SCORES)
    print(f"| method | {names} | training, s |\n| --- |{' ---: |' * (len(SCORES) + 1)}")
    for name, scores, seconds in rows:
        values = " | ".join(f"{scores[key]:.3f}" for key in SCORES)
        print(f"| {name} | {values} | {seconds} |")
    print("\nIoU over the validation set (1,024 rendered words at most, of the same fonts):\n")
    steps = sorted({step for curve in curves.values() for step in curve})
    print(f"| encoder | {' | '.join(f'{step:,}' for step in steps)} |")
    print(f"| --- |{' ---: |' * len(steps)}")
    for name, curve in curves.items():
        print(f"| {name} | {' | '.join(f'{curve[s]:.3f}' if s in curve else '' for s in steps)} |")
    print()


def main() -> None:
    args = parse_args()
    try:
        study(args)
    except (OSError, ValueError) as error:
        sys.exit(f"segmentation.py: {error}")


if __name__ == "__main__":
    main()
