"""Order of removal by sampled rectangles, for blockwise and span masks.

Rectangles are sampled, and patches removed in the order in which the rectangles cover them.
"""

from __future__ import annotations

import math
from functools import lru_cache

import torch
from torch import Tensor

# Rectangles in an int64, a bit each; sums of bits must not reach the sign bit.
BITS_PER_WORD = 62


def first_cover(
    top: Tensor, height: Tensor, left: Tensor, width: Tensor, grid: tuple[int, int]
) -> Tensor:
    """Find the first rectangle that covers each patch.

    Rectangle k covers a patch if it covers its row and its column. Bit k of an integer per row and
    per column stores this, so that one AND tests all rectangles.

    Args:
        top: First row of every rectangle, integers ``(B, K)``, like the next three.
        height: Rows, at least 1.
        left: First column.
        width: Columns, at least 1.
        grid: Rows and columns of the patch grid, ``(H, W)``.

    Returns:
        Integers ``(B, H, W)`` in ``[0, K]``; K if no rectangle covers the patch.
    """
    count = top.shape[1]
    first = torch.full((len(top), *grid), count, dtype=torch.int64, device=top.device)
    # From the last integer to the first, so that earlier rectangles win.
    for start in reversed(range(0, count, BITS_PER_WORD)):
        part = slice(start, start + BITS_PER_WORD)
        rows = _covering_bits(top[:, part], height[:, part], grid[0])
        columns = _covering_bits(left[:, part], width[:, part], grid[1])
        covering = rows[:, :, None] & columns[:, None, :]
        lowest_bit = covering & -covering
        index = lowest_bit.clamp(min=1).float().log2().round().long() + start
        first = torch.where(covering != 0, index, first)
    return first


def _covering_bits(start: Tensor, length: Tensor, size: int) -> Tensor:
    """Set bit k of the result ``(B, size)`` where run k covers the position.

    Bit k is added at the start of run k and subtracted after its end, before a cumulative sum.
    """
    bits = (2 ** torch.arange(start.shape[1], device=start.device)).expand_as(start)
    changes = torch.zeros(len(start), size + 1, dtype=torch.int64, device=start.device)
    changes.scatter_add_(1, start, bits).scatter_add_(1, start + length, -bits)
    return changes.cumsum(dim=1)[:, :size]


def place(noise: Tensor, length: Tensor, size: int) -> Tensor:
    """Draw starts of runs of ``length`` on an axis of ``size``, from uniform ``noise`` in [0, 1).

    Runs may start up to half their length outside, and are then moved inside; otherwise positions
    at the ends would rarely be covered. Returns integers in ``[0, size - length]``.
    """
    overhang = length // 2
    free = size - length
    start = (noise * (free + 1 + 2 * overhang)).floor().long() - overhang
    return start.clamp(min=0).minimum(free)


def num_rectangles(ratio: float, mean_share: float) -> int:
    """Count the rectangles that nearly always cover ``ratio`` of the grid.

    One rectangle covers ``mean_share`` of it on average, in (0, 1].
    """
    expected = math.log(1 - ratio) / math.log(1 - min(mean_share, 0.5))
    words = math.ceil((2.5 * expected + 8) / BITS_PER_WORD)
    return BITS_PER_WORD * words


@lru_cache(maxsize=64)
def _sweep_table(grid: tuple[int, int], by_columns_only: bool) -> Tensor:
    rows, columns = grid
    index = torch.arange(rows * columns)
    row_major = index.view(rows, columns)
    column_major = index.view(columns, rows).t()
    orders = [column_major] if by_columns_only else [column_major, row_major]
    flips: list[list[int]] = [[], [0], [1], [0, 1]]
    return torch.stack([order.flip(axes).flatten() for order in orders for axes in flips])


def sweep_orders(noise: Tensor, grid: tuple[int, int], *, by_columns_only: bool = False) -> Tensor:
    """Choose a sweep over the grid for every image: from a corner, by columns or by rows.

    Returns the position of every patch on its image's sweep, ``(B, H * W)``, by uniform ``noise``
    ``(B,)`` in [0, 1).
    """
    table = _sweep_table((grid[0], grid[1]), by_columns_only).to(noise.device)
    return table[(noise * len(table)).long()]


def removal_order(first: Tensor, sweep: Tensor) -> Tensor:
    """Order patches by rectangle, and along the sweep within a rectangle.

    The part that is removed of the last rectangle is then connected. Patches that no rectangle
    covers come last.

    Args:
        first: Index of the first covering rectangle, ``(B, H, W)``.
        sweep: Position of every patch on its image's sweep, ``(B, H * W)``.

    Returns:
        Integers ``(B, H * W)``, different within every row; the smallest are removed first.
    """
    return first.flatten(1) * sweep.shape[1] + sweep
