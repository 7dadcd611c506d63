"""Attention for training in bf16 on CPU, where torch's own is slow."""

from __future__ import annotations

from typing import Any

import torch
import torch.nn.functional as F
from mmpretrain.models.utils.attention import MultiheadAttention, scaled_dot_product_attention
from torch import Tensor, nn

# Probabilities in bf16 of one layer, kept for the backward pass: 64 MiB.
MOST_KEPT = 2**25


def attend(
    query: Tensor,
    key: Tensor,
    value: Tensor,
    attn_mask: Tensor | None = None,
    dropout_p: float = 0.0,
    **kwargs: Any,
) -> Tensor:
    """Scaled dot-product attention, faster where a CPU trains in bf16.

    Where a CPU needs gradients in bf16, without mask and dropout, this takes plain products
    and keeps the probabilities, as long as they take up to 64 MiB a layer; everywhere else it calls
    torch's ``scaled_dot_product_attention``. ``tools/benchmarks/bench_attention.py`` compares both.

    Args:
        query: ``(B, H, M, D)``.
        key: ``(B, H, N, D)``.
        value: ``(B, H, N, D)``.
        attn_mask: As torch takes it.
        dropout_p: Share of the probabilities to drop.
        **kwargs: Further arguments of torch's function: ``is_causal``, ``scale``, ….

    Returns:
        Means of the values, ``(B, H, M, D)``. Scores are rounded to the type of the query.
    """
    plain = attn_mask is None and not dropout_p and not kwargs
    if not (plain and _plain_is_faster(query, key, value)):
        return F.scaled_dot_product_attention(query, key, value, attn_mask, dropout_p, **kwargs)
    with torch.autocast("cpu", enabled=False):  # autocast would keep probabilities in float32
        scores = (query * query.shape[-1] ** -0.5) @ key.transpose(-2, -1)
        return scores.softmax(dim=-1) @ value


def _plain_is_faster(query: Tensor, key: Tensor, value: Tensor) -> bool:
    return (
        query.device.type == "cpu"
        and query.dtype == key.dtype == value.dtype == torch.bfloat16
        and torch.is_grad_enabled()
        and any(tensor.requires_grad for tensor in (query, key, value))
        and not torch.compiler.is_compiling()
        and query.shape[:-1].numel() * key.shape[-2] <= MOST_KEPT
    )


def use_attend(module: nn.Module) -> None:
    """Let MMPretrain's attention layers in ``module`` attend by :func:`attend`.

    Layers with a ``qk_scale`` of their own stay as they are.
    """
    for layer in module.modules():
        if (
            isinstance(layer, MultiheadAttention)
            and layer.scaled_dot_product_attention is scaled_dot_product_attention
        ):
            layer.scaled_dot_product_attention = attend
