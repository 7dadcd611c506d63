"""What happens to the data of a run, or to its loader workers, is told in one line and soon."""

from __future__ import annotations

import multiprocessing
import os
import shutil
import signal
import time
from pathlib import Path
from weakref import WeakSet

import cv2
import lmdb
import numpy as np
import pytest
from torch.utils.data import DataLoader, Dataset

from mms_ocr.cli.errors import run_command
from mms_ocr.cli.worker_errors import original_message
from mms_ocr.datasets import EndlessSampler, WordImageDataset
from mms_ocr.datasets.sources import base, lmdb_files

PIPELINE = [dict(type="mms_ocr.ResizeWordImage"), dict(type="mms_ocr.PackWordImage", meta_keys=())]
COUNT = 300


@pytest.fixture(autouse=True)
def _no_sources_of_other_tests(monkeypatch):
    monkeypatch.setattr(base, "_alive", WeakSet())


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


def told(dataset: Dataset, change, capsys, workers: int = 2) -> str:
    """What a command says that reads batches without end and meets a change after the first."""

    def command() -> None:
        sampler = EndlessSampler(dataset, seed=0)
        loader = DataLoader(
            dataset, 8, sampler=sampler, num_workers=workers, multiprocessing_context="fork"
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


@pytest.mark.parametrize(
    ("change", "message"),
    [
        (cut, r"shrank while it was in use: 8,192 bytes are left of"),
        (shutil.rmtree, "was deleted while it was in use"),
    ],
)
def test_an_lmdb_that_changes_under_workers(words, change, message, capsys):
    line = told(WordImageDataset(words, PIPELINE), lambda: change(words), capsys)
    assert line.startswith(f"LMDB '{words}/data.mdb' {message}")
    assert line.endswith("; put it back as it was and run again (a training: with --resume)")


def test_an_lmdb_that_is_cut_right_before_a_read(words, capsys, monkeypatch):
    # Without the look before each read, as if the file had been cut right after it.
    monkeypatch.setattr(lmdb_files.OpenLmdb, "check_size", lambda self: None)
    look = lmdb_files.OpenLmdb.check
    monkeypatch.setattr(lmdb_files.OpenLmdb, "check", lambda self: None)

    def change() -> None:
        # In this process alone: the workers are forked already, and die of a bus error.
        monkeypatch.setattr(lmdb_files.OpenLmdb, "check", look)
        cut(words)

    line = told(WordImageDataset(words, PIPELINE), change, capsys)
    assert line.startswith(f"LMDB '{words}/data.mdb' shrank while it was in use")


def delete_images(folder: Path) -> None:
    for image in folder.iterdir():
        image.unlink()


NO_FOLDER = "folder '{}' vanished while it was in use"
NO_IMAGES = "the images in '{}' vanished while they were in use"


@pytest.mark.parametrize(
    ("change", "messages", "max_broken"),
    [
        # Images go one after the other, and the folder last: a worker may look in between, and
        # then meets as many broken ones as the others take time.
        (shutil.rmtree, (NO_FOLDER, NO_IMAGES), 1),
        (lambda path: path.rename(f"{path}-gone"), (NO_FOLDER,), 0.01),
        (delete_images, (NO_IMAGES,), 1),
    ],
)
@pytest.mark.parametrize("kind", ["folder", "jsonl"])
def test_images_that_vanish_under_workers(folder, kind, change, messages, max_broken, capsys):
    path = folder
    if kind == "jsonl":
        path = folder.parent / "words.jsonl"
        names = sorted(file.name for file in folder.iterdir())
        path.write_text("".join(f'{{"filename": "{name}"}}\n' for name in names))
    dataset = WordImageDataset(path, PIPELINE, data_root=str(folder), max_broken=max_broken)
    line = told(dataset, lambda: change(folder), capsys)
    assert line.startswith(tuple(message.format(folder) for message in messages))


def test_too_many_images_that_vanish(folder, capsys):
    dataset = WordImageDataset(folder, PIPELINE)
    gone = [file for file in sorted(folder.iterdir()) if file.name > "100"]
    line = told(dataset, lambda: [file.unlink() for file in gone], capsys)
    assert f"images read from {folder} are broken, more than max_broken=0.01 allows" in line
    assert line.endswith("No such file or directory")
    assert "Traceback" not in line


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


@pytest.mark.parametrize(
    ("number", "message"),
    [
        (signal.SIGKILL, r"(Killed): the machine most likely ran out of memory"),
        (signal.SIGBUS, r"(Bus error): the shared memory at /dev/shm ran out ("),
        (signal.SIGSEGV, r"(Segmentation fault): what it wrote before this line may say why"),
    ],
)
def test_workers_that_are_lost(number, message, capsys):
    line = told(Killed(number), lambda: None, capsys)
    # On a busy machine the worker may go while its batch is fetched: then nobody knows the signal.
    cut_off = "(exited unexpectedly): what it wrote before this line may say why"
    assert line.startswith(
        tuple(f"a process that reads data was lost {one}" for one in (message, cut_off))
    )


@pytest.mark.parametrize("kind", [ConnectionResetError, EOFError])
def test_a_worker_that_goes_while_its_batch_is_fetched(kind, capsys):
    class Lost:
        def _try_get_data(self):
            raise kind("Connection reset by peer")

    assert run_command("train.py", Lost()._try_get_data, traceback=False) == 2
    line = capsys.readouterr().err.strip()
    assert line.startswith("train.py: a process that reads data was lost (exited unexpectedly): ")


def test_the_signal_of_a_worker_that_goes_while_its_batch_is_fetched(capsys):
    def lost_worker(number):
        worker = multiprocessing.get_context("fork").Process(target=time.sleep, args=(60,))
        worker.start()
        os.kill(worker.pid, number)
        return worker

    class Lost:
        _workers = (lost_worker(signal.SIGTERM), lost_worker(signal.SIGKILL))

        def _try_get_data(self):
            raise ConnectionResetError("Connection reset by peer")

    assert run_command("train.py", Lost()._try_get_data, traceback=False) == 2
    line = capsys.readouterr().err.strip()
    assert line.startswith("train.py: a process that reads data was lost (Killed): the machine")


def test_a_connection_that_is_nothing_of_a_loader(capsys):
    def command():
        raise ConnectionResetError(104, "Connection reset by peer")

    assert run_command("train.py", command, traceback=False) == 2
    assert capsys.readouterr().err == "train.py: [Errno 104] Connection reset by peer\n"


def test_the_signal_is_told_where_torch_has_it_in_the_cause_alone(capsys):
    def command() -> None:
        cause = RuntimeError("DataLoader worker (pid 7) is killed by signal: Killed. ")
        raise RuntimeError("DataLoader worker (pid(s) 7) exited unexpectedly") from cause

    assert run_command("train.py", command, traceback=False) == 2
    assert "was lost (Killed): the machine most likely ran out of memory" in capsys.readouterr().err


def test_other_errors_are_left_as_they_are():
    def command() -> None:
        raise RuntimeError("mat1 and mat2 shapes cannot be multiplied")

    with pytest.raises(RuntimeError, match="mat1 and mat2"):
        run_command("train.py", command, traceback=False)
    assert original_message(ValueError("plain: message")) == "plain: message"


class Failing(Dataset):
    def __len__(self) -> int:
        return 4

    def __getitem__(self, index: int) -> int:
        raise ValueError("words.lmdb: no such key; set ValueError: or labelled=False")


def test_the_message_of_a_worker_is_told_without_its_traceback(capsys):
    def command() -> None:
        list(DataLoader(Failing(), num_workers=1, multiprocessing_context="fork"))

    assert run_command("train.py", command, traceback=False) == 2
    assert capsys.readouterr().err == (
        "train.py: words.lmdb: no such key; set ValueError: or labelled=False\n"
    )
