"""Random transforms that depend only on the seed, the pass and the index of a sample."""

from __future__ import annotations

from collections.abc import Sequence
from contextlib import nullcontext
from typing import Any

import numpy as np
from torch.utils.data import Dataset, get_worker_info

from mms_ocr.datasets.hashing import hash_numbers
from mms_ocr.registry import DATASETS
from mms_ocr.utils.randomness import kept_random_states, seed_everything

_FIXED_TRANSFORMS = {
    f"mms_ocr.{name}" for name in ("ResizeWordImage", "PackWordImage", "PackLabelledWord")
}


@DATASETS.register_module()
class SeededDataset(Dataset):
    """A data set whose random transforms depend only on the seed, the pass and the index.

    Python's, NumPy's and torch's generators are seeded for every sample, so that it does not matter
    which worker makes it and whether the run was resumed. If no transform is random, nothing is
    seeded. It is indexed by ``pass * length + index``, as a ``numbered``
    :class:`~mms_ocr.datasets.EndlessSampler` gives. Other attributes are those of the data set.

    Args:
        dataset: The data set or its config.
        seed: Seed of the transforms.
    """

    def __init__(self, dataset: Dataset | dict[str, Any], seed: int) -> None:
        self.dataset = DATASETS.build(dataset) if isinstance(dataset, dict) else dataset
        if hasattr(self.dataset, "full_init"):
            self.dataset.full_init()
        self.seed = int(seed)
        self._length = len(self.dataset)  # type: ignore[arg-type]
        self._draws_nothing = draws_nothing(self.dataset)

    def __getattr__(self, name: str) -> Any:
        if name == "dataset" or name.startswith("__"):  # while it is unpickled
            raise AttributeError(name)
        return getattr(self.dataset, name)

    def __len__(self) -> int:
        return self._length

    def __getitem__(self, number: int) -> Any:
        return self.__getitems__([number])[0]

    def __getitems__(self, numbers: Sequence[int]) -> Sequence[Any]:
        """Return the items of a batch; torch's loaders call it."""
        indices = [number % self._length for number in numbers]
        if self._draws_nothing and hasattr(self.dataset, "__getitems__"):
            return self.dataset.__getitems__(indices)
        if self._draws_nothing:
            return [self.dataset[index] for index in indices]
        seeds = hash_numbers(np.asarray(numbers, dtype=np.int64), self.seed).tolist()
        items = []
        # A process without workers trains with the same generators.
        with kept_random_states() if get_worker_info() is None else nullcontext():
            for index, seed in zip(indices, seeds):
                seed_everything(seed)
                items.append(self.dataset[index])
        return items


def draws_nothing(dataset: Any) -> bool:
    """Return whether a data set is known to draw no numbers from the global generators."""
    parts = getattr(dataset, "datasets", None)
    if parts is not None:
        return all(draws_nothing(part) for part in parts)
    transforms = getattr(getattr(dataset, "pipeline", None), "transforms", None)
    if transforms is None or not type(dataset).__module__.startswith("mms_ocr."):
        return False
    kinds = {
        f"{type(step).__module__.partition('.')[0]}.{type(step).__name__}" for step in transforms
    }
    return kinds <= _FIXED_TRANSFORMS
