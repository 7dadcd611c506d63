"""Layouts of oneDNN: a matrix is brought into one once, and not at every product with it."""

from __future__ import annotations

from typing import NamedTuple

import torch
from torch import Tensor

# Those that compiled models call.
_OPERATORS = (
    "_reorder_linear_weight",
    "_linear_pointwise",
    "_reorder_convolution_weight",
    "_convolution_pointwise",
)
# The rows of inputs that a linear layer is packed for. A hint, but one row would cost: a product of
# 16 rows with weights that were packed for one takes 1.7 times as long. The other way round it is
# the same.
_ROWS = 16


def can_pack(like: Tensor) -> bool:
    """Whether matrices such as this one can be packed: float32 on CPU, by a torch that can."""
    onednn = torch.backends.mkldnn
    return (
        like.device.type == "cpu"
        and like.dtype == torch.float32
        and not torch.is_autocast_enabled("cpu")
        and onednn.is_available()
        and bool(onednn.enabled)
        and all(hasattr(torch.ops.mkldnn, name) for name in _OPERATORS)
    )


def pack_linear(weight: Tensor) -> Tensor:
    """The weight of a linear layer ``(D, C)`` as ``mkldnn._linear_pointwise`` takes it."""
    packed: Tensor = torch.ops.mkldnn._reorder_linear_weight(weight.detach(), _ROWS)
    return packed


class PackedImages(NamedTuple):
    """Image tokens ``(N, L, C)`` as keys and as values, for :func:`attend_packed`.

    Each is the weight of a 1×1 convolution with a group an image, whose pixels are the queries:
    that is how oneDNN multiplies many matrices in one call.
    """

    keys: Tensor
    values: Tensor


def pack_images(tokens: Tensor, num_queries: int) -> PackedImages:
    """Pack image tokens ``(N, L, C)`` for so many queries of every image."""
    num_images, length, width = tokens.shape
    keys = tokens.reshape(-1, width, 1, 1)
    values = tokens.transpose(1, 2).reshape(-1, length, 1, 1)
    once, none = [1, 1], [0, 0]

    def packed(weight: Tensor) -> Tensor:
        shape = [1, num_images * weight.shape[1], num_queries, 1]
        reordered: Tensor = torch.ops.mkldnn._reorder_convolution_weight(
            weight, none, once, once, num_images, shape
        )
        return reordered

    return PackedImages(packed(keys), packed(values))


def attend_packed(queries: Tensor, images: PackedImages, outside: Tensor | None) -> Tensor:
    """Means of the tokens of every image, weighted by the softmax of their products with queries.

    Args:
        queries: ``(Q, N, C)``, scaled.
        images: Of ``(N, L, C)``.
        outside: Added to the products, ``(N, L)``; None for nothing.

    Returns:
        ``(Q, N, C)``.
    """
    scores = _multiply(queries, images.keys)
    if outside is not None:
        scores = scores + outside
    return _multiply(scores.softmax(dim=-1), images.values)


def _multiply(rows: Tensor, packed: Tensor) -> Tensor:
    """Rows of every image ``(Q, N, C)`` times the image's matrix: ``(Q, N, D)``."""
    num_images = rows.shape[1]
    pixels = rows.flatten(1)[None, :, None].permute(0, 3, 1, 2)  # channels last, in memory as well
    output: Tensor = torch.ops.mkldnn._convolution_pointwise(
        pixels, packed, None, [0, 0], [1, 1], [1, 1], num_images, "none", [], ""
    )
    return output.permute(0, 2, 3, 1).reshape(len(rows), num_images, -1)
