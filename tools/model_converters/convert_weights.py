"""Convert weights of another library to a checkpoint of this one, or print what a file holds.

    python tools/model_converters/convert_weights.py mae_vit_s.pth --check
    python tools/model_converters/convert_weights.py mae_vit_s.pth encoder.pth
    python tools/model_converters/convert_weights.py maerec_s.pth recognizer.pth --part recognizer
    python tools/model_converters/convert_weights.py iter_80000.pth timm_vit_s.pth --to timm

A checkpoint written here holds weights only, and loads wherever one of this project does. The
weights are loaded into an encoder of their own measures first, so that none is missing, unknown or
of another shape.
"""

import argparse
import re
import sys
from collections import Counter
from pathlib import Path
from typing import Any, NamedTuple

import mms_ocr  # noqa: F401  (before MMPretrain is imported)
from mms_ocr.models import TextViT
from mms_ocr.models.backbones.positions import find_sincos_grid
from mms_ocr.models.weights import (
    FAMILIES,
    EncoderWeights,
    find_encoder,
    find_recognizer,
    load_strictly,
    read_state_dict,
    timm_names,
    write_checkpoint,
)
from mms_ocr.utils.errors import run_program
from mms_ocr.utils.output_checks import check_outputs


class EncoderFacts(NamedTuple):
    """Sizes of an encoder.

    Attributes:
        embed_dims: Width.
        num_layers: Layers.
        feedforward_channels: Hidden width of the feed-forward networks.
        patch_size: Height and width of a patch in pixels.
        num_patches: Number of positions.
        grid: Grid of the positions, if the file stores it.
        sincos_grid: Grid of the positions, if they are fixed sines and cosines.
    """

    embed_dims: int
    num_layers: int
    feedforward_channels: int
    patch_size: tuple[int, int]
    num_patches: int
    grid: tuple[int, int] | None
    sincos_grid: tuple[int, int] | None


def check_encoder(encoder: EncoderWeights, path: str) -> EncoderFacts:
    """Load an encoder's weights strictly into a model of their sizes.

    Weights do not show the number of heads; files of this project store it.

    Args:
        encoder: The weights.
        path: Path of the file, for messages.

    Raises:
        ValueError: A weight is missing, unknown, or of a shape that does not fit the others.
    """
    weights = encoder.weights
    for key in ("pos_embed", "layers.0.ffn.layers.0.0.weight"):
        if key not in weights:
            raise ValueError(
                f"{path} (family {encoder.family}) holds no whole encoder: no {key} among its "
                f"{len(weights)} weights"
            )
    kernel = weights["patch_embed.projection.weight"]
    layers = {match[1] for key in weights if (match := re.match(r"layers\.(\d+)\.", key))}
    has_class = "cls_token" in weights
    num_patches = weights["pos_embed"].shape[1] - has_class
    hidden = len(weights["layers.0.ffn.layers.0.0.weight"])
    stored = getattr(weights, "_metadata", {}).get("", {})
    grid = stored.get("grid")
    height, width = stored.get("patch_size") or kernel.shape[-2:]
    model = TextViT(
        arch=dict(
            embed_dims=len(kernel),
            num_layers=len(layers),
            num_heads=stored.get("num_heads", 1),
            feedforward_channels=hidden,
        ),
        img_size=(height, width * num_patches),
        patch_size=(height, width),
        stem="conv" if "patch_embed.convs.0.weight" in weights else "patch",
        with_cls_token=has_class,
        out_type="tokens",
    )
    load_strictly(model, weights, f"{path} (family {encoder.family})")
    return EncoderFacts(
        embed_dims=len(kernel),
        num_layers=len(layers),
        feedforward_channels=hidden,
        patch_size=(height, width),
        num_patches=num_patches,
        grid=(int(grid[0]), int(grid[1])) if grid else None,
        sincos_grid=find_sincos_grid(weights["pos_embed"][0, int(has_class) :]),
    )


