"""Sources that shrink, vanish or are rewritten while they are in use: never wrong pixels."""

from __future__ import annotations

import multiprocessing
import os
import pickle
import shutil
import subprocess
import sys
from pathlib import Path

import pytest
from made_images import encode, lmdb_entries, word_pixels, write_lmdb
from torch.utils.data import DataLoader

from mms_ocr.datasets import EndlessSampler, WordImageDataset
from mms_ocr.datasets.broken import TooManyBrokenError
from mms_ocr.datasets.sources import BrokenImageError, open_masked, open_source

IMAGES = [encode(word_pixels(number)) for number in range(7)]


def file_of(path: Path) -> Path:
    return path / "data.mdb" if path.is_dir() else path


# In a process of its own: LMDB forbids opening a file twice in one.
_REWRITE_LMDB = """
import lmdb, sys
with lmdb.open(sys.argv[1], map_size=1 << 28) as file, file.begin(write=True) as transaction:
    for key, value in list(transaction.cursor()):
        transaction.put(key, value[:-1] + b"x")
"""


def rewrite(path: Path) -> None:
    """Write other words of the same length into the same file."""
    if path.is_dir():
        subprocess.run([sys.executable, "-c", _REWRITE_LMDB, path], check=True)
    else:
        path.write_text(path.read_text().replace("1.png", "2.png"))


def shorten(path: Path) -> None:
    os.truncate(file_of(path), os.path.getsize(file_of(path)) // 2)


@pytest.mark.parametrize("change", [rewrite, shorten])
@pytest.mark.parametrize("kind", ["lmdb", "jsonl"])
def test_changed_file_raises_with_its_name(make_source, next_tick, kind, change):
    path = make_source(kind, IMAGES * (20 if change == shorten else 1))
    source = open_source(path)
    copy = pickle.dumps(source)
    source.read(0)
    next_tick()
    change(path)
    with pytest.raises(OSError, match="changed while it was in use") as error:
        source.read(1)
    assert str(file_of(path)) in str(error.value)
    assert "\n" not in str(error.value)
    del source
    with pytest.raises((OSError, ValueError), match=r"changed while it was in use|truncated"):
        pickle.loads(copy).read(1)


@pytest.mark.parametrize("kind", ["lmdb", "jsonl"])
def test_a_file_that_another_one_replaced(make_source, next_tick, kind):
    path = make_source(kind, IMAGES)
    source = open_source(path)
    copy = pickle.dumps(source)
    next_tick()
    file_of(path).rename(file_of(path).with_suffix(".old"))
    if kind == "lmdb":
        del source
        write_lmdb(path, lmdb_entries(IMAGES[:3]))
    else:
        path.write_text('{"filename": "other.png"}\n')
    with pytest.raises(OSError, match="changed while it was in use"):
        pickle.loads(copy).read(0)


def test_another_lmdb_at_the_path_of_one_in_use(tmp_path):
    path = write_lmdb(tmp_path / "words.lmdb", lmdb_entries(IMAGES))
    source = open_source(path)
    os.replace(
        write_lmdb(tmp_path / "new.lmdb", lmdb_entries(IMAGES[:3])) / "data.mdb", file_of(path)
    )
    assert source.read(0).data == IMAGES[0]
    with pytest.raises(OSError, match="changed while it was in use"):
        open_source(path)


def test_a_mask_is_never_read_for_another_image(tmp_path, next_tick):
    entries = lmdb_entries(IMAGES)
    entries |= {f"mask-{number:09d}": IMAGES[number - 1] for number in range(1, 8)}
    path = write_lmdb(tmp_path / "words.lmdb", entries)
    source = open_masked(path)
    source.read(0)
    next_tick()
    rewrite(path)
    with pytest.raises(OSError, match="changed while it was in use"):
        source.read_second(0)


@pytest.mark.parametrize("kind", ["lmdb", "jsonl"])
def test_loader_workers_report_a_change(make_source, next_tick, kind):
    path = make_source(kind, IMAGES * 20)
    dataset = WordImageDataset(path, [dict(type="mms_ocr.ResizeWordImage")])
    loader = DataLoader(
        dataset, 2, EndlessSampler(dataset), num_workers=1, collate_fn=len, prefetch_factor=1
    )
    batches = iter(loader)
    next(batches)
    next_tick()
    shorten(path)
    with pytest.raises(OSError, match="changed while it was in use"):
        list(batches)


@pytest.mark.parametrize("kind", ["folder", "jsonl"])
def test_removed_images_are_broken(make_source, kind):
    path = make_source(kind, IMAGES)
    dataset = WordImageDataset(path)
    root = path if kind == "folder" else path.parent
    os.unlink(dataset.image_name(1))
    with pytest.raises(BrokenImageError, match="No such file") as error:
        dataset.load(1)
    assert "\n" not in str(error.value)
    for entry in root.iterdir():
        if entry != path:
            shutil.rmtree(entry) if entry.is_dir() else entry.unlink()
    with pytest.raises(TooManyBrokenError, match="No such file"):
        dataset[2]


def read_in_turn(path: Path, results) -> None:
    results.put([open_source(path).read(index).data for index in range(7)])


def test_lmdb_that_several_processes_read(make_source):
    path = make_source("lmdb", IMAGES)
    source = open_source(path)
    source.read(0)
    context = multiprocessing.get_context("fork")
    results = context.Queue()
    processes = [context.Process(target=read_in_turn, args=(path, results)) for _ in range(2)]
    for process in processes:
        process.start()
    read = [results.get(timeout=60) for _ in processes]
    for process in processes:
        process.join()
    assert read == [IMAGES, IMAGES]
    assert source.read(6).data == IMAGES[6]
