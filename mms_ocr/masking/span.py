"""Span masking: runs of whole columns."""

from __future__ import annotations

import math
from collections.abc import Sequence

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

# Span lengths and their probabilities in the code of PIXEL (arXiv 2207.06991).
PIXEL_LENGTHS = (1, 2, 3, 4, 5, 6)
PIXEL_PROBABILITIES = (0.2, 0.2, 0.2, 0.2, 0.1, 0.1)


def span_lengths(noise: Tensor, lengths: Sequence[int], probabilities: Sequence[float]) -> Tensor:
    """Draw integer lengths by their probabilities, from uniform ``noise`` in [0, 1)."""
    bounds = torch.tensor(probabilities, dtype=torch.float64).cumsum(0)[:-1].to(noise)
    return torch.tensor(lengths, device=noise.device)[torch.bucketize(noise, bounds, right=True)]


@TASK_UTILS.register_module()
class SpanMask(MaskGenerator):
    """Removes runs of full-height columns until the ratio is reached exactly.

    Args:
        ratio: Share of patches to remove, in (0, 1).
        grid: Rows and columns of the patch grid, ``(H, W)``.
        lengths: Lengths of a span in columns, at most the grid's.
        probabilities: Probability of each length; they sum to 1.

    Raises:
        ValueError: Lengths or probabilities cannot be used.
    """

    name = "span"

    def __init__(
        self,
        ratio: float,
        grid: tuple[int, int],
        lengths: Sequence[int] = PIXEL_LENGTHS,
        probabilities: Sequence[float] = PIXEL_PROBABILITIES,
    ) -> None:
        super().__init__(ratio, grid)
        if len(lengths) != len(probabilities) or not lengths:
            raise ValueError(
                f"as many lengths as probabilities are needed, got {len(lengths)} and "
                f"{len(probabilities)}"
            )
        if min(lengths) < 1:
            raise ValueError(f"span lengths must be at least 1 column, got {tuple(lengths)}")
        if min(probabilities) < 0 or not math.isclose(sum(probabilities), 1, abs_tol=1e-6):
            raise ValueError(f"span probabilities must sum to 1, got {tuple(probabilities)}")
        columns = self.grid[1]
        self.lengths = tuple(min(int(length), columns) for length in lengths)
        self.probabilities = tuple(float(p) for p in probabilities)
        mean_length = sum(n * p for n, p in zip(self.lengths, self.probabilities))
        self.num_spans = num_rectangles(ratio, mean_length / columns)

    def priority(
        self, batch_size: int, device: torch.device | str, rng: torch.Generator | None
    ) -> Tensor:
        """Order patches by the first span that covers them, then by a sweep, ``(B, L)``."""
        rows, columns = self.grid
        noise = uniform((2 * self.num_spans + 1, batch_size), device, rng)
        per_span = noise[:-1].view(2, self.num_spans, batch_size).transpose(1, 2)
        width = span_lengths(per_span[0].contiguous(), self.lengths, self.probabilities)
        left = place(per_span[1], width, columns)
        top = torch.zeros_like(left)
        first = first_cover(top, torch.full_like(left, rows), left, width, self.grid)
        return removal_order(first, sweep_orders(noise[-1], self.grid, by_columns_only=True))
