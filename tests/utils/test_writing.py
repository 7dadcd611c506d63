"""Files are there whole or not at all, and a full disk is told so."""

from __future__ import annotations

import errno
import os
from pathlib import Path

import cv2
import lmdb
import numpy as np
import pytest

from mms_ocr.utils import writing
from mms_ocr.utils.writing import (
    check_place,
    disk_error,
    lock_folder,
    open_unfinished,
    put_all,
    write_file,
    write_image,
)


def test_a_file_is_replaced_only_by_a_whole_one(tmp_path, monkeypatch):
    path = tmp_path / "list.jsonl"
    write_file(path, b"first")
    write_file(path, b"second")
    assert path.read_bytes() == b"second"

    def full(self: Path, data: bytes) -> None:
        self.touch()
        raise OSError(errno.ENOSPC, "No space left on device")

    monkeypatch.setattr(Path, "write_bytes", full)
    with pytest.raises(OSError, match=r"list\.jsonl: cannot be written \(No space left on device"):
        write_file(path, b"third")
    assert path.read_bytes() == b"second"
    assert [file.name for file in tmp_path.iterdir()] == ["list.jsonl"]


def test_places_are_checked_before_the_work(tmp_path):
    assert check_place(tmp_path / "a.png", (".png",)) == tmp_path / "a.png"
    with pytest.raises(ValueError, match=r"a\.gif: its name has to end in \.png, \.svg"):
        check_place(tmp_path / "a.gif", (".png", ".svg"))
    with pytest.raises(IsADirectoryError, match="is a folder"):
        check_place(tmp_path)
    with pytest.raises(FileNotFoundError, match=r"nowhere: no such folder to write a\.png"):
        check_place(tmp_path / "nowhere" / "a.png")


@pytest.mark.parametrize(
    ("error", "free", "said"),
    [
        (OSError(errno.ENOSPC, "No space left on device"), 1 << 40, "the disk is full"),
        (OSError(errno.EDQUOT, "Disk quota exceeded"), 1 << 40, "the disk is full"),
        (OSError(errno.EACCES, "Permission denied"), 0, "Permission denied"),
        (lmdb.Error("mdb_txn_commit: Input/output error"), 1000, "the disk is full"),
        (lmdb.Error("mdb_txn_commit: Input/output error"), 1 << 40, "mdb_txn_commit: Input/output"),
    ],
)
def test_a_full_disk_is_named_so(tmp_path, monkeypatch, error, free, said):
    usage = type("Usage", (), {"free": free})
    monkeypatch.setattr(writing.shutil, "disk_usage", lambda folder: usage)
    assert disk_error(tmp_path, error).startswith(f"{tmp_path}: {said}")
    assert disk_error(tmp_path, error).endswith(f" ({free / 1e6:.1f} MB are free)")


def test_an_lmdb_grows_for_what_is_put_into_it(tmp_path, monkeypatch):
    monkeypatch.setattr(writing, "_FIRST_MAP_SIZE", 1 << 16)
    (tmp_path / "a").mkdir()
    with open_unfinished(tmp_path / "a") as environment:
        put_all(environment, [(b"%d" % number, bytes(5000)) for number in range(100)])
        assert environment.stat()["entries"] == 100
    (tmp_path / "a" / "data.mdb").write_bytes(b"x" * 10_000)
    with pytest.raises(ValueError, match=r"a: cannot be resumed \(.*\); remove it"):
        open_unfinished(tmp_path / "a")


def test_a_folder_is_locked_once(tmp_path):
    lock = lock_folder(tmp_path, "lock")
    with pytest.raises(BlockingIOError, match="another process is writing into"):
        lock_folder(tmp_path, "lock")
    writing.os.close(lock)
    writing.os.close(lock_folder(tmp_path, "lock"))


def test_a_file_may_have_the_longest_name_and_any_bytes(tmp_path):
    for name in (b"a" * 255, b"caf\xe9.txt", "é".encode() * 127):
        path = Path(os.fsdecode(os.fsencode(tmp_path) + b"/" + name))
        write_file(path, b"data")
        assert path.read_bytes() == b"data"
    assert len(list(tmp_path.iterdir())) == 3


def test_links_are_followed_and_devices_stay(tmp_path):
    (tmp_path / "file").write_bytes(b"old")
    (tmp_path / "link").symlink_to(tmp_path / "file")
    write_file(tmp_path / "link", b"new")
    assert (tmp_path / "link").is_symlink()
    assert (tmp_path / "file").read_bytes() == b"new"
    os.mkfifo(tmp_path / "pipe")
    end = os.open(tmp_path / "pipe", os.O_RDONLY | os.O_NONBLOCK)
    write_file(tmp_path / "pipe", b"data")
    assert os.read(end, 9) == b"data"
    os.close(end)
    write_file("/dev/null", b"data")
    assert Path("/dev/null").is_char_device()


def test_images_are_written_by_bytes(tmp_path):
    image = np.random.default_rng(0).integers(0, 256, (9, 7, 4), np.uint8)
    path = tmp_path / os.fsdecode(b"caf\xe9.png")
    for pixels in (image, image[:, :, :3], image[:, :, 0]):
        write_image(path, pixels)
        encoded = np.frombuffer(path.read_bytes(), np.uint8)
        np.testing.assert_array_equal(cv2.imdecode(encoded, cv2.IMREAD_UNCHANGED), pixels)
    with pytest.raises(ValueError, match="is the image itself"):
        write_image(path, image, source=f"{tmp_path}/../{tmp_path.name}/{path.name}")
    assert path.read_bytes() == encoded.tobytes()
    for name in ("a.txt", "a", "a.pdf"):
        with pytest.raises(ValueError, match="cannot be written as an image of suffix"):
            write_image(tmp_path / name, image)
    with pytest.raises(OSError, match=r"a\.png: cannot be written"):
        write_image(tmp_path / "nowhere" / "a.png", image)
