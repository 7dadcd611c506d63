"""Endless sampling that can start at any position."""

from __future__ import annotations

from collections.abc import Iterator, Sized
from typing import Any

import numpy as np
from mmengine.dist import get_dist_info, sync_random_seed
from torch.utils.data import Sampler

from mms_ocr.datasets.hashing import hash_numbers, shuffled_order
from mms_ocr.registry import DATA_SAMPLERS

_BLOCK = 4096


@DATA_SAMPLERS.register_module()
class EndlessSampler(Sampler[int]):
    """Endless passes over a data set, each in a new order.

    All ranks share one stream of indices, of which each of ``world_size`` ranks takes every
    ``world_size``-th. So each image is drawn exactly once per pass, by one of the ranks. Nothing of
    the size of the data set is stored, and every position of the stream is reached at once.

    Args:
        dataset: The data set.
        shuffle: Whether passes are shuffled.
        seed: Seed of the shuffling, the same on all ranks. By default rank 0 draws one for all.
        numbered: Give ``pass * length + index`` in place of the index, so that no number is
            repeated; :class:`~mms_ocr.datasets.SeededDataset` takes such numbers.

    Raises:
        ValueError: The data set is empty.
    """

    def __init__(
        self,
        dataset: Sized,
        shuffle: bool = True,
        seed: int | None = None,
        numbered: bool = False,
    ) -> None:
        self.rank, self.world_size = get_dist_info()
        self.length = len(dataset)
        if self.length < 1:
            raise ValueError("the data set to sample is empty")
        self.shuffle = shuffle
        self.numbered = numbered
        self.seed = int(sync_random_seed() if seed is None else seed)
        self._drawn = 0

    def __iter__(self) -> Iterator[int]:
        """Yield indices without end from the current position, which moves along."""
        while True:
            start = self._drawn
            for index in self.indices(start, _BLOCK).tolist():
                if self._drawn != start:
                    break  # the position was set in between
                start += 1
                self._drawn = start
                yield index

    def __len__(self) -> int:
        """Return how many indices this rank draws per pass, rounded up."""
        return -(-self.length // self.world_size)

    def indices(self, start: int, count: int) -> np.ndarray:
        """Compute the indices, int64 ``(count,)``, that this rank draws from ``start`` on."""
        stream = (start + np.arange(count, dtype=np.uint64)) * np.uint64(self.world_size)
        passes, positions = np.divmod(stream + np.uint64(self.rank), np.uint64(self.length))
        indices = positions.astype(np.int64)
        if self.shuffle:
            indices = shuffled_order(positions, self.length, hash_numbers(passes, self.seed))
        return indices + passes.astype(np.int64) * self.length if self.numbered else indices

    def set_position(self, drawn: int) -> None:
        """Continue as if each rank had drawn ``drawn`` indices; ValueError if it is negative."""
        if drawn < 0:
            raise ValueError(f"a position is not negative, got {drawn}")
        self._drawn = int(drawn)

    skip = set_position  # as MMEngine's loop calls it

    def state_dict(self, drawn: int | None = None) -> dict[str, Any]:
        """Return what it takes to resume here, also with another number of ranks.

        ``drawn`` is how many indices each rank has used: fewer than were drawn, which is the
        default, if a loader's workers draw some in advance.
        """
        return dict(
            seed=self.seed,
            shuffle=self.shuffle,
            length=self.length,
            position=(self._drawn if drawn is None else int(drawn)) * self.world_size,
        )

    def load_state_dict(self, state: dict[str, Any]) -> None:
        """Resume from a state of :meth:`state_dict`; ValueError if the data set's length differs.

        If the number of ranks has changed and the position is between two draws of the ranks, the
        earlier one is taken, so that no image is left out.
        """
        if state["length"] != self.length:
            raise ValueError(
                f"the sampler's state is of a data set of {state['length']:,} images, and this one "
                f"has {self.length:,}: start a new run, or train on the same data"
            )
        self.seed = int(state["seed"])
        self.shuffle = bool(state["shuffle"])
        self._drawn = int(state["position"]) // self.world_size
