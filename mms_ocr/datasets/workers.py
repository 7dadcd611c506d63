"""The start of a loader's worker process."""

from __future__ import annotations

import os
import signal
from types import FrameType

from mmengine import dist
from torch.utils.data import get_worker_info

from mms_ocr.registry import FUNCTIONS
from mms_ocr.utils.randomness import seed_everything

_KILLED = 128 + signal.SIGTERM
_signaled = False


@FUNCTIONS.register_module()
def start_worker(worker_id: int, grace: int = 300) -> None:
    """Seed a worker, and let it outlive the signals that tell its run to save and stop.

    Slurm sends these to all processes of a job. The main process needs its workers until it has
    saved; it ends them itself.

    Args:
        worker_id: Its number.
        grace: Seconds that a worker lives on after SIGTERM. A second one ends it at once.
    """
    info = get_worker_info()
    if info is not None:
        seed_everything((info.seed + 7919 * dist.get_rank()) % 2**63)

    def outlive(number: int, frame: FrameType | None) -> None:
        global _signaled
        if _signaled:
            os._exit(_KILLED)
        _signaled = True
        signal.alarm(grace)

    if hasattr(signal, "SIGUSR1"):  # Windows sends neither
        signal.signal(signal.SIGTERM, outlive)
        signal.signal(signal.SIGUSR1, signal.SIG_IGN)
