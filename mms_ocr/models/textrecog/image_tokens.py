"""Maps of images as tokens for a decoder."""

from __future__ import annotations

import math
from collections.abc import Sequence

import torch
from torch import Tensor


def flatten_map(feature_map: Tensor) -> Tensor:
    """Tokens ``(N, H * W, C)`` of a map ``(N, C, H, W)``, row by row."""
    return feature_map.flatten(2).transpose(1, 2)


def valid_tokens(
    valid_ratios: Sequence[float], grid: tuple[int, int], device: torch.device
) -> Tensor:
    """Which tokens show the image, and not the padding to its right.

    Args:
        valid_ratios: Share of the width that the image fills, for each.
        grid: Rows and columns of the tokens; one row for a sequence.
        device: Where the result is wanted.

    Returns:
        Bool ``(N, H * W)``, row by row.
    """
    height, width = grid
    # As many columns as NRTRDecoder leaves, which rounds up.
    columns = torch.tensor([min(width, math.ceil(width * ratio)) for ratio in valid_ratios])
    row = torch.arange(width) < columns[:, None]
    return row.repeat(1, height).to(device)
