"""Several sources in one training set, each with its share of what is drawn."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from typing import Any

import numpy as np
from mmengine.structures import BaseDataElement
from torch.utils.data import Dataset

from mms_ocr.datasets.word_batches import (
    BatchLayout,
    WordBatch,
    batch_layout_of,
    read_batch,
)
from mms_ocr.registry import DATASETS

_MOST_REPEATS = 50  # of the least repeated set; then rounding costs at most 1% of a share
_ACCEPTED_ERROR = 0.01


def repeats_for_shares(lengths: Sequence[int], shares: Sequence[float]) -> np.ndarray:
    """How often to repeat data sets so that they fill given shares of the whole.

    Whole numbers, so that within a data set every image comes equally often; the smallest ones that
    meet every share to 1%.

    Args:
        lengths: Images of each data set, positive.
        shares: What each is to fill, positive; any scale.

    Returns:
        int64 array, one positive number for each data set.
    """
    wanted = np.asarray(shares, float) / np.asarray(lengths, float)
    wanted /= wanted.min()
    for least in range(1, _MOST_REPEATS + 1):
        repeats = np.rint(wanted * least)
        if np.all(np.abs(repeats / (wanted * least) - 1) <= _ACCEPTED_ERROR):
            break
    return repeats.astype(np.int64)


@DATASETS.register_module()
class MixedDataset(Dataset):
    """Several data sets in one, each filling its share of the indices.

    Index by index it is the first data set, repeated as often as its share asks for, then the
    second, and so on: a shuffling sampler mixes them. Shares are met to 1%, and within a data set
    every image comes equally often per pass. Nothing but the repeats is kept in memory.

    A loader's batch is read data set by data set. Where all of them resize to one size and pack,
    and do no more, it lies in one tensor (:func:`~mms_ocr.datasets.read_batch`).

    Args:
        datasets: Data sets of any kind, or their configs.
        weights: Shares of what is drawn, one for each data set, on any scale.
        temperature: Without ``weights``: shares go with ``length ** (1 / temperature)``. At 1, the
            default, every image of every data set comes once; large values draw from all data
            sets alike.
        pipeline: For those configs that have none of their own.
        metainfo: Facts about the whole, for models and visualizers; by default those of the first
            data set.

    Raises:
        ValueError: There are no data sets, one is empty, or ``weights`` or ``temperature`` are
            impossible.
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
            raise ValueError("no data sets were given to mix")
        _check_shares(weights, temperature, len(datasets))
        self.datasets = [_build(dataset, pipeline) for dataset in datasets]
        lengths = [len(dataset) for dataset in self.datasets]  # type: ignore[arg-type]
        if 0 in lengths:
            raise ValueError(f"data set {lengths.index(0)} of those to mix is empty")
        if weights is None:
            weights = [length ** (1 / (temperature or 1)) for length in lengths]
        self.repeats = repeats_for_shares(lengths, weights)
        self._lengths = lengths
        self._starts = np.concatenate([[0], np.cumsum(self.repeats * lengths)])
        first = getattr(self.datasets[0], "metainfo", {})
        self._metainfo = dict(first if metainfo is None else metainfo)

    @property
    def metainfo(self) -> dict[str, Any]:
        """A copy of the facts about the data set."""
        return dict(self._metainfo)

    @property
    def shares(self) -> np.ndarray:
        """The share of the indices that each data set fills; they sum to 1."""
        return np.diff(self._starts) / self._starts[-1]

    @property
    def num_read(self) -> int:
        """Images read so far by those data sets that count them, broken ones included."""
        return sum(getattr(dataset, "num_read", 0) for dataset in self.datasets)

    @property
    def num_broken(self) -> int:
        """Broken images met so far by those data sets that count them."""
        return sum(getattr(dataset, "num_broken", 0) for dataset in self.datasets)

    def full_init(self) -> None:
        """Let the data sets finish what they put off, where they do."""
        for dataset in self.datasets:
            if hasattr(dataset, "full_init"):
                dataset.full_init()

    def __len__(self) -> int:
        return int(self._starts[-1])

    def locate(self, index: int) -> tuple[int, int]:
        """Which data set the image at ``index`` is of, and its index there."""
        if not -len(self) <= index < len(self):
            raise IndexError(f"index {index} outside a data set of {len(self)} images")
        index %= len(self)
        number = int(np.searchsorted(self._starts, index, side="right")) - 1
        return number, (index - int(self._starts[number])) % self._lengths[number]

    def __getitem__(self, index: int) -> Any:
        number, place = self.locate(index)
        return self.datasets[number][place]

    def __getitems__(self, indices: Sequence[int]) -> list[Any] | WordBatch:
        """The items at ``indices``, in their order; those of a data set are read in one go."""
        if type(self).__getitem__ != MixedDataset.__getitem__:  # a subclass with its own way
            return [self[index] for index in indices]
        if self.batch_layout() is not None:
            return read_batch(self, indices)
        items: list[Any] = [None] * len(indices)
        for number, positions, places in self._groups(indices):
            dataset = self.datasets[number]
            if hasattr(dataset, "__getitems__"):
                given = dataset.__getitems__(places)
            else:
                given = [dataset[place] for place in places]
            for position, item in zip(positions, given):
                items[position] = item
        return items

    def batch_layout(self) -> BatchLayout | None:
        """See :class:`mms_ocr.datasets.word_batches.BatchReadable`."""
        layouts = {batch_layout_of(dataset) for dataset in self.datasets}
        return layouts.pop() if len(layouts) == 1 else None

    def read_into(
        self, indices: Sequence[int], slots: Sequence[np.ndarray]
    ) -> list[BaseDataElement]:
        """See :class:`mms_ocr.datasets.word_batches.BatchReadable`."""
        samples: dict[int, BaseDataElement] = {}
        for number, positions, places in self._groups(indices):
            dataset: Any = self.datasets[number]
            read = dataset.read_into(places, [slots[position] for position in positions])
            samples.update(zip(positions, read))
        return [samples[position] for position in sorted(samples)]

    def _groups(self, indices: Sequence[int]) -> Iterator[tuple[int, list[int], list[int]]]:
        """Each data set that is asked for: where in ``indices``, and for what of its own."""
        wanted = np.asarray(indices, np.int64)
        outside = np.flatnonzero((wanted < -len(self)) | (wanted >= len(self)))
        if len(outside):
            self.locate(int(wanted[outside[0]]))  # raises
        wanted %= len(self)
        numbers = np.searchsorted(self._starts, wanted, side="right") - 1
        for number in np.unique(numbers).tolist():
            positions = np.flatnonzero(numbers == number)
            places = (wanted[positions] - self._starts[number]) % self._lengths[number]
            yield number, positions.tolist(), places.tolist()


def _check_shares(weights: Sequence[float] | None, temperature: float | None, count: int) -> None:
    if weights is not None and temperature is not None:
        raise ValueError("give weights or a temperature, not both")
    if weights is not None and (len(weights) != count or not all(weight > 0 for weight in weights)):
        raise ValueError(f"weights are one positive number for each of {count}, got {weights}")
    if temperature is not None and not temperature > 0:
        raise ValueError(f"temperature is positive, got {temperature}")


def _build(dataset: Dataset | dict[str, Any], pipeline: Sequence | None) -> Dataset:
    if not isinstance(dataset, dict):
        return dataset
    if pipeline is not None:
        dataset = {"pipeline": pipeline, **dataset}
    return DATASETS.build(dataset)
