"""Blockwise masking: rectangles of patches, up to the size of characters."""

from __future__ import annotations

import math

import torch
from torch import Tensor

from mms_ocr.masking.base import MaskGenerator, uniform
from mms_ocr.masking.coverage import (
    first_cover,
    num_rectangles,
    place,
    removal_order,
    sweep_orders,
)
from mms_ocr.registry import TASK_UTILS


def block_sizes(
    noise: Tensor,
    grid: tuple[int, int],
    min_patches: int,
    max_patches: int,
    aspect: tuple[float, float],
) -> tuple[Tensor, Tensor]:
    """Draw heights and widths of random blocks.

    The area is uniform between its bounds, and the logarithm of height / width between those of
    ``aspect``, as in BEiT (arXiv 2106.08254). A side longer than the grid is cut, and the other one
    extended to keep the area. Sides are rounded.

    Args:
        noise: Uniform in [0, 1), ``(2, …)``.
        grid: Rows and columns of the patch grid.
        min_patches: Smallest area in patches.
        max_patches: Largest area.
        aspect: Bounds of height / width.

    Returns:
        Heights and widths, integers of shape ``(…)``, inside the grid.
    """
    rows, columns = grid
    area = min_patches + noise[0] * (max_patches - min_patches)
    low, high = math.log(aspect[0]), math.log(aspect[1])
    ratio = (low + noise[1] * (high - low)).exp()
    height = (area * ratio).sqrt().round().clamp(1, rows)
    full_width = (area / height).round()
    width = full_width.clamp(1, columns)
    height = torch.where(full_width > columns, (area / width).round().clamp(1, rows), height)
    return height.long(), width.long()


@TASK_UTILS.register_module()
class BlockwiseMask(MaskGenerator):
    """Removes random rectangles until the ratio is reached exactly.

    Args:
        ratio: Share of patches to remove, in (0, 1).
        grid: Rows and columns of the patch grid, ``(H, W)``.
        min_patches: Smallest block, in patches; see :func:`block_sizes` for the rounding.
        max_patches: Largest block; None for a quarter of the grid.
        aspect: Bounds of a block's height / width.

    Raises:
        ValueError: The bounds are not positive or not in order, or the smallest block is larger
            than the grid.
    """

    name = "blockwise"

    def __init__(
        self,
        ratio: float,
        grid: tuple[int, int],
        min_patches: int = 16,
        max_patches: int | None = None,
        aspect: tuple[float, float] = (0.3, 1 / 0.3),
    ) -> None:
        super().__init__(ratio, grid)
        # On a small grid a quarter may be less than min_patches.
        largest = max(min_patches, self.num_patches // 4) if max_patches is None else max_patches
        if not 1 <= min_patches <= largest:
            raise ValueError(
                f"block sizes must satisfy 1 <= min_patches <= max_patches, got {min_patches} and "
                f"{largest}"
            )
        if min_patches > self.num_patches:
            raise ValueError(
                f"min_patches={min_patches} is more than the {self.num_patches} patches of the "
                f"grid {self.grid}"
            )
        if not 0 < aspect[0] <= aspect[1]:
            raise ValueError(f"aspect must be two positive numbers in order, got {aspect}")
        self.min_patches = min_patches
        self.max_patches = min(largest, self.num_patches)
        self.aspect = (float(aspect[0]), float(aspect[1]))
        mean_area = (self.min_patches + self.max_patches) / 2
        self.num_blocks = num_rectangles(ratio, mean_area / self.num_patches)

    def priority(
        self, batch_size: int, device: torch.device | str, rng: torch.Generator | None
    ) -> Tensor:
        """Order patches by the first block that covers them, then by a sweep, ``(B, L)``."""
        rows, columns = self.grid
        noise = uniform((4 * self.num_blocks + 1, batch_size), device, rng)
        per_block = noise[:-1].view(4, self.num_blocks, batch_size).transpose(1, 2)
        height, width = block_sizes(
            per_block[:2], self.grid, self.min_patches, self.max_patches, self.aspect
        )
        top = place(per_block[2], height, rows)
        left = place(per_block[3], width, columns)
        first = first_cover(top, height, left, width, self.grid)
        return removal_order(first, sweep_orders(noise[-1], self.grid))
