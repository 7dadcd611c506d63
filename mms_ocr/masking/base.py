"""What all mask generators share: a priority for every patch, of which the first are removed."""

from __future__ import annotations

import zlib
from abc import ABC, abstractmethod
from dataclasses import dataclass

import torch
from torch import Tensor


def count_removed(ratio: float, num_patches: int) -> int:
    """Patches that a mask ratio removes: ``round(ratio * num_patches)``.

    Raises:
        ValueError: The ratio is outside (0, 1), or no patch would be removed, or none left.
    """
    if not 0 < ratio < 1:
        raise ValueError(f"mask ratio must lie between 0 and 1, got {ratio}")
    removed = round(ratio * num_patches)
    if not 0 < removed < num_patches:
        what = "removes no patch" if removed == 0 else "leaves no visible patch"
        raise ValueError(f"mask ratio {ratio} {what} of {num_patches}; choose another ratio")
    return removed


def remove_first(priority: Tensor, count: int) -> Tensor:
    """Mask that removes the ``count`` patches of smallest priority in every row.

    Args:
        priority: ``(B, L)``, any ordered type.
        count: Patches to remove, in ``[0, L]``.

    Returns:
        Bool ``(B, L)``, True = removed, exactly ``count`` True in every row.
    """
    removed = priority.topk(count, dim=1, largest=False, sorted=False).indices
    return torch.zeros_like(priority, dtype=torch.bool).scatter_(1, removed, True)


def uniform(
    shape: tuple[int, ...], device: torch.device | str, rng: torch.Generator | None
) -> Tensor:
    """Uniform noise in [0, 1) on ``device``, drawn where ``rng`` lives."""
    source = device if rng is None else rng.device
    return torch.rand(shape, device=source, generator=rng).to(device)


def host_uniform(count: int, rng: torch.Generator | None) -> Tensor:
    """Uniform noise in [0, 1) on the CPU, ``(count,)``, without waiting for the device.

    A generator of another device does not advance; the noise follows from its state.
    """
    if rng is not None and rng.device.type != "cpu":
        state = rng.get_state().numpy().tobytes()
        rng = torch.Generator().manual_seed(zlib.crc32(state))
    return torch.rand(count, generator=rng)


@dataclass(frozen=True)
class MaskViews:
    """Masks of a batch: one or several views of images, and the strategy of each.

    Attributes:
        masks: Per view, bool ``(B, L)``, True = removed; a view removes equally many in every row.
        strategies: Per view, the strategy of every image as an index into ``names``, ``(B,)``.
        names: Names of the strategies.
        weights: Share of every view in the loss; they sum to 1.
        num_removed: Per view, patches removed in every row.
        guaranteed: Names of the strategies that every batch of this size holds.
        images: Per view, the places of its images in the batch; views then have a ``B`` of their
            own and together show every image once. None where every view shows all images.
    """

    masks: tuple[Tensor, ...]
    strategies: tuple[Tensor, ...]
    names: tuple[str, ...]
    weights: tuple[float, ...]
    num_removed: tuple[int, ...]
    guaranteed: tuple[str, ...]
    images: tuple[Tensor, ...] | None = None

    def select(self, view: int, batch: Tensor) -> Tensor:
        """Rows of ``batch`` that a view shows."""
        return batch if self.images is None else batch[self.images[view]]


class MaskGenerator(ABC):
    """Draws masks over a grid of patches; one call draws a whole batch.

    Args:
        ratio: Share of patches to remove, in (0, 1).
        grid: Rows and columns of the patch grid, ``(H, W)``; (8, 32) for 32×128 pixels and 4×4
            patches.

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
        """Order of removal, ``(B, L)``: the smallest go first."""

    def __call__(
        self,
        batch_size: int,
        device: torch.device | str = "cpu",
        rng: torch.Generator | None = None,
    ) -> Tensor:
        """Masks of a batch, bool ``(B, L)``, True = removed, ``num_removed`` in every row.

        The same state of ``rng`` gives the same masks. Without it, torch's default generator of the
        device is drawn from.
        """
        return remove_first(self.priority(batch_size, device, rng), self.num_removed)

    def views(
        self,
        batch_size: int,
        device: torch.device | str = "cpu",
        rng: torch.Generator | None = None,
    ) -> MaskViews:
        """Masks of a batch with what training needs to know of them: here, one view."""
        return MaskViews(
            masks=(self(batch_size, device, rng),),
            strategies=(torch.zeros(batch_size, dtype=torch.long, device=device),),
            names=(self.name,),
            weights=(1.0,),
            num_removed=(self.num_removed,),
            guaranteed=(self.name,),
        )

    def each_strategy(self) -> tuple[MaskGenerator, ...]:
        """Generators of the single strategies, for measuring them one by one."""
        return (self,)

    def __repr__(self) -> str:
        return f"{type(self).__name__}(ratio={self.ratio}, grid={self.grid})"
