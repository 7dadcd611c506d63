"""What an encoder's weights tell of it, and whether they are whole."""

from __future__ import annotations

import re
from typing import NamedTuple

from mms_ocr.models.backbones import TextViT
from mms_ocr.models.backbones.positions import find_sincos_grid
from mms_ocr.models.weights.families import Found
from mms_ocr.models.weights.loading import load_strictly


class EncoderFacts(NamedTuple):
    """Measures of an encoder.

    Attributes:
        embed_dims: Width.
        num_layers: Layers.
        feedforward_channels: Width inside a feed-forward network.
        patch_size: Height and width of a patch in pixels.
        num_patches: Patches that it has positions for.
        grid: Grid of these patches, where the file tells it.
        sincos_grid: Grid whose fixed sine-cosine positions it has; None where they are others.
    """

    embed_dims: int
    num_layers: int
    feedforward_channels: int
    patch_size: tuple[int, int]
    num_patches: int
    grid: tuple[int, int] | None
    sincos_grid: tuple[int, int] | None


def check_encoder(found: Found, path: str) -> EncoderFacts:
    """Load an encoder's weights into one of their own measures, strictly.

    The number of heads leaves no trace in the weights; files of this project store it.

    Args:
        found: The weights.
        path: Where they are from, for the message of an error.

    Raises:
        ValueError: A weight is missing, unknown or of another shape than the others ask for.
    """
    weights = found.weights
    missing = [key for key in ("pos_embed", "layers.0.ffn.layers.0.0.weight") if key not in weights]
    if missing:
        raise ValueError(
            f"{path} (family {found.family}) holds no whole encoder: no {missing[0]} among its "
            f"{len(weights)} weights"
        )
    kernel = weights["patch_embed.projection.weight"]
    width = len(kernel)
    layers = {match[1] for key in weights if (match := re.match(r"layers\.(\d+)\.", key))}
    has_class = "cls_token" in weights
    num_patches = weights["pos_embed"].shape[1] - has_class
    inner = len(weights["layers.0.ffn.layers.0.0.weight"])
    stored = getattr(weights, "_metadata", {}).get("", {})
    grid = stored.get("grid")
    patch_height, patch_width = stored.get("patch_size") or kernel.shape[-2:]
    model = TextViT(
        arch=dict(
            embed_dims=width,
            num_layers=len(layers),
            num_heads=stored.get("num_heads", 1),
            feedforward_channels=inner,
        ),
        img_size=(patch_height, patch_width * num_patches),
        patch_size=(patch_height, patch_width),
        stem="conv" if "patch_embed.convs.0.weight" in weights else "patch",
        with_cls_token=has_class,
        out_type="tokens",
    )
    load_strictly(model, weights, f"{path} (family {found.family})")
    patches = weights["pos_embed"][0, int(has_class) :]
    return EncoderFacts(
        embed_dims=width,
        num_layers=len(layers),
        feedforward_channels=inner,
        patch_size=(patch_height, patch_width),
        num_patches=num_patches,
        grid=(int(grid[0]), int(grid[1])) if grid else None,
        sincos_grid=find_sincos_grid(patches),
    )
