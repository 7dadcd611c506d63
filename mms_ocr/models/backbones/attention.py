"""Attention for training in bf16 on CPU, where torch's is slow."""

from __future__ import annotations

from typing import Any

import torch
import torch.nn.functional as F
from mmpretrain.models.utils.attention import MultiheadAttention, scaled_dot_product_attention
from torch import Tensor, nn

# Most probabilities of a layer that are kept for the backward pass: 64 MiB in bf16.
MAX_PROBABILITIES = 2**25


def attend(
    query: Tensor,
    key: Tensor,
    value: Tensor,
    attn_mask: Tensor | None = None,
    dropout_p: float = 0.0,
    **kwargs: Any,
) -> Tensor:
    """Compute scaled dot-product attention ``(B, H, M, D)``, faster in bf16 on CPU.

    For gradients in bf16 on CPU, without mask and dropout, plain products are faster, if the
    probabilities take at most 64 MiB a layer; else this calls torch's
    ``scaled_dot_product_attention``. ``tools/benchmarks/bench_attention.py`` compares both.
    """
    if attn_mask is not None or dropout_p or kwargs or not _plain_is_faster(query, key, value):
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
        and query.shape[:-1].numel() * key.shape[-2] <= MAX_PROBABILITIES
    )


def use_attend(module: nn.Module) -> None:
    """Use :func:`attend` in MMPretrain's attention layers, but for those with a ``qk_scale``."""
    for layer in module.modules():
        if (
            isinstance(layer, MultiheadAttention)
            and layer.scaled_dot_product_attention is scaled_dot_product_attention
        ):
            layer.scaled_dot_product_attention = attend
