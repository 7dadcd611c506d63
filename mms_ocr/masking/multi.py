"""Several masking strategies together, after MMS (arXiv 2505.06855)."""

from __future__ import annotations

import math
from collections.abc import Sequence
from typing import Any

import torch
from torch import Tensor

from mms_ocr.masking.base import (
    MaskGenerator,
    MaskViews,
    host_uniform,
    remove_first,
    uniform,
)
from mms_ocr.registry import TASK_UTILS

MODES = ("mixed", "joint")


def assign_strategies(noise: Tensor, weights: Sequence[float]) -> Tensor:
    """Assign a strategy ``(B,)`` to every image of a batch by systematic sampling.

    Every image gets strategy s with probability ``weights[s]``, and every batch has ``floor`` or
    ``ceil`` of ``weights[s] * B`` images of it. ``noise`` is uniform in [0, 1), ``(B + 1,)``: the
    order of the images, and an offset.
    """
    batch_size = len(noise) - 1
    bounds = torch.tensor(weights, dtype=torch.float64).cumsum(0)[:-1].to(noise)
    # Rounding an offset near 1 up to 1 would exceed the last strategy.
    offset = noise[-1].clamp(max=1 - 2**-10)
    steps = (torch.arange(batch_size, device=noise.device) + offset) / batch_size
    return torch.bucketize(steps, bounds, right=True)[noise[:-1].argsort()]


@TASK_UTILS.register_module()
class MultiMask(MaskGenerator):
    """Random patch, blockwise and span masks together.

    The published abstract does not say how the three are combined. ``mixed`` gives every image one
    strategy, sampled by weight; ``joint`` gives every image all of them, one view each, and
    averages their losses by weight. Strategies may have different ratios; in mixed mode, images
    are then grouped by the number of removed patches, and each group is a view.

    Args:
        strategies: Mask generators or their configs.
        weights: Weight of each strategy, not negative; scaled to sum to 1. None for equal weights.
        mode: ``'mixed'`` or ``'joint'``.
        ratio: Mask ratio of configs without one; a list has one for each strategy.
        grid: Grid of configs without one.

    Raises:
        ValueError: A strategy or the mode is unknown, a strategy is a MultiMask itself, weights or
            ratios do not fit, or grids differ.
    """

    name = "multi"

    def __init__(
        self,
        strategies: Sequence[MaskGenerator | dict[str, Any]],
        weights: Sequence[float] | None = None,
        mode: str = "mixed",
        ratio: float | Sequence[float] | None = None,
        grid: tuple[int, int] | None = None,
    ) -> None:
        if mode not in MODES:
            raise ValueError(f"mode must be 'mixed' or 'joint', got {mode!r}")
        if not strategies:
            raise ValueError("MultiMask needs at least one strategy, got none")
        ratios = _spread(ratio, len(strategies))
        self.strategies = tuple(_build(each, own, grid) for each, own in zip(strategies, ratios))
        self.weights = _normalize(weights, len(self.strategies))
        self.mode = mode
        if any(isinstance(strategy, MultiMask) for strategy in self.strategies):
            raise ValueError("MultiMask holds single strategies, and not another MultiMask")
        first = self.strategies[0]
        super().__init__(first.ratio, first.grid)
        if any(strategy.grid != first.grid for strategy in self.strategies):
            raise ValueError(f"all strategies need the same grid, got {self.strategies}")
        self.names = _unique_names(self.strategies)

    def priority(
        self, batch_size: int, device: torch.device | str, rng: torch.Generator | None
    ) -> Tensor:
        """Draw the order of removal under the strategy of each image, ``(B, L)``."""
        return self._mixed_priority(batch_size, device, rng)[0]

    def _mixed_priority(
        self, batch_size: int, device: torch.device | str, rng: torch.Generator | None
    ) -> tuple[Tensor, Tensor]:
        assigned = assign_strategies(uniform((batch_size + 1,), device, rng), self.weights)
        # Drawing every strategy for every image is cheaper than waiting for the device.
        priority = self.strategies[0].priority(batch_size, device, rng)
        for index, strategy in enumerate(self.strategies[1:], start=1):
            other = strategy.priority(batch_size, device, rng)
            priority = torch.where((assigned == index)[:, None], other, priority)
        return priority, assigned

    def __call__(
        self,
        batch_size: int,
        device: torch.device | str = "cpu",
        rng: torch.Generator | None = None,
    ) -> Tensor:
        """Draw bool masks, True = removed: ``(B, L)`` if mixed, ``(V, B, L)`` if joint."""
        views = self.views(batch_size, device, rng)
        if self.mode == "joint":
            return torch.stack(views.masks)
        masks = torch.cat(views.masks)
        return masks if views.images is None else masks[torch.cat(views.images).argsort()]

    def views(
        self,
        batch_size: int,
        device: torch.device | str = "cpu",
        rng: torch.Generator | None = None,
    ) -> MaskViews:
        """Draw the views of a batch, with the strategy of every image.

        Mixed mode has a view for each number of removed patches, joint mode one for each strategy.
        """
        if self.mode == "joint":
            indices = range(len(self.strategies))
            return MaskViews(
                masks=tuple(strategy(batch_size, device, rng) for strategy in self.strategies),
                strategies=tuple(torch.full((batch_size,), i, device=device) for i in indices),
                names=self.names,
                weights=self.weights,
                num_removed=tuple(strategy.num_removed for strategy in self.strategies),
                guaranteed=self.names,
            )
        guaranteed = tuple(
            name
            for name, weight in zip(self.names, self.weights)
            if math.floor(weight * batch_size + 1e-6) >= 1
        )
        first, *others = {
            strategy.num_removed
            for strategy, weight in zip(self.strategies, self.weights)
            if weight > 0
        }
        if others:
            return self._grouped_views(batch_size, device, rng, guaranteed)
        priority, assigned = self._mixed_priority(batch_size, device, rng)
        return MaskViews(
            masks=(remove_first(priority, first),),
            strategies=(assigned,),
            names=self.names,
            weights=(1.0,),
            num_removed=(first,),
            guaranteed=guaranteed,
        )

    def _grouped_views(
        self,
        batch_size: int,
        device: torch.device | str,
        rng: torch.Generator | None,
        guaranteed: tuple[str, ...],
    ) -> MaskViews:
        """Draw a view for each number of removed patches."""
        # Drawn on the CPU, since waiting for the device to know the sizes would leave it idle.
        assigned = assign_strategies(host_uniform(batch_size + 1, rng), self.weights)
        groups: dict[int, list[tuple[Tensor, Tensor, Tensor]]] = {}
        for index, strategy in enumerate(self.strategies):
            images = (assigned == index).nonzero().flatten()
            if len(images):
                mask = strategy(len(images), device, rng)
                parts = (mask, torch.full_like(images, index), images)
                groups.setdefault(strategy.num_removed, []).append(parts)
        masks, strategies, places = zip(
            *(tuple(map(torch.cat, zip(*parts))) for parts in groups.values())
        )
        return MaskViews(
            masks=masks,
            strategies=tuple(part.to(device, non_blocking=True) for part in strategies),
            names=self.names,
            weights=tuple(len(mask) / batch_size for mask in masks),
            num_removed=tuple(groups),
            guaranteed=guaranteed,
            images=tuple(part.to(device, non_blocking=True) for part in places),
        )

    def each_strategy(self) -> tuple[MaskGenerator, ...]:
        """Return the strategies."""
        return self.strategies

    def __repr__(self) -> str:
        return f"MultiMask({list(self.strategies)}, weights={self.weights}, mode={self.mode!r})"


