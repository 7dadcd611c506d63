"""Errors in the words of one line."""

import errno

import pytest
import torch

from mms_ocr.engine import failures
from mms_ocr.engine.failures import DataError, JobError, TrainingError, in_one_line, worded

RAISED_IN_WORKER = """Caught RuntimeError in DataLoader worker process 1.
Original Traceback (most recent call last):
  File "worker.py", line 1, in <module>
RuntimeError: 7 of 9 images are broken:
the last: a.png
"""


@pytest.mark.parametrize("number", [errno.ENOSPC, errno.EDQUOT, errno.EFBIG])
def test_full_disks(number):
    told = worded(OSError(number, "why", "file"))
    assert type(told) is TrainingError
    assert "disk is full" in str(told)
    assert "'file'" in str(told)


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
def test_others_are_left_as_they_are(error):
    assert worded(error) is error


def test_reading():
    told = worded(RuntimeError(RAISED_IN_WORKER), reading=12)
    assert isinstance(told, DataError)
    assert str(told) == (
        "reading the batch of iteration 12 failed: 7 of 9 images are broken: the last: a.png"
    )
    assert str(worded(RuntimeError("bad\nline"), reading=3)).endswith("failed: bad line")
    assert worded(told, reading=12) is told


def test_lost_ranks(monkeypatch):
    error = RuntimeError("[pair.cc:537] Read error: Connection reset by peer")
    assert worded(error) is error
    monkeypatch.setattr(failures.torch.distributed, "is_initialized", lambda: True)
    monkeypatch.setattr(failures.torch.distributed, "get_rank", lambda: 3)
    told = worded(error)
    assert isinstance(told, JobError)
    assert str(told).startswith("rank 3 lost another process of the job")


def test_processes_that_do_not_come(monkeypatch):
    monkeypatch.setenv("RANK", "2")
    told = worded(torch.distributed.DistStoreError("Timed out after 61 seconds waiting"))
    assert str(told).startswith("rank 2 could not join the other processes of the job")


def test_a_block_of_code():
    with pytest.raises(TrainingError, match="disk is full"), in_one_line():
        raise OSError(errno.ENOSPC, "no space")
    with pytest.raises(RuntimeError, match=r"^a fault of code$"), in_one_line():
        raise RuntimeError("a fault of code")
    with pytest.raises(DataError, match="iteration 4 failed: bad"), in_one_line(reading=4):
        raise RuntimeError("bad")


def test_little_memory():
    told = worded(torch.cuda.OutOfMemoryError("CUDA out of memory. Tried to allocate 2 GiB"))
    assert "lower train_dataloader.batch_size" in str(told)
