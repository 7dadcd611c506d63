"""``mms-ocr reconstruct``: reconstructions of masked words by a pretrained model."""

from __future__ import annotations

import argparse

from mms_ocr.cli.word_options import add_weights_options, check_no_checkpoints

_MAX_SCALE = 64
HELP = "draw words, their masks, and their reconstructions by a pretrained model"


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """Declare the command's options."""
    parser.add_argument(
        "images", nargs="*", metavar="IMAGE",
        help="word images, folders, LMDBs or files of JSON lines (default: the config's validation "
        "set)"
    )  # fmt: skip
    add_weights_options(parser, "pretraining run")
    parser.add_argument(
        "--out", default="reconstructions.png", help="picture to write (default: %(default)s)"
    )
    parser.add_argument("--num", type=int, default=8, help="images to draw (default: %(default)s)")
    parser.add_argument("--scale", type=int, default=2, help="enlargement, 1 to 64 (default: 2)")
    parser.add_argument(
        "--cfg-options", nargs="+", metavar="KEY=VALUE", default=[],
        help="settings to change in the config, such as those of the masks"
    )  # fmt: skip


def run(args: argparse.Namespace) -> None:
    """Draw the picture and print the mean error on masked patches."""
    from mms_ocr.apis.pictures import check_picture, load_word_images
    from mms_ocr.apis.tasks import PRETRAINING, choose_weights
    from mms_ocr.apis.trained_models import (
        build_trained,
        load_config,
    )
    from mms_ocr.engine.hooks.picture_hooks import draw_reconstructions
    from mms_ocr.utils.cfg_options import merge_cfg_options, parse_cfg_options
    from mms_ocr.utils.devices import usable_device
    from mms_ocr.utils.files import write_image

    if not 1 <= args.scale <= _MAX_SCALE:
        raise ValueError(f"--scale is {args.scale}; give a whole number from 1 to {_MAX_SCALE}")
    check_no_checkpoints(args.images)
    weights = choose_weights(args.weights, PRETRAINING)
    check_picture(args.out, [path for path in (args.config, weights, *args.images) if path])
    cfg = load_config(args.config, weights, PRETRAINING)
    merge_cfg_options(cfg, parse_cfg_options(args.cfg_options))
    model = build_trained(cfg, weights, usable_device(args.device))
    images = load_word_images(cfg, args.images, args.num)
    # The preprocessor expects BGR, as pipelines give it.
    batch = model.data_preprocessor({"inputs": images.flip(1)}, False)
    samples = model.predict(**batch)
    write_image(args.out, draw_reconstructions(samples, args.scale)[:, :, ::-1])
    names = samples[0].masked_error
    means = {name: sum(s.masked_error[name] for s in samples) / len(samples) for name in names}
    errors = ", ".join(f"{name} {mean:.3f}" for name, mean in means.items())
    print(f"{len(samples)} images, mean masked error: {errors}; pictures: {args.out}")
