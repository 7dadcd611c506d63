"""How many images of a data set could not be used, over all of its worker processes."""

from __future__ import annotations

import logging
import math

import torch
from mmengine.logging import print_log
from torch.utils.data import get_worker_info

_ROWS = 256  # more loader workers than this would share rows, and lose a count now and then
_SAMPLE = 1000


class TooManyBrokenError(ValueError):
    """So many images of a data set are broken that a run shall not go on without them."""


class BrokenCounter:
    """Counts images read and images that were broken, and stops a run that has too many.

    The counts lie in shared memory, one row for each loader worker, so that the main process sees
    what its workers met. They live as long as the data set, over all passes.

    Args:
        max_share: The largest share of broken images, in ``[0, 1]``, that is passed over.
        name: The data set, in the words of error messages.
        length: Images in the data set. Up to 1,000 of them, each pass may meet
            ``max_share * length`` broken ones. Of more, the images read are a sample: it is judged
            from its 1,000th on, with four standard deviations left to chance.

    Raises:
        ValueError: ``max_share`` is outside ``[0, 1]``.
    """

    def __init__(self, max_share: float, name: str, length: int) -> None:
        if not 0 <= max_share <= 1:
            raise ValueError(f"max_broken is a share in [0, 1], got {max_share}")
        self.max_share = max_share
        self.name = name
        self._length = length
        self._shared = torch.zeros(_ROWS, 2, dtype=torch.int64).share_memory_()
        self._counts = memoryview(self._shared.flatten().numpy())

    def __getstate__(self) -> dict[str, object]:
        # The tensor stays shared with worker processes, also under spawn; its memory view does not.
        return {key: value for key, value in self.__dict__.items() if key != "_counts"}

    def __setstate__(self, state: dict[str, object]) -> None:
        self.__dict__.update(state)
        self._counts = memoryview(self._shared.flatten().numpy())

    @property
    def num_read(self) -> int:
        """Images read so far, broken ones included, by this process and its loader workers."""
        return int(self._shared[:, 0].sum())

    @property
    def num_broken(self) -> int:
        """Broken images met so far, by this process and its loader workers."""
        return int(self._shared[:, 1].sum())

    def count_read(self) -> None:
        """Count one image as read, whatever becomes of it."""
        self._counts[2 * _row()] += 1

    def count_broken(self, reason: str) -> None:
        """Count one image as broken; log it if their number is a power of two.

        Args:
            reason: Which image, and what is wrong with it.

        Raises:
            TooManyBrokenError: More than the accepted share of the images were broken.
        """
        self._counts[2 * _row() + 1] += 1
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

    def _accepted(self, read: int) -> float:
        """How many images may be broken among so many read."""
        if self._length <= _SAMPLE:
            return self.max_share * self._length * math.ceil(read / self._length)
        if read < _SAMPLE:
            return math.inf
        expected = self.max_share * read
        return expected + 4 * math.sqrt(expected)


def _row() -> int:
    worker = get_worker_info()
    return 0 if worker is None else 1 + worker.id % (_ROWS - 1)
