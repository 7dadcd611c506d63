"""Errors of the machine, the job and the data have a message for the user."""

import errno

import pytest
import torch

from mms_ocr.engine import failures
from mms_ocr.engine.failures import (
    DataError,
    JobError,
    TrainingError,
    explain_failure,
    explain_failures,
)

RAISED_IN_WORKER = """Caught RuntimeError in DataLoader worker process 1.
Original Traceback (most recent call last):
  File "worker.py", line 1, in <module>
RuntimeError: 7 of 9 images are broken:
the last: a.png
"""


@pytest.mark.parametrize("number", [errno.ENOSPC, errno.EDQUOT, errno.EFBIG])
def test_full_disks(number):
    explained = explain_failure(OSError(number, "why", "file"))
    assert type(explained) is TrainingError
    assert "disk is full" in str(explained)
    assert "'file'" in str(explained)


@pytest.mark.parametrize(
    "error",
    [
        OSError(errno.EACCES, "no"),
        ValueError("a setting"),
        RuntimeError("a fault of code"),
        RuntimeError("DataLoader worker (pid 7) is killed by signal: Killed. "),
        KeyError("x"),
    ],
)
def test_other_errors_are_unchanged(error):
    assert explain_failure(error) is error


def test_reading():
    explained = explain_failure(RuntimeError(RAISED_IN_WORKER), iteration=12)
    assert isinstance(explained, DataError)
    assert str(explained) == (
        "reading the batch of iteration 12 failed: 7 of 9 images are broken: the last: a.png"
    )
    assert str(explain_failure(RuntimeError("bad\nline"), iteration=3)).endswith("failed: bad line")
    assert explain_failure(explained, iteration=12) is explained


def test_lost_ranks(monkeypatch):
    error = RuntimeError("[pair.cc:537] Read error: Connection reset by peer")
    assert explain_failure(error) is error
    monkeypatch.setattr(failures.torch.distributed, "is_initialized", lambda: True)
    monkeypatch.setattr(failures.torch.distributed, "get_rank", lambda: 3)
    explained = explain_failure(error)
    assert isinstance(explained, JobError)
    assert str(explained).startswith("rank 3 lost another process of the job")


def test_missing_processes(monkeypatch):
    monkeypatch.setenv("RANK", "2")
    explained = explain_failure(
        torch.distributed.DistStoreError("Timed out after 61 seconds waiting")
    )
    assert str(explained).startswith("rank 2 could not join the other processes of the job")


def test_a_block_of_code():
    with pytest.raises(RuntimeError, match=r"^a fault of code$"), explain_failures():
        raise RuntimeError("a fault of code")
    with pytest.raises(DataError, match="iteration 4 failed: bad"), explain_failures(iteration=4):
        raise RuntimeError("bad")


def test_little_memory():
    explained = explain_failure(torch.cuda.OutOfMemoryError("CUDA out of memory"))
    assert "lower train_dataloader.batch_size" in str(explained)
