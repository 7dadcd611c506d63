"""Data sets that are being written, and the errors of disks."""

from __future__ import annotations

import errno

import lmdb
import pytest

from mms_ocr.utils import writing
from mms_ocr.utils.writing import (
    check_place,
    disk_error,
    lock_folder,
    open_unfinished,
    put_all,
)


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
