"""Counting broken images over all loader workers."""

from __future__ import annotations

import logging
import math

import torch
from mmengine.logging import print_log
from torch.utils.data import get_worker_info

_MAX_WORKERS = 255  # with more loader workers, some share counters and may lose a count
_SMALL = 1000  # images; in larger data sets, those that were read are judged as a sample


class TooManyBrokenError(ValueError):
    """More images of a data set are broken than ``max_broken`` allows."""


class BrokenCounter:
    """Counts images read and broken over all loader workers, and stops a run with too many.

    The counts are in shared memory. With up to 1,000 images, each pass may have
    ``max_share * length`` broken ones. With more, the images read are judged as a sample, from the
    1,000th on and with a tolerance of four standard deviations.

    Args:
        max_share: The largest share of broken images, in ``[0, 1]``, that is skipped.
        name: The data set, for messages.
        length: Images in the data set.

    Raises:
        ValueError: ``max_share`` is outside ``[0, 1]``.
    """

    def __init__(self, max_share: float, name: str, length: int) -> None:
        if not 0 <= max_share <= 1:
            raise ValueError(f"max_broken is a share in [0, 1], got {max_share}")
        self.max_share = max_share
        self.name = name
        self._length = length
        # One row for each worker: images read, images broken.
        self._shared = torch.zeros(1 + _MAX_WORKERS, 2, dtype=torch.int64).share_memory_()
        self._counts = memoryview(self._shared.flatten().numpy())

    def __getstate__(self) -> dict[str, object]:
        return {**self.__dict__, "_counts": None}  # a copy would not be shared

    def __setstate__(self, state: dict[str, object]) -> None:
        self.__dict__.update(state)
        self._counts = memoryview(self._shared.flatten().numpy())

    @property
    def num_read(self) -> int:
        """Images read by this process and its loader workers, broken ones included."""
        return int(self._shared[:, 0].sum())

    @property
    def num_broken(self) -> int:
        """Broken images that this process and its loader workers read."""
        return int(self._shared[:, 1].sum())

    def count_read(self) -> None:
        """Count one image as read."""
        self._count(0)

    def count_broken(self, reason: str) -> None:
        """Count one image as broken, and log the reason at powers of two.

        Raises:
            TooManyBrokenError: More than the accepted share of the images are broken.
        """
        self._count(1)
        broken, read = self.num_broken, self.num_read
        if broken > self._accepted(read):
            raise TooManyBrokenError(
                f"{broken:,} of {read:,} images read from {self.name} are broken, more than "
                f"max_broken={self.max_share:g} allows; the last: {reason}"
            )
        if broken & (broken - 1) == 0:
            print_log(
                f"skipped {broken:,} of {read:,} images read from {self.name} as broken; "
                f"the last: {reason}",
                logger="current",
                level=logging.WARNING,
            )

    def _count(self, column: int) -> None:
        worker = get_worker_info()
        row = 0 if worker is None else 1 + worker.id % _MAX_WORKERS
        self._counts[2 * row + column] += 1

    def _accepted(self, read: int) -> float:
        if self._length <= _SMALL:
            return self.max_share * self._length * math.ceil(read / self._length)
        if read < _SMALL:
            return math.inf
        expected = self.max_share * read
        return expected + 4 * math.sqrt(expected)
