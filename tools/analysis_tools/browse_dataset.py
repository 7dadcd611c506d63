"""Draw what training sees of a config's data: after augmentation, with masks, labels or truth.

Pretraining shows each image and its views under masks; recognition the label; segmentation the mask
of the text; super-resolution the sharp image.
"""

import argparse
import sys
from typing import Any

import numpy as np
import torch
from mmengine.config import Config
from mmengine.registry import DefaultScope
from mmengine.runner import Runner
from mmengine.utils import to_2tuple

from mms_ocr.apis.bundled_configs import find_config
from mms_ocr.apis.pictures import check_picture
from mms_ocr.cli.data_option import PARTS, check_data, loaders_of
from mms_ocr.cli.launching import read_config
from mms_ocr.models.backbones.patches import hide_patches
from mms_ocr.registry import MODELS, type_name
from mms_ocr.utils.cfg_options import add_config_options
from mms_ocr.utils.errors import run_program
from mms_ocr.utils.files import write_image
from mms_ocr.utils.randomness import seed_everything
from mms_ocr.visualization import draw_text, picture_grid, to_picture

GRAY = 128  # of removed patches


def parse_args():
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("config", help="config: a file, or the name of a bundled one")
    parser.add_argument("--data", nargs="+", metavar="PATH", help="word images, as for training")
    parser.add_argument("--part", choices=PARTS, default="train", help="(default: %(default)s)")
    parser.add_argument(
        "--out", default="dataset.png", help="picture to write (default: %(default)s)"
    )
    parser.add_argument("--num", type=int, default=16, help="images to draw (default: %(default)s)")
    parser.add_argument(
        "--panel",
        type=int,
        nargs=2,
        default=(64, 256),
        metavar=("HEIGHT", "WIDTH"),
        help="size at which each picture is drawn (64 256)",
    )
    parser.add_argument(
        "--seed", type=int, default=0, help="of order, augmentation and masks (default: 0)"
    )
    add_config_options(parser)
    return parser.parse_args()


def first_batch(cfg: Config, part: str, count: int, seed: int) -> dict[str, Any]:
    """Load the first images of a part, in the order of the run, in this process."""
    loaders = [loader for _, loader in loaders_of(cfg, part)]
    if not loaders:
        raise ValueError(f"{cfg.filename} has no {part}_dataloader")
    settings = dict(batch_size=count, num_workers=0, persistent_workers=False, drop_last=False)
    loader = {**loaders[0], **settings}
    loader.pop("prefetch_factor", None)
    seed_everything(seed)
    return next(iter(Runner.build_dataloader(loader, seed=seed)))


def rows_of(batch: dict[str, Any], cfg: Config, part: str, seed: int) -> tuple[list, list[str]]:
    """Return a row of pictures for each image of a batch, and the names of the columns."""
    images = [to_picture(image.flip(0)) for image in batch["inputs"]]
    samples = batch.get("data_samples") or [None] * len(images)
    preprocessor = cfg.model.get("data_preprocessor") or {}
    if type_name(preprocessor) == "MaskedTextDataPreprocessor":
        return masked_rows(batch, cfg, part == "train", seed)
    if "gt_img" in batch:
        sharp = [to_picture(image.flip(0)) for image in batch["gt_img"]]
        return list(zip(images, sharp)), ["image", "sharp"]
    if "gt_coverage" in batch:
        masks = [share_picture(share) for share in batch["gt_coverage"]]
        return list(zip(images, masks)), ["image", "text"]
    if all("gt_sem_seg" in (sample or {}) for sample in samples):
        masks = [to_picture(sample.gt_sem_seg) for sample in samples]
        return list(zip(images, masks)), ["image", "text"]
    if all("gt_text" in (sample or {}) for sample in samples):
        texts = [draw_text(sample.gt_text.item) for sample in samples]
        return list(zip(images, texts)), ["image", "label"]
    return [[image] for image in images], ["image"]


def masked_rows(
    batch: dict[str, Any], cfg: Config, training: bool, seed: int
) -> tuple[list, list[str]]:
    """Return the images of a pretraining config, each beside its views under masks."""
    settings = {**cfg.model.data_preprocessor, "seed": seed}
    preprocessor = MODELS.build(settings)
    prepared = preprocessor(batch, training)
    pixels = preprocessor.denormalize(prepared["inputs"])
    patch_size = to_2tuple(cfg.model.backbone.patch_size)
    masks = prepared["masks"]
    rows = [[to_picture(image)] for image in pixels]
    for view, mask in enumerate(masks.masks):
        hidden = hide_patches(masks.select(view, pixels), mask, patch_size, GRAY)
        indices = range(len(pixels)) if masks.images is None else masks.images[view].tolist()
        for index, image, strategy in zip(indices, hidden, masks.strategies[view].tolist()):
            rows[index] += [to_picture(image), draw_text(masks.names[strategy])]
    return rows, []


def share_picture(share: torch.Tensor) -> np.ndarray:
    """Draw ``gt_coverage`` ``(1, h, w)``: black 0, white all text; ignored pixels are red."""
    levels = share[0].numpy()
    picture = np.repeat((levels.astype(np.float32) * 255 / 240).clip(0, 255)[:, :, None], 3, 2)
    picture[levels == 255] = (255, 0, 0)
    return picture.astype(np.uint8)


def browse(args: argparse.Namespace) -> None:
    """Draw the sheet."""
    if args.num < 1:
        raise ValueError(f"--num must be at least 1, got {args.num}")
    check_picture(args.out, [args.config, *(args.data or [])])
    args.config = str(find_config(args.config))
    cfg = read_config(
        argparse.Namespace(**vars(args), launcher="none", work_dir=None), (args.part,)
    )
    check_data(cfg, (args.part,))
    with DefaultScope.overwrite_default_scope(cfg.get("default_scope", "mms_ocr")):
        batch = first_batch(cfg, args.part, args.num, args.seed)
        rows, labels = rows_of(batch, cfg, args.part, args.seed)
    write_image(args.out, picture_grid(rows, labels, cell=tuple(args.panel))[:, :, ::-1])
    print(f"{len(rows)} images of the {args.part} data of {args.config}: {args.out}")


if __name__ == "__main__":
    sys.exit(run_program("browse_dataset.py", parse_args, browse))
