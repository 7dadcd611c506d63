"""Sizes of an encoder, from its weights."""

from __future__ import annotations

import re
from typing import NamedTuple

from mms_ocr.models.backbones import TextViT
from mms_ocr.models.backbones.positions import find_sincos_grid
from mms_ocr.models.weights.families import EncoderWeights
from mms_ocr.models.weights.loading import load_strictly


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
