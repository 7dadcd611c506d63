"""The weights of a Transformer decoder as one step of decoding uses them."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any, NamedTuple

import torch
from torch import Tensor, nn
from torch.nn import functional as F

from mms_ocr.models.textrecog.packing import can_pack, pack_linear


class Projection(NamedTuple):
    """A linear layer.

    Attributes:
        packed: The weight in the layout of oneDNN, where it is packed.
        activation: What oneDNN does to the output: ``'none'``, or ``'gelu'`` in a packed layer.
    """

    weight: Tensor
    bias: Tensor | None = None
    packed: Tensor | None = None
    activation: str = "none"

    def __call__(self, inputs: Tensor) -> Tensor:
        """The layer's output ``(N, D)`` for inputs ``(N, C)``."""
        if self.packed is None:
            return F.linear(inputs, self.weight, self.bias)
        output: Tensor = torch.ops.mkldnn._linear_pointwise(
            inputs, self.packed, self.bias, self.activation, [], "none"
        )
        return output


class LayerWeights(NamedTuple):
    """One layer: attention to the word, to the image, and the feed-forward part, with their norms.

    Attributes:
        heads: Of attention to the word; attention to the image has as many.
        key_width: Channels of the keys and values of a head.
        to_keys: Of every head, from queries ``(heads, N, d)`` to ``(heads, N, C)``, which scales
            them.
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
        to_keys=image.linear_k.weight.unflatten(0, (image.n_head, -1)) * image.d_k**-0.5,
        to_values=image.linear_v.weight.unflatten(0, (image.n_head, -1)).transpose(1, 2),
        image_out=_projection(image.fc),
        ffn_norm=layer.norm3,
        ffn_in=_projection(mlp.w_1),
        activation=mlp.act,
        ffn_out=_projection(mlp.w_2),
    )


def _projection(linear: nn.Linear) -> Projection:
    return Projection(linear.weight, linear.bias)


def pack(layers: Sequence[LayerWeights]) -> list[LayerWeights]:
    """The same layers, with projections as oneDNN multiplies a few rows with them fastest.

    A matrix product brings its weights into such a layout on every call, which for a row a word is
    about half of its time; packing costs as much as a handful of steps save.
    """

    def packed(value: Any) -> Any:
        if isinstance(value, Projection):
            return value._replace(packed=pack_linear(value.weight))
        return value.detach().contiguous() if isinstance(value, Tensor) else value

    made = []
    for layer in layers:
        layer = LayerWeights(*map(packed, layer))
        if isinstance(layer.activation, nn.GELU) and layer.activation.approximate == "none":
            ffn_in = layer.ffn_in._replace(activation="gelu")
            layer = layer._replace(ffn_in=ffn_in, activation=nn.Identity())
        made.append(layer)
    return made


class KeptLayers:
    """The weights of a stack of layers, packed where that is possible and kept until they change.

    A change is seen by where the parameters lie, by torch's count of what was written to each, and
    by their sums, since writing to ``parameter.data`` (as averaging hooks do) is not counted.
    Copies and pickles start with nothing kept.
    """

    def __init__(self) -> None:
        self.clear()

    def __reduce__(self) -> tuple[type[KeptLayers], tuple[()]]:
        return KeptLayers, ()

    def clear(self) -> None:
        """Keep nothing."""
        self._state: list[Any] | None = None
        self._layers: list[LayerWeights] = []

    @torch.no_grad()
    def of(self, stack: nn.ModuleList) -> list[LayerWeights]:
        """The weights of a stack of MMOCR's ``TFDecoderLayer``."""
        parameters = list(stack.parameters())
        if not parameters or not can_pack(parameters[0]):
            self.clear()
            return [layer_weights(layer) for layer in stack]
        state: list[Any] = [id(module) for module in stack.modules()]
        for parameter in parameters:
            counted = 0 if parameter.is_inference() else parameter._version
            state += [parameter.data_ptr(), counted]
        state += torch.stack([parameter.sum() for parameter in parameters]).tolist()
        if state != self._state:
            self._layers = pack([layer_weights(layer) for layer in stack])
            self._state = state
        return self._layers
