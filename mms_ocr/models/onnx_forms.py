"""Layers in the forms that ONNX Runtime runs fastest on a CPU; the results are the same.

Two things make them fast: no tensor is transposed or split between products of matrices, and what
can be a product with a constant matrix is one, since those are also what int8 quantization covers.
"""

from __future__ import annotations

from typing import Any

import torch
from mmpretrain.models.utils.attention import MultiheadAttention
from torch import Tensor, nn
from torch.nn import functional as F

from mms_ocr.models.backbones.conv_stem import ConvStem

#: ONNX operator set of the forms, the first one with attention as an operator.
OPSET = 23


def use_onnx_forms(model: nn.Module) -> None:
    """Replace layers of a model that is to be exported, in place; it cannot be trained after that.

    Other modules make their form by a method ``onnx_form``. The model has to be in evaluation mode.
    """
    for name, layer in model.named_children():
        form: Any = getattr(layer, "onnx_form", None)
        if isinstance(layer, MultiheadAttention) and _is_plain(layer):
            setattr(model, name, AttentionForm(layer))
        elif isinstance(layer, ConvStem):
            setattr(model, name, StemForm(layer))
        elif form is not None:
            setattr(model, name, form())
        else:
            use_onnx_forms(layer)


def _is_plain(layer: MultiheadAttention) -> bool:
    return not layer.v_shortcut and not hasattr(layer.scaled_dot_product_attention, "keywords")


def linear(weight: Tensor, bias: Tensor | None = None) -> nn.Linear:
    """Make a linear layer of given weights ``(outputs, inputs)`` and bias ``(outputs,)``."""
    layer = nn.Linear(weight.shape[1], weight.shape[0], bias=bias is not None, device="meta")
    layer.weight = nn.Parameter(weight.detach().clone())
    if bias is not None:
        layer.bias = nn.Parameter(bias.detach().clone())
    return layer


class AttentionForm(nn.Module):
    """MMPretrain's self-attention, with a product each for queries, keys and values."""

    def __init__(self, layer: MultiheadAttention) -> None:
        super().__init__()
        weights = layer.qkv.weight.chunk(3)
        biases = (None,) * 3 if layer.qkv.bias is None else layer.qkv.bias.chunk(3)
        self.query, self.key, self.value = map(linear, weights, biases)
        self.num_heads = layer.num_heads
        self.proj = nn.Sequential(layer.proj, layer.gamma1)

    def forward(self, tokens: Tensor) -> Tensor:
        """Attend from each of the tokens ``(B, L, C)`` to all of them."""
        attended = torch.onnx.ops.attention(
            self.query(tokens),
            self.key(tokens),
            self.value(tokens),
            q_num_heads=self.num_heads,
            kv_num_heads=self.num_heads,
        )[0]
        out: Tensor = self.proj(attended)
        return out


class StemForm(nn.Module):
    """Convolutional stem that transposes once, before the last layer, which is a product."""

    def __init__(self, stem: ConvStem) -> None:
        super().__init__()
        self.convs = stem.convs
        self.projection = linear(stem.projection.weight.flatten(1), stem.projection.bias)

    def forward(self, images: Tensor) -> tuple[Tensor, tuple[int, int]]:
        """Embed images as :class:`ConvStem`."""
        cells = self.convs(images)
        return self.projection(cells.flatten(2).transpose(1, 2)), (cells.shape[2], cells.shape[3])


class ThreeTaps(nn.Module):
    """Convolution over three columns, padded with zeros, as one product ``(N, W, C)``.

    Args:
        weight: ``(outputs, inputs, 3)``, the last axis over the columns.
        bias: ``(outputs,)``.
    """

    def __init__(self, weight: Tensor, bias: Tensor) -> None:
        super().__init__()
        self.product = linear(weight.permute(2, 0, 1).flatten(0, 1))
        self.bias = nn.Parameter(bias.detach().clone())

    def forward(self, columns: Tensor) -> Tensor:
        """Compute ``(N, W, outputs)``: what a column gets from its left, itself and its right."""
        left, middle, right = self.product(columns).chunk(3, dim=-1)
        return (
            F.pad(left, (0, 0, 1, 0))[:, :-1]
            + middle
            + F.pad(right, (0, 0, 0, 1))[:, 1:]
            + self.bias
        )


class ColumnConvForm(nn.Module):
    """:class:`~mms_ocr.models.textrecog.ctc_decoder.ColumnConv` with products for convolutions."""

    def __init__(self, columns: Any) -> None:
        super().__init__()
        self.norm1, self.norm2 = columns.norm1, columns.norm2
        self.skip, self.out = columns.skip, columns.out
        self.row_score = linear(columns.row_score.weight.flatten(1))
        # (outputs, channels, rows, 3) to rows of cells, as the map is in memory
        merge = columns.merge.weight.transpose(1, 2).flatten(1, 2)
        self.merge = ThreeTaps(merge, columns.merge.bias)
        self.along = ThreeTaps(columns.along.weight, columns.along.bias)

    def forward(self, feature_map: Tensor) -> Tensor:
        """Compute columns ``(N, W, channels)`` of a map ``(N, C, H, W)``."""
        cells = feature_map.permute(0, 3, 2, 1)  # (N, W, H, C)
        means = (cells * self.row_score(cells).softmax(dim=2)).sum(dim=2)
        columns = F.gelu(self.norm1(self.merge(cells.flatten(2))))
        columns = F.gelu(self.norm2(self.along(columns)))
        out: Tensor = self.skip(means) + self.out(columns)
        return out
