"""Attention of an encoder over word images: the probabilities of every layer and head."""

from __future__ import annotations

from typing import Any

import torch
from torch import Tensor, nn

from mms_ocr.models.backbones.text_vit import TextViT


@torch.no_grad()
def attention_maps(encoder: TextViT, images: Tensor) -> Tensor:
    """Compute the attention probabilities of all layers for whole word images.

    The class token comes first: ``maps[:, :, :, 0, 1:].unflatten(-1, grid)`` is its attention to
    the patches, ``(layers, B, heads, rows, columns)``.

    Args:
        encoder: In evaluation mode.
        images: Normalized, ``(B, 3, H, W)``.

    Returns:
        ``(layers, B, heads, N, N)`` for N tokens; row i is how token i weighs all tokens, and sums
        to 1.
    """
    maps: list[Tensor] = []

    def keep(qkv: nn.Module, _: Any, output: Tensor) -> None:
        attention = owners[qkv]
        parts = output.unflatten(-1, (3, attention.num_heads, -1)).permute(2, 0, 3, 1, 4)
        query, key = parts[0], parts[1]
        # The layer's own function: attention over one-hot values is its probabilities.
        one_hot = torch.eye(key.shape[-2], dtype=key.dtype, device=key.device)
        one_hot = one_hot.expand(*key.shape[:-1], -1)
        maps.append(attention.scaled_dot_product_attention(query, key, one_hot))

    owners: dict[nn.Module, Any] = {layer.attn.qkv: layer.attn for layer in encoder.layers}
    hooks = [qkv.register_forward_hook(keep) for qkv in owners]
    try:
        encoder(images)
    finally:
        for hook in hooks:
            hook.remove()
    return torch.stack(maps)


def attention_rollout(maps: Tensor) -> Tensor:
    """Follow attention through all layers, after Abnar and Zuidema (arXiv 2005.00928).

    Heads are averaged, and half of each token comes from the residual connection.

    Args:
        maps: Of :func:`attention_maps`, ``(layers, B, heads, N, N)``.

    Returns:
        How much of each token at the end comes from each at the input, ``(B, N, N)``; rows sum to
        1.
    """
    identity = torch.eye(maps.shape[-1], dtype=maps.dtype, device=maps.device)
    rollout = identity.expand(maps.shape[1], -1, -1)
    for layer in maps.mean(dim=2):
        rollout = (layer + identity) / 2 @ rollout
    return rollout
