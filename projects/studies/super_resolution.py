"""Compare super-resolution with and without a pretrained encoder, on degraded real words.

Every variant trains the same model on the same budget, on rendered words and on nine tenths of the
real ones, degraded differently every time; the encoder starts from random weights or a checkpoint.
The last weights are measured on the tenth of the real words that was held out, always degraded in
the same way: PSNR and SSIM beside bicubic interpolation, and word accuracy of a given recognizer on
the enlarged input (LR), the restored (SR) and the true image (HR). One sheet of pictures shows real
words, another rendered ones that were not trained on. Finished trainings are not repeated.

    python projects/studies/super_resolution.py --words iiit5k/train.jsonl \
        --encoder work_dirs/pretrain_vit_s/iter_80000.pth \
        --recognizer configs/textrecog/mms_vit_s_ar_words.py work_dirs/reader/iter_40000.pth
"""

from __future__ import annotations

import argparse
import sys
from pathlib import Path
from typing import Any

import numpy as np
import torch
from mmengine.config import Config
from mmengine.structures import BaseDataElement
from runs import ROOT, pretrained, train
from torch import Tensor
from torch.utils.data import DataLoader

from mms_ocr.apis.bundled_configs import find_config
from mms_ocr.evaluation import PSNR, SSIM
from mms_ocr.evaluation.restored_images import psnr, squared_error
from mms_ocr.models.weights import load_model
from mms_ocr.registry import DATASETS, FUNCTIONS, METRICS, MODELS
from mms_ocr.utils.devices import describe_machine
from mms_ocr.utils.files import write_image
from mms_ocr.visualization import picture_grid

SCRATCH, PRETRAINED = "random encoder", "pretrained encoder"
PROTOCOL = "word_acc_ignore_case_symbol"


def parse_args(arguments: list[str] | None = None) -> argparse.Namespace:
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("--words", nargs="+", required=True, help="real words with labels")
    parser.add_argument(
        "--encoder", help="checkpoint of a pretrained encoder; without: one variant"
    )
    parser.add_argument(
        "--recognizer", nargs=2, metavar=("CONFIG", "WEIGHTS"), help="reads LR, SR, HR"
    )
    parser.add_argument(
        "--config",
        default=str(ROOT / "configs/super_resolution/mms_vit_s_sr_words.py"),
        help="what is trained, of your own words (mms_vit_s_sr_words.py)",
    )
    parser.add_argument("--rendered-share", type=float, default=0.5, help="of training words (0.5)")
    parser.add_argument("--fonts", nargs="+", help="font folders (those of matplotlib)")
    parser.add_argument("--lexicon", help="words to render, one a line (the embedded ones)")
    parser.add_argument("--iterations", type=int, default=2000, help="steps of training (2000)")
    parser.add_argument("--batch-size", type=int, default=256, help="words a step (256)")
    parser.add_argument("--lr", type=float, default=5e-4, help="highest learning rate (5e-4)")
    parser.add_argument("--seed", type=int, default=0, help="of weights and training data (0)")
    parser.add_argument("--workers", type=int, default=16, help="loader processes, at most (16)")
    parser.add_argument("--pictures", type=int, default=24, help="words on the sheet (24)")
    parser.add_argument("--work-dir", default="work_dirs/super_resolution_study")
    args = parser.parse_args(arguments)
    if not 0 <= args.rendered_share < 1:
        parser.error(f"--rendered-share lies in [0, 1), got {args.rendered_share}")
    return args


def study_config(args: argparse.Namespace, encoder: str | None) -> Config:
    """Build the config of a variant."""
    cfg = Config.fromfile(args.config)
    words = dict(
        type="mms_ocr.WordImageDataset",
        path=[str(Path(path).resolve()) for path in args.words],
    )
    share = cfg.share
    real = dict(words, holdout=dict(share=share, part="train"), pipeline=cfg.train_pipeline)
    rendered = rendered_words(args, cfg, 1_000_000, args.seed, cfg.train_pipeline)
    cfg.train_dataloader.dataset = (
        dict(
            type="mms_ocr.MixedDataset",
            weights=[args.rendered_share, 1 - args.rendered_share],
            datasets=[rendered, real],
        )
        if args.rendered_share
        else real
    )
    cfg.val_dataloader.dataset = dict(
        words, labelled=True, holdout=dict(share=share, part="val"), pipeline=cfg.val_pipeline
    )
    cfg.test_dataloader = cfg.val_dataloader
    cfg.train_dataloader.batch_size = args.batch_size
    for loader in (cfg.train_dataloader, cfg.val_dataloader, cfg.test_dataloader):
        loader.num_workers = args.workers if loader is cfg.train_dataloader else 0
        loader.persistent_workers = loader.num_workers > 0
    cfg.optim_wrapper.optimizer.lr = args.lr
    cfg.randomness = dict(seed=args.seed)
    cfg.model.backbone.init_cfg = pretrained(f"encoder={encoder}" if encoder else "none")
    return cfg


def restore(cfg: Config, checkpoint: Path, dataset: dict) -> list[BaseDataElement]:
    """Restore the words of a data set with a checkpoint."""
    model = MODELS.build(cfg.model)
    load_model(model, str(checkpoint))
    model.to("cuda" if torch.cuda.is_available() else "cpu").eval()
    loader = DataLoader(
        DATASETS.build(dataset), batch_size=64, collate_fn=FUNCTIONS.get("default_collate")
    )
    return [sample for batch in loader for sample in model.val_step(batch)]


