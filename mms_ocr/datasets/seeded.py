"""Random transforms that draw the same for the same sample of the same pass."""

from __future__ import annotations

from collections.abc import Sequence
from contextlib import nullcontext
from typing import Any

import numpy as np
from torch.utils.data import Dataset, get_worker_info

from mms_ocr.datasets.hashing import hash_numbers
from mms_ocr.registry import DATASETS
from mms_ocr.utils.randomness import kept_random_states, seed_everything

# Transforms that give the same for the same image, whatever the generators' states.
_FIXED_TRANSFORMS = ("ResizeWordImage", "PackWordImage", "PackLabelledWord")


@DATASETS.register_module()
class SeededDataset(Dataset):
    """A data set whose random transforms depend on the seed, the pass and the index, only.

    Python's, NumPy's and torch's generators are seeded anew for every sample, so that it does not
    matter which worker makes it, what was made before it, and whether the run was resumed. Where no
    transform is random nothing is done. :class:`~mms_ocr.engine.ResumableTrainLoop` puts it around
    the training set of a config by itself.

    Args:
        dataset: The data set or its config.
        seed: Of the transforms.

    It is indexed by what :class:`~mms_ocr.datasets.EndlessSampler` gives if ``numbered``:
    ``pass * length + index``. All else is as with the data set inside.
    """

    def __init__(self, dataset: Dataset | dict[str, Any], seed: int) -> None:
        self.dataset = DATASETS.build(dataset) if isinstance(dataset, dict) else dataset
        if hasattr(self.dataset, "full_init"):
            self.dataset.full_init()
        self.seed = int(seed)
        self._length = len(self.dataset)  # type: ignore[arg-type]
        self._as_it_is = draws_nothing(self.dataset)

    def __getattr__(self, name: str) -> Any:
        if name == "dataset" or name.startswith("__"):  # while it is unpickled
            raise AttributeError(name)
        return getattr(self.dataset, name)

    def __len__(self) -> int:
        return self._length

    def __getitem__(self, number: int) -> Any:
        return self.__getitems__([number])[0]

    def __getitems__(self, numbers: Sequence[int]) -> Sequence[Any]:
        """The items of a batch, as torch's loaders ask for them."""
        if self._as_it_is:
            indices = [number % self._length for number in numbers]
            together = getattr(self.dataset, "__getitems__", None)
            return (
                [self.dataset[index] for index in indices]
                if together is None
                else together(indices)
            )
        seeds = hash_numbers(np.asarray(numbers, dtype=np.int64), self.seed).tolist()
        items = []
        # A process without workers trains with the same generators.
        with kept_random_states() if get_worker_info() is None else nullcontext():
            for number, seed in zip(numbers, seeds):
                seed_everything(seed)
                items.append(self.dataset[number % self._length])
        return items


def draws_nothing(dataset: Any) -> bool:
    """Whether it is known that a data set draws no random numbers from the global generators."""
    parts = getattr(dataset, "datasets", None)
    if parts is not None:
        return all(draws_nothing(part) for part in parts)
    transforms = getattr(getattr(dataset, "pipeline", None), "transforms", None)
    if transforms is None or not type(dataset).__module__.startswith("mms_ocr."):
        return False
    return all(
        type(transform).__name__ in _FIXED_TRANSFORMS
        and type(transform).__module__.startswith("mms_ocr.")
        for transform in transforms
    )