def parse_args(argv: list[str] | None = None) -> argparse.Namespace:
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("source", help="checkpoint to read; nothing in it is run")
    parser.add_argument("target", nargs="?", help="checkpoint to write")
    parser.add_argument(
        "--family", choices=FAMILIES, help="what it is (default: detected by its keys)"
    )
    parser.add_argument(
        "--part",
        choices=("encoder", "recognizer"),
        default="encoder",
        help="the encoder alone (default), or encoder and decoder",
    )
    parser.add_argument(
        "--to", choices=("mms", "timm"), default="mms", help="whose names to write (default: mms)"
    )
    parser.add_argument(
        "--grid",
        nargs=2,
        type=int,
        metavar=("ROWS", "COLUMNS"),
        help="grid of the patches that it was trained on, if the file does not store it",
    )
    parser.add_argument("--check", action="store_true", help="print what it holds, write nothing")
    parser.add_argument("--traceback", action="store_true", help="show the traceback of an error")
    return parser.parse_args(argv)


def convert(args: argparse.Namespace) -> None:
    """Convert or check as the options say.

    Raises:
        FileNotFoundError: There is no such file.
        ValueError: The file is none of weights, or does not hold what was asked for, whole.
    """
    if args.check == bool(args.target):
        raise ValueError("give either a file to write or --check")
    if args.to == "timm" and args.part == "recognizer":
        raise ValueError("timm has no recognizers; leave out --part recognizer, or --to timm")
    if args.target:
        Path(args.target).parent.mkdir(parents=True, exist_ok=True)
        check_outputs([args.target], [args.source])
    state_dict = read_state_dict(args.source)
    encoder = find_encoder(state_dict, args.source, args.family)
    facts = check_encoder(encoder, args.source)
    describe(encoder, facts, len(state_dict))
    weights, prefix = encoder.weights, ""
    if args.part == "recognizer":
        weights = find_recognizer(state_dict, args.source, args.family).weights
        prefix = "backbone"
    if args.grid:
        store_grid(weights, prefix, args.grid, facts)
    if args.check:
        return
    if args.to == "timm":
        weights = timm_names(weights)
    meta = {"family": encoder.family, "part": args.part, "source": Path(args.source).name}
    write_checkpoint(args.target, weights, meta)
    print(f"wrote {len(weights)} weights to {args.target}")


def store_grid(weights: Any, prefix: str, grid: list[int], facts: EncoderFacts) -> None:
    """Store the grid of the positions in the weights."""
    if grid[0] * grid[1] != facts.num_patches:
        raise ValueError(
            f"--grid {grid[0]} {grid[1]} has {grid[0] * grid[1]} patches, and the file positions "
            f"for {facts.num_patches}"
        )
    if facts.grid and facts.grid != tuple(grid):
        raise ValueError(
            f"--grid {grid[0]} {grid[1]} was given, and the file stores {facts.grid[0]} "
            f"{facts.grid[1]}"
        )
    stored = weights._metadata.get(prefix, {})
    weights._metadata = {**weights._metadata, prefix: {**stored, "grid": list(grid)}}


def describe(encoder: EncoderWeights, facts: EncoderFacts, num_keys: int) -> None:
    """Print what a file holds."""
    under = f"under {encoder.prefix!r}" if encoder.prefix else "at the top"
    print(f"family {encoder.family}: {num_keys} keys, those of the encoder {under}")
    print(
        f"encoder: {facts.embed_dims} wide, {facts.num_layers} layers, "
        f"{'×'.join(map(str, facts.patch_size))} patches, {len(encoder.weights)} weights"
    )
    kind = "other positions than fixed ones"
    if facts.sincos_grid:
        kind = "fixed positions of {}×{}".format(*facts.sincos_grid)
    grid = "the file does not store the grid of the patches"
    if facts.grid:
        grid = "the patches had a grid of {}×{}".format(*facts.grid)
    print(f"positions: {facts.num_patches} patches; {kind}; {grid}")
    rooms = Counter(key.removeprefix("module.").split(".")[0] for key in encoder.left_out)
    if rooms:
        named = ", ".join(f"{room} ({count})" for room, count in sorted(rooms.items()))
        print(f"not of the encoder: {named}")


def main(argv: list[str] | None = None) -> int:
    return run_program("convert_weights.py", lambda: parse_args(argv), convert)


if __name__ == "__main__":
    sys.exit(main())