def rendered_words(
    args: argparse.Namespace, cfg: Config, count: int, seed: int, pipeline: Any
) -> dict:
    """Render words as in training, without camera effects."""
    return dict(
        type="mms_ocr.RenderedWordDataset",
        num_samples=count,
        seed=seed,
        settings=cfg.sharp,
        fonts=args.fonts and [str(Path(folder).resolve()) for folder in args.fonts],
        words=args.lexicon and str(Path(args.lexicon).resolve()),
        case="mixed",
        pipeline=pipeline,
    )


def measure(metric: Any, samples: list[BaseDataElement]) -> dict[str, float]:
    """Compute the values of a metric."""
    for start in range(0, len(samples), 64):
        metric.process(None, [sample.to_dict() for sample in samples[start : start + 64]])
    return metric.evaluate(len(samples))


def each_psnr(samples: list[BaseDataElement], field: str) -> np.ndarray:
    errors = [squared_error(sample.get(field)[None], sample.gt_img[None]) for sample in samples]
    return np.array([psnr(float(error)) for error in errors])


def quality(samples: list[BaseDataElement], field: str) -> list[str]:
    """Compute PSNR, PSNR_batch, SSIM and SSIM_batch of a field."""
    numbers = measure(PSNR(pred_key=field), samples) | measure(SSIM(pred_key=field), samples)
    return [
        f"{numbers['PSNR']:.2f}",
        f"{numbers['PSNR_batch']:.2f}",
        f"{numbers['SSIM']:.4f}",
        f"{numbers['SSIM_batch']:.4f}",
    ]


def gain(samples: list[BaseDataElement]) -> str:
    """Compute the gain over bicubic in dB, with its 95% interval over words."""
    steps = each_psnr(samples, "pred_img") - each_psnr(samples, "bicubic_img")
    margin = 1.96 * steps.std() / np.sqrt(len(steps))
    return f"{steps.mean():+.2f} ± {margin:.2f}"


def draw(restored: dict[str, list[BaseDataElement]], count: int, path: Path) -> None:
    """Draw the sheet: input | every variant | truth."""
    first = next(iter(restored.values()))
    chosen = np.linspace(0, len(first) - 1, min(count, len(first))).round().astype(int)
    rows = [
        [
            _pixels(first[i].bicubic_img),
            *(_pixels(samples[i].pred_img) for samples in restored.values()),
            _pixels(first[i].gt_img),
        ]
        for i in chosen
    ]
    sheet = picture_grid(rows, ["bicubic", *restored, "truth"], scale=2)
    write_image(path, sheet[:, :, ::-1])


def _pixels(image: Tensor) -> np.ndarray:
    return (image.permute(1, 2, 0) * 255).round().byte().numpy()


def study(args: argparse.Namespace) -> None:
    variants = {SCRATCH: None} | ({PRETRAINED: args.encoder} if args.encoder else {})
    reader = None
    if args.recognizer:
        config, weights = args.recognizer
        recognizer = dict(config=str(find_config(config, "textrecog")), weights=weights)
        reader = METRICS.build(dict(type="mms_ocr.RestoredWordAccuracy", recognizer=recognizer))
    restored, rendered, seconds, read = {}, {}, {}, {}
    for name, encoder in variants.items():
        cfg = study_config(args, encoder)
        folder = Path(args.work_dir, name.replace(" ", "_"))
        checkpoint, seconds[name] = train(cfg, folder, args.iterations, 4)
        restored[name] = restore(cfg, checkpoint, cfg.val_dataloader.dataset)
        unseen = rendered_words(args, cfg, args.pictures, args.seed + 1, cfg.val_pipeline)
        rendered[name] = restore(cfg, checkpoint, unseen)
        read[name] = measure(reader, restored[name]) if reader else {}
        print(f"{name}: {seconds[name]:.0f} s", flush=True)
    samples = next(iter(restored.values()))
    numbers = next(iter(read.values()))

    def accuracy(of: dict[str, float], kind: str) -> str:
        return f"{of[f'{kind}/{PROTOCOL}']:.1%}" if of else "-"

    device = "cuda" if torch.cuda.is_available() else "cpu"
    print(f"\n{describe_machine(device)}")
    print(
        f"{len(samples):,} held-out words, degraded; {args.iterations:,} steps of "
        f"{args.batch_size} words, {args.rendered_share:.0%} of them rendered; learning rate "
        f"{args.lr:g}, seed {args.seed}. Words read: letters and digits only, ignoring case.\n"
    )
    print("| image | PSNR, dB | over bicubic, dB | PSNR_batch | SSIM | SSIM_batch ", end="")
    print("| words read | training, s |\n| --- | ---: | ---: | ---: | ---: | ---: | ---: | ---: |")
    peak, *others = quality(samples, "bicubic_img")
    print(f"| bicubic (LR) | {peak} | | {' | '.join(others)} | {accuracy(numbers, 'LR')} | |")
    for name in variants:
        peak, *others = quality(restored[name], "pred_img")
        cells = [name, peak, gain(restored[name]), *others, accuracy(read[name], "SR")]
        print(f"| {' | '.join(cells)} | {seconds[name]:.0f} |")
    print(f"| truth (HR) | | | | | | {accuracy(numbers, 'HR')} | |")
    for what, samples_of in (("real", restored), ("rendered", rendered)):
        sheet = Path(args.work_dir, f"{what}_words.png")
        draw(samples_of, args.pictures, sheet)
        print(f"pictures of {what} words: {sheet}")


def main() -> None:
    args = parse_args()
    try:
        study(args)
    except (OSError, ValueError, ImportError) as error:
        sys.exit(f"super_resolution.py: {error}")


if __name__ == "__main__":
    main()
