"""Draw what a segmentation or super-resolution model predicts: input | prediction | truth.

The images are the first of the config's test set. The config's ComparisonHook names the fields of a
sample that are drawn.
"""

import argparse
import sys

from mmengine.config import Config
from torch.utils.data import DataLoader, Subset

from mms_ocr.apis.bundled_configs import find_config
from mms_ocr.apis.pictures import check_picture
from mms_ocr.cli.data_option import set_data
from mms_ocr.datasets import collate_words
from mms_ocr.engine.hooks.picture_hooks import comparison_rows
from mms_ocr.models.weights import load_model
from mms_ocr.registry import DATASETS, MODELS
from mms_ocr.utils.cfg_options import add_config_options, merge_cfg_options
from mms_ocr.utils.devices import usable_device
from mms_ocr.utils.errors import run_program
from mms_ocr.utils.files import write_image
from mms_ocr.visualization import picture_grid


def parse_args():
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("config", help="segmentation or super-resolution config: a file, or a name")
    parser.add_argument("checkpoint", help="checkpoint of a run of that config")
    parser.add_argument(
        "--data", nargs="+", metavar="PATH", help="other words, with masks or pairs"
    )
    parser.add_argument(
        "--out", default="comparison.png", help="picture to write (default: %(default)s)"
    )
    parser.add_argument("--num", type=int, default=16, help="images to draw (default: %(default)s)")
    parser.add_argument(
        "--panel", type=int, nargs=2, default=(64, 256), metavar=("HEIGHT", "WIDTH"),
        help="size at which each picture is drawn (64 256)"
    )  # fmt: skip
    parser.add_argument("--device", help="such as cpu or cuda:0 (default: a GPU if there is one)")
    add_config_options(parser)
    return parser.parse_args()


def drawn_fields(cfg: Config) -> dict[str, str]:
    """Return the names of the columns, and the field of a sample that each of them shows.

    Raises:
        ValueError: The config has no ComparisonHook.
    """
    for hook in cfg.get("custom_hooks") or []:
        if hook.type == "mms_ocr.ComparisonHook":
            return dict(hook.fields)
    raise ValueError(
        f"{cfg.filename} has no mms_ocr.ComparisonHook with the fields to draw; give a config of "
        "segmentation or super-resolution"
    )


def compare(args: argparse.Namespace) -> None:
    if args.num < 1:
        raise ValueError(f"--num must be at least 1, got {args.num}")
    check_picture(args.out, [args.config, args.checkpoint, *(args.data or [])])
    device = usable_device(args.device)
    cfg = Config.fromfile(find_config(args.config))
    if args.data:
        set_data(cfg, args.data)
    merge_cfg_options(cfg, args.cfg_options)
    fields = drawn_fields(cfg)
    model = MODELS.build(cfg.model).to(device).eval()
    load_model(model, args.checkpoint)
    dataset = DATASETS.build(cfg.test_dataloader.dataset)
    first = Subset(dataset, range(min(args.num, len(dataset))))
    rows = []
    for batch in DataLoader(first, batch_size=64, collate_fn=collate_words):
        rows += comparison_rows(batch["inputs"], model.test_step(batch), fields)
    sheet = picture_grid(rows, ["input", *fields], cell=tuple(args.panel))
    write_image(args.out, sheet[:, :, ::-1])
    print(f"{args.out}: {len(rows)} images")


if __name__ == "__main__":
    sys.exit(run_program("compare_pixels.py", parse_args, compare))
