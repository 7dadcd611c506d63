"""Several data sets in one training set, each with its share of the samples."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import Any

import numpy as np
from torch.utils.data import Dataset

from mms_ocr.registry import DATASETS

_MAX_REPEATS = 50  # of the least repeated set; then rounding costs at most 1% of a share
_TOLERANCE = 0.01


def repeats_for_shares(lengths: Sequence[int], shares: Sequence[float]) -> np.ndarray:
    """Find how often to repeat data sets so that they fill given shares of the whole.

    The repeats are the smallest whole numbers that meet every share to 1%; lengths and shares are
    positive, shares on any scale.
    """
    ratios = np.asarray(shares, float) / np.asarray(lengths, float)
    ratios /= ratios.min()
    for least in range(1, _MAX_REPEATS + 1):
        repeats = np.rint(ratios * least)
        if np.all(np.abs(repeats / (ratios * least) - 1) <= _TOLERANCE):
            break
    return repeats.astype(np.int64)


@DATASETS.register_module()
class MixedDataset(Dataset):
    """Several data sets in one, each filling its share of the indices to 1%.

    The first data set comes first, repeated as its share requires, then the second, and so on: a
    shuffling sampler mixes them. Within a data set every image is drawn equally often per pass.

    Args:
        datasets: Data sets of any kind, or their configs.
        weights: Shares, one for each data set, on any scale.
        temperature: Without ``weights``: shares grow with ``length ** (1 / temperature)``. At 1,
            the default, every image is drawn once; large values draw equally from all data sets.
        pipeline: For those configs that have none of their own.
        metainfo: Facts about the whole, for models and visualizers; by default the first one's.

    Raises:
        ValueError: A data set is empty or missing, or ``weights`` or ``temperature`` is impossible.
    """

    def __init__(
        self,
        datasets: Sequence[Dataset | dict[str, Any]],
        *,
        weights: Sequence[float] | None = None,
        temperature: float | None = None,
        pipeline: Sequence[dict | Callable] | None = None,
        metainfo: dict[str, Any] | None = None,
    ) -> None:
        if not datasets:
            raise ValueError("datasets is empty; give at least one data set")
        if weights is not None and temperature is not None:
            raise ValueError("give weights or a temperature, not both")
        if weights is not None and [weight > 0 for weight in weights] != [True] * len(datasets):
            raise ValueError(f"weights are {len(datasets)} positive numbers, got {weights}")
        if temperature is not None and not temperature > 0:
            raise ValueError(f"temperature is positive, got {temperature}")
        self.datasets = [_build(dataset, pipeline) for dataset in datasets]
        self._lengths = [len(dataset) for dataset in self.datasets]  # type: ignore[arg-type]
        if 0 in self._lengths:
            raise ValueError(f"data set {self._lengths.index(0)} of the mix is empty")
        if weights is None:
            weights = [length ** (1 / (temperature or 1)) for length in self._lengths]
        self.repeats = repeats_for_shares(self._lengths, weights)
        self._starts = np.concatenate([[0], np.cumsum(self.repeats * self._lengths)])
        first = getattr(self.datasets[0], "metainfo", {})
        self.metainfo = dict(first if metainfo is None else metainfo)

    def full_init(self) -> None:
        """Initialize the data sets that postponed it."""
        for dataset in self.datasets:
            if hasattr(dataset, "full_init"):
                dataset.full_init()

    def __len__(self) -> int:
        return int(self._starts[-1])

    def __getitem__(self, index: int) -> Any:
        if not -len(self) <= index < len(self):
            raise IndexError(f"index {index} outside a data set of {len(self)} images")
        index %= len(self)
        number = int(np.searchsorted(self._starts, index, side="right")) - 1
        return self.datasets[number][(index - int(self._starts[number])) % self._lengths[number]]


def _build(dataset: Dataset | dict[str, Any], pipeline: Sequence | None) -> Dataset:
    if not isinstance(dataset, dict):
        return dataset
    return DATASETS.build(dataset if pipeline is None else {"pipeline": pipeline, **dataset})
