"""What ends a training, in the words of one line."""

from __future__ import annotations

import contextlib
import errno
import os
import re
from collections.abc import Iterator

import torch

from mms_ocr.utils.errors import TrainingError

_FULL_DISK = (errno.ENOSPC, errno.EDQUOT, errno.EFBIG)
_DEAD_WORKER = re.compile(r"DataLoader worker \(pid")
_RAISED_IN_WORKER = re.compile(r"Caught RuntimeError in .*^RuntimeError: (?P<what>.*)", re.S | re.M)
_LOST_RANK = re.compile(
    r"connection (was )?(closed|reset|refused)|broken pipe|socket|read error|\btimed? ?out\b"
    r"|no route to host|remote process exited|rendezvous",
    re.IGNORECASE,
)
_LONGEST = 200


class CheckpointNotSavedError(TrainingError):
    """A checkpoint could not be written; those before it are as they were."""


class NonFiniteError(TrainingError):
    """Too many steps in a row had NaN or infinite losses or gradients."""


class JobError(TrainingError):
    """Another process of the job has died or hangs."""


class DataError(TrainingError):
    """The training data could not be read."""


class ValidationStopped(Exception):  # noqa: N818  (no error: a signal asked to stop)
    """Ends a validation early because the run is to stop and is saved already."""


@contextlib.contextmanager
def in_one_line(reading: int | None = None) -> Iterator[None]:
    """Errors that arise inside are raised as :func:`worded`.

    Args:
        reading: As there.
    """
    try:
        yield
    except (OSError, RuntimeError) as error:
        told = worded(error, reading)
        if told is error:
            raise
        raise told from error


def worded(error: Exception, reading: int | None = None) -> Exception:
    """An error of machine, job or disk as one line; others, such as faults of code, as they are.

    Args:
        error: What was raised.
        reading: The iteration whose batch was being read, if one was.
    """
    if isinstance(error, TrainingError):
        return error
    if isinstance(error, OSError) and error.errno in _FULL_DISK:
        return TrainingError(
            f"the disk is full ({error}); the checkpoints saved before are untouched: make room "
            "and go on with --resume"
        )
    text = " ".join(str(error).split())
    if not isinstance(error, RuntimeError) or _DEAD_WORKER.search(text):
        return error
    if isinstance(error, torch.cuda.OutOfMemoryError):
        return TrainingError(
            "the GPU has too little memory for this run: lower train_dataloader.batch_size "
            f"({text[:_LONGEST]})"
        )
    joined = torch.distributed.is_initialized()
    rank = torch.distributed.get_rank() if joined else os.environ.get("RANK", "?")
    if isinstance(error, torch.distributed.DistError) and not joined:
        return JobError(
            f"rank {rank} could not join the other processes of the job: one of them did not "
            f"start, or cannot be reached ({text[:_LONGEST]})"
        )
    if joined and _LOST_RANK.search(text):
        return JobError(
            f"rank {rank} lost another process of the job, which died or "
            "hangs: the first error of the other ranks says why; --resume goes on from the last "
            f"checkpoint ({text[:_LONGEST]})"
        )
    if reading is not None:
        in_worker = _RAISED_IN_WORKER.search(str(error))
        what = " ".join(in_worker["what"].split()) if in_worker else text
        return DataError(f"reading the batch of iteration {reading} failed: {what}")
    return error
