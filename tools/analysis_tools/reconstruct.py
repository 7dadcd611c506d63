"""Draw what a pretrained model makes of word images: original | masked | reconstruction.

Targets that were normalized patch by patch are shown in image space: a prediction is given the mean
and the contrast of the true patch, about which the model says nothing.
"""

import argparse
import sys

import torch
from mmengine.config import Config, DictAction

from mms_ocr.apis.errors import run_program
from mms_ocr.apis.overrides import merge_options
from mms_ocr.apis.pictures import check_picture, load_word_images
from mms_ocr.datasets.writing import write_image
from mms_ocr.engine.hooks.reconstruction_hook import draw_reconstructions
from mms_ocr.models.weights import load_model
from mms_ocr.registry import MODELS


def parse_args():
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("config", help="pretraining config")
    parser.add_argument("checkpoint", help="checkpoint of a run of that config")
    parser.add_argument(
        "images", nargs="*", help="word images or folders (default: the config's validation set)"
    )
    parser.add_argument(
        "--out", default="reconstructions.png", help="picture to write (default: %(default)s)"
    )
    parser.add_argument("--num", type=int, default=8, help="images to draw (default: %(default)s)")
    parser.add_argument("--scale", type=int, default=2, help="enlargement (default: %(default)s)")
    parser.add_argument(
        "--device",
        default="cuda" if torch.cuda.is_available() else "cpu",
        help="such as cpu or cuda:0 (a GPU where there is one)",
    )
    parser.add_argument(
        "--cfg-options",
        nargs="+",
        action=DictAction,
        metavar="KEY=VALUE",
        help="change any setting of the config",
    )
    parser.add_argument(
        "--traceback", action="store_true", help="show where in the code an error arose"
    )
    return parser.parse_args()


def reconstruct(args: argparse.Namespace) -> None:
    check_picture(args.out, [args.config, args.checkpoint, *args.images])
    cfg = Config.fromfile(args.config)
    merge_options(cfg, args.cfg_options)
    model = MODELS.build(cfg.model).to(args.device).eval()
    load_model(model, args.checkpoint)
    images = load_word_images(cfg, args.images, args.num)
    # The preprocessor expects what a pipeline gives: BGR.
    batch = model.data_preprocessor({"inputs": images.flip(1)}, False)
    samples = model.predict(**batch)
    sheet = draw_reconstructions(samples, args.scale)
    write_image(args.out, sheet[:, :, ::-1])
    names = samples[0].masked_error
    means = {name: sum(s.masked_error[name] for s in samples) / len(samples) for name in names}
    errors = ", ".join(f"{name} {mean:.3f}" for name, mean in means.items())
    print(f"{len(samples)} images, mean masked error: {errors}; pictures: {args.out}")


if __name__ == "__main__":
    sys.exit(run_program("reconstruct.py", parse_args, reconstruct))
