"""Functions that torch's data loaders call: collating a batch, and starting a worker process."""

from __future__ import annotations

import os
import signal
from collections.abc import Sequence
from types import FrameType
from typing import Any

from mmengine import dist
from mmengine.dataset import default_collate
from torch import Tensor
from torch.utils.data import get_worker_info

from mms_ocr.registry import FUNCTIONS
from mms_ocr.utils.randomness import seed_everything

_TERMINATED = 128 + signal.SIGTERM
_signaled = False


class PixelBatch(Sequence[dict[str, Tensor]]):
    """The items of a batch without labels, whose images are one uint8 tensor ``(B, 3, H, W)``."""

    def __init__(self, inputs: Tensor) -> None:
        self.inputs = inputs

    def __len__(self) -> int:
        return len(self.inputs)

    def __getitem__(self, index: Any) -> Any:
        if isinstance(index, slice):
            return PixelBatch(self.inputs[index])
        return dict(inputs=self.inputs[index])


@FUNCTIONS.register_module()
def collate_words(data_batch: Sequence[Any]) -> Any:
    """Collate as MMEngine's ``default_collate`` does; a :class:`PixelBatch` is not copied."""
    if isinstance(data_batch, PixelBatch):
        return dict(inputs=data_batch.inputs)
    return default_collate(data_batch)


@FUNCTIONS.register_module()
def start_worker(worker_id: int, grace: int = 300) -> None:
    """Seed a worker, and let it survive the signals that make its run save and stop.

    Slurm sends these to all processes of a job. The main process needs its workers until it has
    saved, and ends them itself. A worker ends ``grace`` seconds after SIGTERM, at a second at once.
    """
    info = get_worker_info()
    if info is not None:
        seed_everything((info.seed + 7919 * dist.get_rank()) % 2**63)

    def survive(number: int, frame: FrameType | None) -> None:
        global _signaled
        if _signaled:
            os._exit(_TERMINATED)
        _signaled = True
        signal.alarm(grace)

    if hasattr(signal, "SIGUSR1"):  # Windows sends neither
        signal.signal(signal.SIGTERM, survive)
        signal.signal(signal.SIGUSR1, signal.SIG_IGN)
