"""``mms-ocr export``: a trained model in ONNX."""

from __future__ import annotations

import argparse

HELP = "write a trained model in ONNX, which runs without torch"


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """Declare the command's options."""
    parser.add_argument(
        "checkpoint", metavar="CHECKPOINT", help="a checkpoint, or bundled weights: mms_vit_n_ctc"
    )
    parser.add_argument("--out", required=True, metavar="FILE", help="file to write, ….onnx")
    parser.add_argument(
        "--config", metavar="CONFIG",
        help="its config: a file, or the name of a bundled one (default: the one named in the "
        "checkpoint, else one of the encoder's size)"
    )  # fmt: skip
    parser.add_argument(
        "--half", action="store_true", help="store weights in half precision: half the size"
    )
    parser.add_argument(
        "--quantize", action="store_true",
        help="store and use the weights of matrix products as 8-bit integers"
    )  # fmt: skip
    parser.add_argument(
        "--features", choices=("map", "tokens"), help="export the encoder alone, with this output"
    )
    parser.add_argument(
        "--cfg-options", nargs="+", metavar="KEY=VALUE", default=[],
        help="settings that training changed in the config"
    )  # fmt: skip


def run(args: argparse.Namespace) -> None:
    """Write the file and compare it with the model."""
    try:
        from mms_ocr.apis.exporting import export
        from mms_ocr.apis.onnx_models import KINDS
        from mms_ocr.utils.cfg_options import parse_cfg_options
    except ImportError as error:
        raise ImportError(
            f"the export needs torch and the packages of the model ({error}); see docs/install.md"
        ) from error

    exported = export(
        args.checkpoint,
        args.out,
        args.config,
        half=args.half,
        quantize=args.quantize,
        features=args.features,
        options=parse_cfg_options(args.cfg_options),
    )
    print(
        f"{exported.path}: {KINDS[exported.task]}, {exported.size / 1e6:.1f} MB; its outputs "
        f"differ from those of the model by up to {exported.difference:.2g}"
    )
