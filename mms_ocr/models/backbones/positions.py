"""Sine-cosine positions on a rectangular grid, and resizing of positions."""

from __future__ import annotations

import torch
import torch.nn.functional as F
from torch import Tensor


def sincos_positions(grid: tuple[int, int], dim: int) -> Tensor:
    """Compute the sine-cosine positions of a grid ``(H, W)``: ``(H * W, dim)`` in [-1, 1].

    Rows come one after the other. The first half of the channels is the row, the second half the
    column. On a square grid the values are those of MMPretrain's
    ``build_2d_sincos_position_embedding``, whose order on other grids is wrong (column by column).

    Raises:
        ValueError: ``dim`` is not a multiple of 4.
    """
    if dim % 4:
        raise ValueError(f"positions need a multiple of 4 channels, got {dim}")
    frequency = 10000.0 ** -(torch.arange(dim // 4) / (dim // 4))
    row = torch.arange(grid[0]).repeat_interleave(grid[1])
    column = torch.arange(grid[1]).repeat(grid[0])
    row_angle, column_angle = row[:, None] * frequency, column[:, None] * frequency
    return torch.cat(
        [row_angle.sin(), row_angle.cos(), column_angle.sin(), column_angle.cos()], dim=1
    )


def resize_positions(
    positions: Tensor,
    source: tuple[int, int],
    target: tuple[int, int],
    num_extra_tokens: int = 1,
    mode: str = "bicubic",
) -> Tensor:
    """Interpolate positions from their grid to another one: ``(1, E + H * W, C)``.

    Args:
        positions: ``(1, E + h * w, C)``, E extra tokens first, which are not changed.
        source: Grid of ``positions``, ``(h, w)``; ValueError if it is not.
        target: Grid of the result, ``(H, W)``.
        num_extra_tokens: E.
        mode: Interpolation of :func:`torch.nn.functional.interpolate`.
    """
    if positions.shape[1] != num_extra_tokens + source[0] * source[1]:
        raise ValueError(
            f"positions of length {positions.shape[1]} do not belong to a grid of {source[0]}×"
            f"{source[1]} and {num_extra_tokens} extra token(s)"
        )
    if source == target:
        return positions
    extra, patches = positions[:, :num_extra_tokens], positions[:, num_extra_tokens:]
    image = patches.reshape(1, *source, -1).permute(0, 3, 1, 2)
    # Bicubic interpolation is not implemented for half precision everywhere.
    resized = F.interpolate(image.float(), size=target, mode=mode, align_corners=False)
    return torch.cat([extra, resized.flatten(2).transpose(1, 2).to(patches.dtype)], dim=1)


def find_sincos_grid(patches: Tensor) -> tuple[int, int] | None:
    """Find the grid of fixed sine-cosine positions ``(L, C)``; None if they are others.

    The halves of the channels may be row first (here, MMPretrain) or column first (official MAE).
    """
    length, dim = patches.shape
    if dim % 4:
        return None
    patches = patches.float().cpu()
    grids = [(rows, length // rows) for rows in range(1, length + 1) if length % rows == 0]
    for grid in grids:
        expected = sincos_positions(grid, dim)
        column_first = expected.roll(dim // 2, dims=1)
        if any(torch.allclose(patches, order, atol=1e-3) for order in (expected, column_first)):
            return grid
    return None