def _spread(ratio: float | Sequence[float] | None, count: int) -> list[float | None]:
    """Return a ratio for each of ``count`` strategies."""
    if not isinstance(ratio, Sequence):
        return [ratio] * count
    if len(ratio) != count:
        raise ValueError(f"{count} strategies need {count} ratios or one, got {list(ratio)}")
    return list(ratio)


def _build(
    strategy: MaskGenerator | dict[str, Any], ratio: float | None, grid: tuple[int, int] | None
) -> MaskGenerator:
    if isinstance(strategy, MaskGenerator):
        return strategy
    shared = {"ratio": ratio, "grid": grid}
    settings = {key: value for key, value in shared.items() if value is not None} | dict(strategy)
    kind = settings.get("type")
    if kind is None or (isinstance(kind, str) and TASK_UTILS.get(kind) is None):
        raise ValueError(
            f"unknown masking strategy {kind!r}; known are mms_ocr.RandomPatchMask, "
            "mms_ocr.BlockwiseMask and mms_ocr.SpanMask"
        )
    missing = [key for key in shared if key not in settings]
    if missing:
        raise ValueError(f"strategy {kind!r} has no {' and no '.join(missing)}, nor has MultiMask")
    return TASK_UTILS.build(settings)


def _normalize(weights: Sequence[float] | None, count: int) -> tuple[float, ...]:
    weights = [1.0] * count if weights is None else list(weights)
    if len(weights) != count:
        raise ValueError(f"{count} strategies need {count} weights, got {weights}")
    if min(weights) < 0 or sum(weights) <= 0:
        raise ValueError(f"weights must not be negative nor all zero, got {weights}")
    return tuple(weight / sum(weights) for weight in weights)


def _unique_names(strategies: Sequence[MaskGenerator]) -> tuple[str, ...]:
    names = [strategy.name for strategy in strategies]
    return tuple(
        name if names.count(name) == 1 else f"{name}_{names[: i + 1].count(name)}"
        for i, name in enumerate(names)
    )
