"""Errors that end a training, with a message for the user."""

from __future__ import annotations

import contextlib
import errno
import os
import re
from collections.abc import Iterator

import torch

from mms_ocr.utils.errors import TrainingError

_FULL_DISK = (errno.ENOSPC, errno.EDQUOT, errno.EFBIG)
_RAISED_IN_WORKER = re.compile(r"Caught RuntimeError in .*^RuntimeError: (?P<what>.*)", re.S | re.M)
_LOST_RANK = re.compile(
    r"connection (was )?(closed|reset|refused)|broken pipe|socket|read error|\btimed? ?out\b"
    r"|no route to host|remote process exited|rendezvous",
    re.IGNORECASE,
)
_MAX_LENGTH = 200


class CheckpointNotSavedError(TrainingError):
    """A checkpoint could not be written; earlier ones are unchanged."""


class NonFiniteError(TrainingError):
    """Too many steps in a row had NaN or infinite losses or gradients."""


class JobError(TrainingError):
    """Another process of the job died, hangs or cannot be reached."""


class DataError(TrainingError):
    """The training data could not be read."""


class ValidationStopped(Exception):  # noqa: N818  (no error: a signal asked to stop)
    """Ends a validation early because the run stops and is already saved."""


@contextlib.contextmanager
def explain_failures(iteration: int | None = None) -> Iterator[None]:
    """Raise errors of the block as :func:`explain_failure` returns them."""
    try:
        yield
    except (OSError, RuntimeError) as error:
        explained = explain_failure(error, iteration)
        if explained is error:
            raise
        raise explained from error


def explain_failure(error: Exception, iteration: int | None = None) -> Exception:
    """Return a :class:`TrainingError` with a message for a fault of machine, job or data.

    A fault of the program is returned as it is. ``iteration`` is that of a batch being read.
    """
    if isinstance(error, TrainingError):
        return error
    if isinstance(error, OSError) and error.errno in _FULL_DISK:
        return TrainingError(
            f"the disk is full ({error}); earlier checkpoints are unchanged: free some space and "
            "continue with --resume"
        )
    text = " ".join(str(error).split())
    if not isinstance(error, RuntimeError) or "DataLoader worker (pid" in text:
        return error
    short = text[:_MAX_LENGTH]
    if isinstance(error, torch.cuda.OutOfMemoryError):
        what = "the GPU has too little memory; lower train_dataloader.batch_size"
        return TrainingError(f"{what} ({short})")
    is_joined = torch.distributed.is_initialized()
    rank = torch.distributed.get_rank() if is_joined else os.environ.get("RANK", "?")
    if isinstance(error, torch.distributed.DistError) and not is_joined:
        return JobError(
            f"rank {rank} could not join the other processes of the job: one did not start or "
            f"cannot be reached ({short})"
        )
    if is_joined and _LOST_RANK.search(text):
        return JobError(
            f"rank {rank} lost another process of the job, which died or hangs; see the first "
            f"error of the other ranks, and continue with --resume ({short})"
        )
    if iteration is not None:
        in_worker = _RAISED_IN_WORKER.search(str(error))
        what = " ".join(in_worker["what"].split()) if in_worker else text
        return DataError(f"reading the batch of iteration {iteration} failed: {what}")
    return error
