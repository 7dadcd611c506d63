"""Endless sampling that can be put at any position."""

from __future__ import annotations

from collections.abc import Iterator, Sized
from typing import Any

import numpy as np
from mmengine.dist import get_dist_info, sync_random_seed
from torch.utils.data import Sampler

from mms_ocr.datasets.hashing import hash_numbers
from mms_ocr.datasets.shuffling import shuffled_order
from mms_ocr.registry import DATA_SAMPLERS

_BLOCK = 4096


@DATA_SAMPLERS.register_module()
class EndlessSampler(Sampler[int]):
    """Goes through a data set again and again, in a new order each time, without end.

    All ranks share one endless stream of indices, in which each pass over the data set is shuffled
    by itself; with ``world_size`` ranks, each takes every ``world_size``-th index of it. So each
    image is drawn exactly once per pass, by one of the ranks, and every rank draws as many as the
    others. Nothing of the size of the data set is kept in memory, and every position of the stream
    is reached at once.

    Args:
        dataset: What is sampled.
        shuffle: Whether passes are shuffled; in order otherwise.
        seed: Of the shuffling, the same on all ranks. By default rank 0 draws one for all.
        numbered: Give ``pass * length + index`` in place of the index, so that no number comes
            twice; what :class:`~mms_ocr.datasets.SeededDataset` takes.

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
            raise ValueError("there is nothing to sample: the data set is empty")
        self.shuffle = shuffle
        self.numbered = numbered
        self.seed = int(sync_random_seed() if seed is None else seed)
        self._drawn = 0

    def __iter__(self) -> Iterator[int]:
        """Indices without end, from the position on; the position moves along."""
        while True:
            start = self._drawn
            for index in self.indices(start, _BLOCK).tolist():
                if self._drawn != start:
                    break  # set to another position meanwhile
                start += 1
                self._drawn = start
                yield index

    def __len__(self) -> int:
        """How many indices this rank draws per pass, rounded up."""
        return -(-self.length // self.world_size)

    def indices(self, start: int, count: int) -> np.ndarray:
        """The indices that this rank draws at positions ``start`` to ``start + count``.

        Returns:
            int64 array ``(count,)``.
        """
        stream = (start + np.arange(count, dtype=np.uint64)) * np.uint64(self.world_size)
        passes, places = np.divmod(stream + np.uint64(self.rank), np.uint64(self.length))
        indices = places.astype(np.int64)
        if self.shuffle:
            indices = shuffled_order(places, self.length, hash_numbers(passes, self.seed))
        return indices + passes.astype(np.int64) * self.length if self.numbered else indices

    def set_position(self, drawn: int) -> None:
        """Go on as if each rank had drawn so many indices already.

        After ``n`` training iterations that is ``n`` times the batch size of a rank.

        Raises:
            ValueError: ``drawn`` is negative.
        """
        if drawn < 0:
            raise ValueError(f"a position is not negative, got {drawn}")
        self._drawn = int(drawn)

    def skip(self, num_samples: int) -> None:
        """The name by which MMEngine's loop of iterations sets the position when it resumes."""
        self.set_position(num_samples)

    def state_dict(self, drawn: int | None = None) -> dict[str, Any]:
        """What it takes to go on from here, also with another number of ranks.

        Args:
            drawn: How many indices each rank has used. By default, as many as were handed out; a
                loader with workers takes some ahead of what was trained on.
        """
        return dict(
            seed=self.seed,
            shuffle=self.shuffle,
            length=self.length,
            position=(self._drawn if drawn is None else int(drawn)) * self.world_size,
        )

    def load_state_dict(self, state: dict[str, Any]) -> None:
        """Go on from a state of :meth:`state_dict`.

        Where the number of ranks has changed and the position lies between two draws of the ranks,
        the earlier one is taken, so that nothing is left out.

        Raises:
            ValueError: The state is of a data set of another length.
        """
        if state["length"] != self.length:
            raise ValueError(
                f"the sampler's state is of a data set of {state['length']:,} images, and this one "
                f"has {self.length:,}: start anew, or train on the same data"
            )
        self.seed = int(state["seed"])
        self.shuffle = bool(state["shuffle"])
        self._drawn = int(state["position"]) // self.world_size
