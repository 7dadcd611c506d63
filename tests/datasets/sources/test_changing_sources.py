"""Sources that shrink, vanish or are rewritten while they are in use."""

from __future__ import annotations

import multiprocessing
import os
import pickle
from pathlib import Path
from weakref import WeakSet

import lmdb
import pytest
from made_images import encode, lmdb_entries, word_pixels, write_lmdb

from mms_ocr.datasets.sources import (
    BrokenImageError,
    SourceChangedError,
    base,
    check_sources,
    open_source,
)

IMAGES = [encode(word_pixels(number)) for number in range(7)]


def one_line(error) -> str:
    message = str(error.value)
    assert "\n" not in message
    return message


def test_lmdb_that_shrinks_while_in_use(tmp_path):
    path = write_lmdb(tmp_path / "words.lmdb", lmdb_entries(IMAGES * 20))
    source = open_source(path)
    source.read(0)
    os.truncate(path / "data.mdb", 8192)
    with pytest.raises(SourceChangedError, match="shrank while it was in use"):
        source.read(100)


def test_lmdb_that_vanishes_while_in_use(make_source):
    path = make_source("lmdb", IMAGES)
    source = open_source(path)
    copy = pickle.dumps(source)
    (path / "data.mdb").unlink()
    with pytest.raises(SourceChangedError, match="deleted while it was in use"):
        source.read(0)
    del source
    with pytest.raises(SourceChangedError, match="vanished while it was in use"):
        pickle.loads(copy).read(0)


def test_lmdb_that_is_rewritten_between_processes(make_source):
    path = make_source("lmdb", IMAGES)
    source = open_source(path)
    copy = pickle.dumps(source)
    del source
    (path / "data.mdb").rename(path / "old")
    write_lmdb(path, lmdb_entries(IMAGES[:3]))
    with pytest.raises(SourceChangedError, match="was rewritten while it was in use"):
        pickle.loads(copy).read(0)
    os.truncate(path / "data.mdb", 8192)
    with pytest.raises(SourceChangedError, match=r"changed while it was in use: .* truncated"):
        pickle.loads(copy).read(0)


@pytest.mark.parametrize("kind", ["folder", "jsonl"])
def test_files_that_vanish_while_in_use(make_source, kind):
    path = make_source(kind, IMAGES)
    source = open_source(path)
    os.unlink(source.name(1))
    with pytest.raises(BrokenImageError, match="No such file") as error:
        source.read(1)
    one_line(error)
    source.read(2)
    root = path if kind == "folder" else path.parent
    os.rename(root, str(root) + "-gone")
    with pytest.raises(SourceChangedError, match="vanished"):
        source.read(2)


def test_annotations_that_shrink_or_change_while_in_use(make_source, next_tick):
    path = make_source("jsonl", IMAGES * 10)
    source, copy = open_source(path), pickle.dumps(open_source(path))
    source.read(0)
    other = path.read_text().replace("1.png", "2.png")
    next_tick()  # only the file's time tells: its length is the same
    path.write_text(other)
    for changed in (source, pickle.loads(copy)):
        with pytest.raises(SourceChangedError, match=r"was rewritten .*; put it back") as error:
            changed.read(0)
        assert str(path) in one_line(error)
    os.truncate(path, 60)
    for changed in (source, pickle.loads(copy)):
        with pytest.raises(SourceChangedError, match="shrank while it was in use"):
            changed.read(69)
        with pytest.raises(SourceChangedError, match="shrank while it was in use"):
            changed.check()
    path.unlink()
    for changed in (source, pickle.loads(copy)):
        with pytest.raises(SourceChangedError, match="vanished while it was in use"):
            changed.check()


@pytest.mark.parametrize("kind", ["folder", "jsonl"])
def test_images_that_vanish_all_at_once_are_told_at_once(make_source, kind):
    path = make_source(kind, IMAGES)
    source = open_source(path)
    source.check()
    root = path if kind == "folder" else path.parent
    for image in root.rglob("*.png"):
        image.unlink()
    message = r"the images in .* vanished while they were in use .* put it back as it was"
    with pytest.raises(SourceChangedError, match=message) as error:
        source.read(1)
    assert str(root) in one_line(error)
    with pytest.raises(SourceChangedError, match=message):
        source.check()


def test_images_that_were_never_there_are_broken(tmp_path):
    path = tmp_path / "words.jsonl"
    path.write_text('{"filename": "a.png"}\n' * 5)
    with pytest.raises(BrokenImageError, match=r"a\.png: No such file"):
        open_source(path).read(1)


def add_an_image(path: Path) -> None:
    with lmdb.open(str(path), map_size=1 << 28) as file, file.begin(write=True) as transaction:
        transaction.put(b"image-000000008", IMAGES[0])


def test_lmdb_that_another_process_writes_to_while_in_use(make_source):
    path = make_source("lmdb", IMAGES)
    source = open_source(path)
    source.read(0)
    before = os.stat(path / "data.mdb")
    os.utime(path / "data.mdb", ns=(0, before.st_mtime_ns + 10**9))
    assert source.read(1).data == IMAGES[1]  # the same file: only its time is another
    process = multiprocessing.get_context("fork").Process(target=add_an_image, args=(path,))
    process.start()
    process.join()
    message = "was written to while it was in use; put it back"
    with pytest.raises(SourceChangedError, match=message):
        source.read(0)
    with pytest.raises(SourceChangedError, match=message):
        source.check()
    copy = pickle.dumps(source)
    del source
    with pytest.raises(SourceChangedError, match="was rewritten while it was in use"):
        pickle.loads(copy).read(0)


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


def test_all_sources_of_the_process_are_looked_at(make_source, monkeypatch):
    monkeypatch.setattr(base, "_alive", WeakSet())  # without those that other tests left behind
    lmdb_path, folder = make_source("lmdb", IMAGES), make_source("folder", IMAGES, name="b")
    sources = [open_source(lmdb_path), open_source(folder)]
    check_sources()
    os.truncate(lmdb_path / "data.mdb", 8192)
    with pytest.raises(SourceChangedError, match="shrank"):
        check_sources()
    del sources[0]
    check_sources()
    os.rename(folder, str(folder) + "-gone")
    with pytest.raises(SourceChangedError, match="vanished"):
        check_sources()
