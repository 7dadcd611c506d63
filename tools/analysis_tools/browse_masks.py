"""Draw the masks of a pretraining config: one row for each image, one column for each strategy."""

import argparse
import sys

import numpy as np
import torch
from mmengine.config import Config
from mmengine.utils import to_2tuple

from mms_ocr.apis.pictures import check_picture, load_word_images
from mms_ocr.models.backbones.patches import hide_patches
from mms_ocr.registry import TASK_UTILS
from mms_ocr.utils.cfg_options import add_config_options, merge_cfg_options
from mms_ocr.utils.errors import run_program
from mms_ocr.utils.files import write_image
from mms_ocr.visualization import picture_grid


def parse_args():
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("config", help="pretraining config")
    parser.add_argument(
        "images", nargs="*", help="word images or folders (default: the config's validation set)"
    )
    parser.add_argument(
        "--out", default="masks.png", help="picture to write (default: %(default)s)"
    )
    parser.add_argument("--num", type=int, default=8, help="images to draw (default: %(default)s)")
    parser.add_argument("--draws", type=int, default=2, help="masks per strategy and image")
    parser.add_argument("--ratios", type=float, nargs="*", help="draw these mask ratios instead")
    parser.add_argument("--seed", type=int, default=0, help="of the masks (0)")
    add_config_options(parser)
    return parser.parse_args()


def set_ratio(settings: dict, ratio: float | None) -> dict:
    """Set one ratio for all strategies of a mask generator's settings; None changes nothing."""
    if ratio is None:
        return settings
    changed = {**settings, "ratio": ratio}
    if "strategies" in settings:
        changed["strategies"] = [
            {**strategy, "ratio": ratio} for strategy in settings["strategies"]
        ]
    return changed


def browse(args: argparse.Namespace) -> None:
    """Draw the sheet."""
    check_picture(args.out, [args.config, *args.images])
    cfg = Config.fromfile(args.config)
    merge_cfg_options(cfg, args.cfg_options)
    settings = cfg.model.data_preprocessor.mask_generator
    images = load_word_images(cfg, args.images, args.num)
    patch_size = to_2tuple(cfg.model.backbone.patch_size)
    rng = torch.Generator().manual_seed(args.seed)
    columns: list[np.ndarray] = [images.permute(0, 2, 3, 1).numpy()]
    labels = ["original"]
    for ratio in args.ratios or [None]:
        for strategy in TASK_UTILS.build(set_ratio(settings, ratio)).each_strategy():
            for _ in range(args.draws):
                hidden = hide_patches(images, strategy(len(images), rng=rng), patch_size, 128)
                columns.append(hidden.permute(0, 2, 3, 1).numpy())
                labels.append(f"{strategy.name} {strategy.ratio:g}")
    sheet = picture_grid(list(zip(*columns)), labels, scale=2)
    write_image(args.out, sheet[:, :, ::-1])
    print(f"{len(images)} images with {len(labels) - 1} masks each: {args.out}")


if __name__ == "__main__":
    sys.exit(run_program("browse_masks.py", parse_args, browse))
