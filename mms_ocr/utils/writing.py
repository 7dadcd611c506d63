"""Writing so that nothing half-written looks whole, and what goes wrong with disks."""

from __future__ import annotations

import errno
import json
import os
import shutil
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import lmdb

from mms_ocr.utils.files import replace

try:
    import fcntl
except ImportError:  # not on Windows
    fcntl = None  # type: ignore[assignment]

_FULL = (errno.ENOSPC, errno.EDQUOT, errno.EFBIG)
_CLOSE_TO_FULL = 1 << 24  # bytes
_FIRST_MAP_SIZE = 1 << 26  # of an LMDB; grown in steps, as on some systems it is the file's size


def check_place(path: str | os.PathLike[str], suffixes: Sequence[str] = ()) -> Path:
    """Return the path of a file to be written, if it can be written there.

    Raises:
        ValueError: The suffix is none of ``suffixes``, where there are any.
        OSError: Its folder does not exist or is read-only, or the path is a folder.
    """
    path = Path(path)
    if suffixes and path.suffix.lower() not in suffixes:
        raise ValueError(f"{path}: its name has to end in {', '.join(suffixes)}")
    if path.is_dir() or not path.name:
        raise IsADirectoryError(f"{path} is a folder; give the name of a file")
    if not path.parent.is_dir():
        raise FileNotFoundError(f"{path.parent}: no such folder to write {path.name}")
    if not os.access(path.parent if not path.exists() or path.is_file() else path, os.W_OK):
        raise PermissionError(f"{path} cannot be written: {path.parent} is read-only")
    return path


def write_json(path: Path, content: Any, indent: int | None = None) -> None:
    """Write JSON that is there whole or not at all."""
    written = path.with_suffix(".new")
    written.write_text(json.dumps(content, indent=indent), encoding="utf-8")
    replace(written, path)


def lock_folder(folder: Path, name: str) -> int:
    """Lock a folder for this process by a file in it; closing the descriptor gives it free.

    Windows has no such locks, and does not rename a folder in which a file is open: there, the
    descriptor is of no file in it.

    Raises:
        BlockingIOError: Another process has locked it.
    """
    if fcntl is None:
        return os.open(os.devnull, os.O_RDONLY)
    lock = os.open(folder / name, os.O_RDWR | os.O_CREAT)
    try:
        fcntl.flock(lock, fcntl.LOCK_EX | fcntl.LOCK_NB)
    except BlockingIOError:
        os.close(lock)
        raise BlockingIOError(f"another process is writing into {folder}: wait for it")
    return lock


def open_unfinished(folder: Path) -> lmdb.Environment:
    """Open an LMDB that is being written, or begin one.

    Raises:
        ValueError: What is there is no LMDB.
    """
    try:
        return lmdb.open(os.fsencode(folder), map_size=_FIRST_MAP_SIZE, metasync=False)
    except lmdb.Error as error:
        raise ValueError(f"{folder}: cannot be resumed ({error}); remove it")


def put_all(environment: lmdb.Environment, entries: Sequence[tuple[bytes, bytes]]) -> None:
    """Write entries in one transaction, all of them or none, and let the LMDB grow for them."""
    while True:
        try:
            with environment.begin(write=True) as transaction:
                for key, value in entries:
                    transaction.put(key, value)
            return
        except lmdb.MapFullError:
            environment.set_mapsize(2 * environment.info()["map_size"])


def disk_error(folder: Path, error: OSError | lmdb.Error) -> str:
    """What went wrong with a write into a folder, and how much room is left there."""
    free = shutil.disk_usage(folder).free
    is_full = getattr(error, "errno", None) in _FULL
    # LMDB reports a full disk as any write that failed.
    is_full |= isinstance(error, lmdb.Error) and free < _CLOSE_TO_FULL
    what = getattr(error, "strerror", None) or str(error).splitlines()[0]
    return f"{folder}: {'the disk is full' if is_full else what} ({free / 1e6:.1f} MB are free)"
