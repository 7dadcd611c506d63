"""The weights of a Transformer decoder as one step of decoding uses them."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any, NamedTuple

import torch
from torch import Tensor, nn
from torch.nn import functional as F

__all__ = ["LayerWeights", "Projection", "StepWeights", "layer_weights", "pack"]


class Projection(NamedTuple):
    """A linear layer; ``packed`` is its weight in the layout of oneDNN, where it is packed."""

    weight: Tensor
    bias: Tensor | None = None
    packed: Tensor | None = None

    def __call__(self, inputs: Tensor) -> Tensor:
        """The layer's output ``(N, D)`` for inputs ``(N, C)``."""
        if self.packed is None:
            return F.linear(inputs, self.weight, self.bias)
        output: Tensor = torch.ops.mkldnn._linear_pointwise(
            inputs, self.packed, self.bias, "none", [], ""
        )
        return output


class LayerWeights(NamedTuple):
    """One layer: attention to the word, to the image, and the feed-forward part, with their norms.

    Attributes:
        heads: Of attention to the word; attention to the image has as many.
        key_width: Channels of the keys and values of a head.
        to_keys: Of every head, from queries ``(heads, N, d)`` to ``(heads, N, C)``.
        to_values: Of every head, from means ``(heads, N, C)`` to ``(heads, N, d)``.
    """

    heads: int
    key_width: int
    word_norm: nn.Module
    word_qkv: Projection
    word_out: Projection
    image_norm: nn.Module
    image_query: Projection
    to_keys: Tensor
    to_values: Tensor
    image_out: Projection
    ffn_norm: nn.Module
    ffn_in: Projection
    activation: nn.Module
    ffn_out: Projection


class StepWeights(NamedTuple):
    """What a step needs of a decoder; see NRTRDecoder for what each is."""

    embedding: nn.Embedding
    positions: Tensor
    layers: Sequence[LayerWeights]
    norm: nn.Module
    classifier: nn.Module


def layer_weights(layer: Any) -> LayerWeights:
    """The weights of one of MMOCR's ``TFDecoderLayer``, with one projection of the word for all."""
    word, image, mlp = layer.self_attn, layer.enc_attn, layer.mlp
    parts = (word.linear_q, word.linear_k, word.linear_v)
    bias = None if word.fc.bias is None else torch.cat([part.bias for part in parts])
    return LayerWeights(
        heads=word.n_head,
        key_width=word.d_k,
        word_norm=layer.norm1,
        word_qkv=Projection(torch.cat([part.weight for part in parts]), bias),
        word_out=_projection(word.fc),
        image_norm=layer.norm2,
        image_query=_projection(image.linear_q),
        to_keys=image.linear_k.weight.unflatten(0, (image.n_head, -1)),
        to_values=image.linear_v.weight.unflatten(0, (image.n_head, -1)).transpose(1, 2),
        image_out=_projection(image.fc),
        ffn_norm=layer.norm3,
        ffn_in=_projection(mlp.w_1),
        activation=mlp.act,
        ffn_out=_projection(mlp.w_2),
    )


def _projection(linear: nn.Linear) -> Projection:
    return Projection(linear.weight, linear.bias)


def pack(weights: StepWeights, num_words: int) -> StepWeights:
    """The same weights in the layout that oneDNN multiplies fastest by a few rows.

    A matrix product brings its weights into such a layout on every call, which for a row a word is
    about half of its time; packing costs as much as a handful of steps save. Only float32 on CPU is
    packed, and only with a torch that has the operators (those which compiled models call).

    Args:
        weights: Given back as they are where they cannot be packed.
        num_words: Rows that they will be multiplied with, about.
    """
    if not _can_pack(weights):
        return weights

    def packed(value: Any) -> Any:
        if not isinstance(value, Projection):
            return value
        reordered = torch.ops.mkldnn._reorder_linear_weight(value.weight.detach(), num_words)
        return value._replace(packed=reordered)

    layers = [LayerWeights(*map(packed, layer)) for layer in weights.layers]
    return weights._replace(layers=layers)


def _can_pack(weights: StepWeights) -> bool:
    positions, onednn = weights.positions, torch.backends.mkldnn
    operators = ("_reorder_linear_weight", "_linear_pointwise")
    return (
        positions.device.type == "cpu"
        and positions.dtype == torch.float32
        and not torch.is_autocast_enabled("cpu")
        and onednn.is_available()
        and bool(onednn.enabled)
        and all(hasattr(torch.ops.mkldnn, name) for name in operators)
    )
