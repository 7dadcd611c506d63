"""Base class of the mask generators: patches are removed in order of a priority."""

from __future__ import annotations

import zlib
from abc import ABC, abstractmethod
from dataclasses import dataclass

import torch
from torch import Tensor


def count_removed(ratio: float, num_patches: int) -> int:
    """Count the patches that a mask ratio removes: ``round(ratio * num_patches)``.

    Raises:
        ValueError: The ratio is outside (0, 1), or removes no patch or all.
    """
    if not 0 < ratio < 1:
        raise ValueError(f"mask ratio must lie between 0 and 1, got {ratio}")
    removed = round(ratio * num_patches)
    if not 0 < removed < num_patches:
        what = "removes no patch" if removed == 0 else "leaves no visible patch"
        raise ValueError(f"mask ratio {ratio} {what} of {num_patches}; choose another ratio")
    return removed


def remove_first(priority: Tensor, count: int) -> Tensor:
    """Make a mask that removes the ``count`` patches of smallest priority in every row.

    Takes priorities ``(B, L)`` of any ordered type; returns bool ``(B, L)``, True = removed.
    """
    removed = priority.topk(count, dim=1, largest=False, sorted=False).indices
    return torch.zeros_like(priority, dtype=torch.bool).scatter_(1, removed, True)


def uniform(
    shape: tuple[int, ...], device: torch.device | str, rng: torch.Generator | None
) -> Tensor:
    """Draw uniform noise in [0, 1) on the device of ``rng``, and move it to ``device``."""
    source = device if rng is None else rng.device
    return torch.rand(shape, device=source, generator=rng).to(device)


def host_uniform(count: int, rng: torch.Generator | None) -> Tensor:
    """Draw uniform noise in [0, 1) on the CPU, ``(count,)``, without waiting for the device.

    The noise follows from the state of a generator of another device, which does not advance.
    """
    if rng is not None and rng.device.type != "cpu":
        state = rng.get_state().numpy().tobytes()
        rng = torch.Generator().manual_seed(zlib.crc32(state))
    return torch.rand(count, generator=rng)


@dataclass(frozen=True)
class MaskViews:
    """Masks of a batch: one or several views, and the strategy of each image.

    Attributes:
        masks: Per view, bool ``(B, L)``, True = removed, the same number in every row.
        strategies: Per view, the strategy of every image as an index into ``names``, ``(B,)``.
        names: Names of the strategies.
        weights: Share of every view in the loss; they sum to 1.
        num_removed: Per view, patches removed in every row.
        guaranteed: Names of the strategies that are in every batch of this size.
        images: Per view, the indices of its images in the batch, each image in one view; None if
            every view has all images.
    """

    masks: tuple[Tensor, ...]
    strategies: tuple[Tensor, ...]
    names: tuple[str, ...]
    weights: tuple[float, ...]
    num_removed: tuple[int, ...]
    guaranteed: tuple[str, ...]
    images: tuple[Tensor, ...] | None = None

    def select(self, view: int, batch: Tensor) -> Tensor:
        """Select the rows of ``batch`` of a view."""
        return batch if self.images is None else batch[self.images[view]]


class MaskGenerator(ABC):
    """Draws the masks of a batch over a grid of patches.

    Args:
        ratio: Share of patches to remove, in (0, 1).
        grid: Rows and columns of the patch grid, ``(H, W)``.

    Raises:
        ValueError: The ratio or the grid cannot be used.
    """

    name: str

    def __init__(self, ratio: float, grid: tuple[int, int]) -> None:
        if len(grid) != 2 or min(grid) < 1:
            raise ValueError(f"grid must be two positive numbers (rows, columns), got {grid}")
        self.ratio = ratio
        self.grid = (int(grid[0]), int(grid[1]))
        self.num_patches = self.grid[0] * self.grid[1]
        self.num_removed = count_removed(ratio, self.num_patches)

    @abstractmethod
    def priority(
        self, batch_size: int, device: torch.device | str, rng: torch.Generator | None
    ) -> Tensor:
        """Draw the order of removal, ``(B, L)``: the smallest come first."""

    def __call__(
        self,
        batch_size: int,
        device: torch.device | str = "cpu",
        rng: torch.Generator | None = None,
    ) -> Tensor:
        """Draw masks, bool ``(B, L)``, True = removed, ``num_removed`` in every row.

        The same state of ``rng`` gives the same masks; None takes the device's default generator.
        """
        return remove_first(self.priority(batch_size, device, rng), self.num_removed)

    def views(
        self,
        batch_size: int,
        device: torch.device | str = "cpu",
        rng: torch.Generator | None = None,
    ) -> MaskViews:
        """Draw the masks of a batch with their metadata; here, one view."""
        return MaskViews(
            masks=(self(batch_size, device, rng),),
            strategies=(torch.zeros(batch_size, dtype=torch.long, device=device),),
            names=(self.name,),
            weights=(1.0,),
            num_removed=(self.num_removed,),
            guaranteed=(self.name,),
        )

    def each_strategy(self) -> tuple[MaskGenerator, ...]:
        """Return the generators of the single strategies."""
        return (self,)

    def __repr__(self) -> str:
        return f"{type(self).__name__}(ratio={self.ratio}, grid={self.grid})"
