"""Errors of loader workers end a command soon, with one line."""

from __future__ import annotations

import os
import shutil
import signal
import time
from pathlib import Path

import cv2
import lmdb
import numpy as np
import pytest
from torch.utils.data import DataLoader, Dataset

from mms_ocr.datasets import EndlessSampler, WordImageDataset
from mms_ocr.utils.errors import run_command

PIPELINE = [dict(type="mms_ocr.ResizeWordImage"), dict(type="mms_ocr.PackWordImage", meta_keys=())]
COUNT = 300


def _image(number: int) -> bytes:
    pixels = np.random.default_rng(number).integers(0, 256, (40, 120, 3), np.uint8)
    return cv2.imencode(".png", pixels)[1].tobytes()


@pytest.fixture
def words(tmp_path) -> Path:
    path = tmp_path / "words.lmdb"
    with lmdb.open(str(path), map_size=1 << 28) as file, file.begin(write=True) as transaction:
        for number in range(1, COUNT + 1):
            transaction.put(b"image-%09d" % number, _image(number))
        transaction.put(b"num-samples", b"%d" % COUNT)
    return path


@pytest.fixture
def folder(tmp_path) -> Path:
    (tmp_path / "crops").mkdir()
    for number in range(COUNT):
        (tmp_path / "crops" / f"{number:03d}.png").write_bytes(_image(number))
    return tmp_path / "crops"


def run_until_error(dataset: Dataset, change, capsys) -> str:
    """Read batches without end, make a change after the second; return the one line of error."""

    def command() -> None:
        sampler = EndlessSampler(dataset, seed=0)
        loader = DataLoader(
            dataset, 8, sampler=sampler, num_workers=2, multiprocessing_context="fork"
        )
        batches = iter(loader)
        try:
            for number, _ in enumerate(batches):
                if number == 1:
                    change()
                time.sleep(0.01)
        finally:
            batches._shutdown_workers()  # left to the garbage collector, it takes ten seconds

    start = time.monotonic()
    assert run_command("train.py", command, traceback=False) == 2
    assert time.monotonic() - start < 30
    lines = capsys.readouterr().err.splitlines()
    # A worker that dies of a signal has torch's own line before ours.
    assert len([line for line in lines if "ERROR: Unexpected" not in line and line.strip()]) == 1
    return lines[-1].removeprefix("train.py: ")


def cut(path: Path) -> None:
    os.truncate(path / "data.mdb", 8192)


@pytest.mark.parametrize(("source", "change"), [("words", cut), ("folder", shutil.rmtree)])
def test_data_removed_during_reading_end_the_command(source, change, request, capsys):
    path = request.getfixturevalue(source)
    dataset = WordImageDataset(path, PIPELINE, max_broken=0.01)
    assert run_until_error(dataset, lambda: change(path), capsys)


def test_too_many_removed_images(folder, capsys):
    dataset = WordImageDataset(folder, PIPELINE)
    gone = [file for file in sorted(folder.iterdir()) if file.name > "100"]
    line = run_until_error(dataset, lambda: [file.unlink() for file in gone], capsys)
    assert str(folder) in line
    assert "max_broken=0.01" in line


class Killed(Dataset):
    """Ends its worker by a signal."""

    def __init__(self, signal_number: int) -> None:
        self.signal_number = signal_number

    def __len__(self) -> int:
        return 100

    def __getitem__(self, index: int) -> int:
        if index == 70:
            os.kill(os.getpid(), self.signal_number)
            time.sleep(10)
        return index


@pytest.mark.parametrize("number", [signal.SIGKILL, signal.SIGSEGV])
def test_a_lost_worker_ends_the_command(number, capsys):
    line = run_until_error(Killed(number), lambda: None, capsys)
    # On a busy machine the worker may end while its batch is fetched, and only its connection is
    # reported.
    assert "DataLoader worker (pid" in line or "a loader worker ended" in line


@pytest.mark.parametrize("error", [ConnectionResetError(104, "reset"), EOFError()])
def test_worker_that_exits_during_a_fetch(error, capsys):
    def _try_get_data():  # as in torch's loader
        raise error

    assert run_command("train.py", _try_get_data, traceback=False) == 2
    assert "a loader worker ended" in capsys.readouterr().err


def test_signal_that_killed_a_worker_is_reported(capsys):
    def command() -> None:
        cause = RuntimeError("DataLoader worker (pid 7) is killed by signal: Killed. ")
        raise RuntimeError("DataLoader worker (pid(s) 7) exited unexpectedly") from cause

    assert run_command("train.py", command, traceback=False) == 2
    assert "killed by signal: Killed" in capsys.readouterr().err


@pytest.mark.parametrize("error", [RuntimeError("mat1 and mat2 shapes"), EOFError()])
def test_other_errors_are_unchanged(error):
    def command() -> None:
        raise error

    with pytest.raises(type(error)):
        run_command("train.py", command, traceback=False)


class Failing(Dataset):
    def __len__(self) -> int:
        return 4

    def __getitem__(self, index: int) -> int:
        raise ValueError("words.lmdb: no such key; set ValueError: or labelled=False")


def test_errors_of_workers_have_no_traceback(capsys):
    def command() -> None:
        list(DataLoader(Failing(), num_workers=1, multiprocessing_context="fork"))

    assert run_command("train.py", command, traceback=False) == 2
    assert capsys.readouterr().err == (
        "train.py: words.lmdb: no such key; set ValueError: or labelled=False\n"
    )
