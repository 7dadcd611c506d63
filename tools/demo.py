"""Pretrain a small encoder for a few minutes on rendered words, and draw its reconstructions.

Runs tools/train.py on configs/mms/pretrain_vit_s.py with a shortened schedule, then draws the masks
and the reconstructions of the best checkpoint. Then the bundled models read, segment and
sharpen twelve rendered words, in one picture.
"""

import argparse
import subprocess
import sys
from pathlib import Path

import cv2
import numpy as np

from mms_ocr.apis import WordReader, WordSegmenter, WordUpscaler
from mms_ocr.datasets import RenderedWordDataset
from mms_ocr.utils.files import write_image
from mms_ocr.visualization import draw_text, picture_grid

ROOT = Path(__file__).resolve().parents[1]
CONFIG = "configs/mms/pretrain_vit_s.py"
WORDS = 12
SMALL = (16, 64)  # input size of the upscaler
PANEL = (64, 256)  # height and width of a picture on the sheet


def parse_args():
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument(
        "--work-dir", default="work_dirs/demo", help="folder of all outputs (work_dirs/demo)"
    )
    parser.add_argument("--iterations", type=int, default=80, help="length of the pretraining (80)")
    parser.add_argument("--batch-size", type=int, default=32, help="images a step (32)")
    return parser.parse_args()


def run(*command: str) -> None:
    print("$ python " + " ".join(command), flush=True)
    subprocess.run([sys.executable, *command], check=True, cwd=ROOT)


def newest(folder: Path, pattern: str) -> Path:
    files = sorted(folder.glob(pattern), key=lambda path: path.stat().st_mtime)
    if not files:
        raise FileNotFoundError(f"no {pattern} in {folder}: the training has not written it")
    return files[-1]


def bundled_models() -> dict:
    """Load the bundled reader, segmenter and upscaler by name; print which are not bundled."""
    models = {}
    for name, kind in dict(
        reader=WordReader, segmenter=WordSegmenter, upscaler=WordUpscaler
    ).items():
        try:
            models[name] = kind()
        except FileNotFoundError as error:
            print(f"no {name}: {error}")
    return models


def reading_sheet(words: list, reader=None, segmenter=None, upscaler=None) -> np.ndarray:
    """Draw the results of the models, one row for each word; a model that is None has no column.

    Args:
        words: uint8 BGR images.
        reader: Its texts are drawn beside the words.
        segmenter: Its masks are drawn white on black.
        upscaler: It enlarges the words from 16 x 64 pixels, which are drawn as well.

    Returns:
        uint8 RGB sheet with a line of column names.
    """
    columns = {"word": [word[:, :, ::-1] for word in words]}
    if reader is not None:
        columns["read"] = [draw_text(reading.text) for reading in reader(words)]
    if segmenter is not None:
        masks = [word.mask.astype(np.uint8) * 255 for word in segmenter(words)]
        columns["mask"] = [np.dstack([mask] * 3) for mask in masks]
    if upscaler is not None:
        small = [cv2.resize(word, SMALL[::-1], interpolation=cv2.INTER_AREA) for word in words]
        columns["16 pixels high"] = [word[:, :, ::-1] for word in small]
        columns["sharpened"] = [word.upscaled[:, :, ::-1] for word in upscaler(small)]
    return picture_grid(list(zip(*columns.values())), list(columns), cell=PANEL)


def main() -> int:
    args = parse_args()
    work_dir = Path(args.work_dir).resolve()
    settings = [
        f"train_dataloader.batch_size={args.batch_size}",
        "train_dataloader.num_workers=1",
        # The schedule of the config is for millions of images.
        "optim_wrapper.optimizer.lr=3e-4",
        "auto_scale_lr.enable=False",
        f"train_cfg.val_interval={max(1, args.iterations // 2)}",
        f"default_hooks.checkpoint.interval={args.iterations}",
        "default_hooks.logger.interval=10",
        "val_dataloader.batch_size=32",
        "val_dataloader.num_workers=1",
        "val_dataloader.dataset.num_samples=64",
    ]
    try:
        run(
            *("tools/train.py", CONFIG, "--work-dir", str(work_dir)),
            *("--iterations", str(args.iterations), "--cfg-options", *settings),
        )
        masks = work_dir / "masks.png"
        run("tools/analysis_tools/browse_masks.py", CONFIG, "--out", str(masks), "--draws", "1")
    except subprocess.CalledProcessError as error:
        print(f"demo.py: the step above ended with status {error.returncode}", file=sys.stderr)
        return 1
    files = {
        "encoder and decoder, best of the run": newest(work_dir, "best_*.pth"),
        "log": newest(work_dir, "*/*.log"),
        "masks": masks,
        "reconstructions half-way": newest(work_dir, f"*/pictures/*{args.iterations // 2:07d}.png"),
        "reconstructions at the end": newest(work_dir, f"*/pictures/*{args.iterations:07d}.png"),
    }
    print("\nThe encoder was pretrained with random patch, blockwise and span masks together.")
    if models := bundled_models():
        rendered = RenderedWordDataset(WORDS, seed=12, random_string_share=0)
        sheet = reading_sheet([rendered[i]["img"] for i in range(WORDS)], **models)
        files["words read, cut out and sharpened"] = work_dir / "reading.png"
        write_image(files["words read, cut out and sharpened"], sheet[:, :, ::-1])
    for what, path in files.items():
        print(f"  {what + ':':<40}{path}")
    return 0


if __name__ == "__main__":
    sys.exit(main())
