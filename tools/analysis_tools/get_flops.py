"""Count the parameters and the operations of the model of a config, for one image.

A multiply-add counts as two operations; only products of matrices and convolutions are counted.
Pretraining is counted forward, under its masks, so that the encoder sees visible patches only, and
its encoder once more on whole images. An autoregressive decoder writes its longest word.
"""

import argparse
import sys
import warnings

import torch
from mmengine.config import Config
from mmengine.registry import DefaultScope
from torch import nn
from torch.nn.attention import SDPBackend, sdpa_kernel
from torch.utils.flop_counter import FlopCounterMode

from mms_ocr.apis.bundled_configs import find_config
from mms_ocr.models import MMS, TextViT
from mms_ocr.models.textrecog.text_decoder import TextDecoder
from mms_ocr.registry import MODELS
from mms_ocr.utils.cfg_options import add_config_options, merge_cfg_options
from mms_ocr.utils.config_files import read_config_file
from mms_ocr.utils.dictionaries import check_dictionaries
from mms_ocr.utils.errors import run_program

# Images under masks: as many of each strategy, which may remove different numbers of patches.
MASKED_IMAGES = 12


def parse_args():
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("config", help="config: a file, or the name of a bundled one")
    parser.add_argument(
        "--shape",
        type=int,
        nargs=2,
        metavar=("HEIGHT", "WIDTH"),
        help="pixels of the image (default: those of the encoder, else 32 128)",
    )
    add_config_options(parser)
    return parser.parse_args()


def build_model(cfg: Config) -> nn.Module:
    """Build the model of a config with random weights."""
    if not cfg.get("model"):
        raise ValueError(f"{cfg.filename} has no model")
    check_dictionaries(cfg.model)
    with DefaultScope.overwrite_default_scope(cfg.get("default_scope", "mms_ocr")):
        return MODELS.build(cfg.model).eval()


def count(model: nn.Module, images: int, *inputs: object, **settings: object) -> dict[str, float]:
    """Count the operations of a call for one of its images, by child of the model."""
    counter = FlopCounterMode(display=False, depth=2)
    warnings.filterwarnings("ignore", "TF32 acceleration")  # of the switch below, on any CPU
    # torch counts no operations in the CPU's fused attention and recurrent layers.
    unfused = (sdpa_kernel(SDPBackend.MATH), torch.backends.mkldnn.flags(enabled=False))
    with torch.no_grad(), counter, unfused[0], unfused[1]:
        model(*inputs, **settings)
    total = counter.get_total_flops() / images
    prefix = f"{type(model).__name__}."
    parts = {
        name.removeprefix(prefix): sum(operations.values()) / images
        for name, operations in counter.get_flop_counts().items()
        if name.startswith(prefix) and name.count(".") == 1
    }
    return {**parts, "other": total - sum(parts.values()), "total": total}


def count_model(model: nn.Module, shape: tuple[int, int]) -> dict[str, float]:
    """Count the operations of a model for an image of a shape: pretraining, or prediction."""
    if isinstance(model, MMS):
        pixels = torch.zeros(MASKED_IMAGES, 3, *shape, dtype=torch.uint8)
        batch = model.data_preprocessor({"inputs": pixels}, True)
        return count(model, MASKED_IMAGES, **batch, mode="loss")
    decoder = getattr(model, "decoder", None)
    if isinstance(decoder, TextDecoder):
        decoder.dictionary.end_idx = None  # no word ends
    return count(model, 1, torch.zeros(1, 3, *shape), data_samples=samples_for(model, shape))


def samples_for(model: nn.Module, shape: tuple[int, int]) -> list | None:
    """Return the sample of an image that a recognizer of MMOCR reads."""
    if not any(kind.__module__.startswith("mmocr.") for kind in type(model).__mro__):
        return None
    from mmocr.structures import TextRecogDataSample

    return [TextRecogDataSample(metainfo=dict(valid_ratio=1.0, img_shape=shape))]


def parameters(module: nn.Module | None) -> int:
    """Return the number of values in the parameters of a module, trainable or not."""
    return sum(each.numel() for each in module.parameters()) if module is not None else 0


def report(args: argparse.Namespace) -> None:
    """Print the table."""
    cfg = read_config_file(str(find_config(args.config)))
    merge_cfg_options(cfg, args.cfg_options)
    torch.manual_seed(0)
    model = build_model(cfg)
    encoder = getattr(model, "backbone", None)
    size = encoder.img_size if isinstance(encoder, TextViT) else (32, 128)
    shape = tuple(args.shape or size)
    counts = count_model(model, shape)
    children = dict(model.named_children())
    names = [name for name in children if parameters(children[name]) or counts.get(name)]
    print(f"{args.config}: {type(model).__name__}, images of {shape[0]}×{shape[1]} pixels\n")
    print("| part | parameters | MFLOPs |\n| --- | ---: | ---: |")
    for name in names:
        row(name, parameters(children[name]), counts.get(name, 0))
    if counts["other"] > 0:
        own = parameters(model) - sum(parameters(children[name]) for name in names)
        row("other", own, counts["other"])
    row("total", parameters(model), counts["total"])
    if isinstance(model, MMS):
        whole = count(encoder, 1, torch.zeros(1, 3, *shape))["total"]
        row("backbone, whole image", parameters(encoder), whole)


def row(name: str, number: int, flops: float) -> None:
    """Print a row of the table."""
    print(f"| {name} | {number:,} | {flops / 1e6:,.1f} |")


if __name__ == "__main__":
    sys.exit(run_program("get_flops.py", parse_args, report))
