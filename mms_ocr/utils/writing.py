"""Writing so that nothing half-written looks whole, and what goes wrong with disks."""

from __future__ import annotations

import contextlib
import errno
import json
import os
import shutil
import zlib
from collections.abc import Iterable, Sequence
from pathlib import Path
from typing import Any

import cv2
import lmdb
import numpy as np

from mms_ocr.utils.escaping import printable

try:
    import fcntl
except ImportError:  # not on Windows
    fcntl = None  # type: ignore[assignment]

_FULL = (errno.ENOSPC, errno.EDQUOT, errno.EFBIG)
_CLOSE_TO_FULL = 1 << 24  # bytes
_DEVICES = ("/dev", "/dev/fd", "/proc/self/fd")
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


def write_file(path: str | os.PathLike[str], data: bytes) -> None:
    """Write a file; only a whole one gets the name, or replaces a file of that name.

    A link is followed. Devices, pipes and ``/dev/stdout`` stay what they are, and are written to.

    Raises:
        OSError: It cannot be written.
    """
    path = Path(path)
    try:
        if path.exists() and (not path.is_file() or str(path.absolute().parent) in _DEVICES):
            with open(path, "ab") as stream:
                stream.write(data)
            return
        # A name of its own: with a longer one, a name that just fits would not.
        real = Path(os.path.realpath(path))
        part = real.with_name(f".{os.getpid()}.{zlib.crc32(os.fsencode(real.name)):08x}.part")
        try:
            part.write_bytes(data)
            os.replace(part, real)
        except BaseException:
            with contextlib.suppress(OSError):
                part.unlink(missing_ok=True)
            raise
    except OSError as error:
        raise OSError(f"{path}: cannot be written ({error.strerror})") from error


def write_lines(path: str | os.PathLike[str], lines: Iterable[str]) -> None:
    """Write a list for people, a line each: line breaks and other controls within are escaped.

    Raises:
        OSError: It cannot be written.
    """
    text = "".join(f"{printable(line)}\n" for line in lines)
    write_file(path, text.encode("utf-8", "backslashreplace"))


def write_image(
    path: str | os.PathLike[str],
    image: np.ndarray,
    options: Sequence[int] = (),
    source: str | None = None,
) -> None:
    """Write an image file whole, in the format of its suffix.

    Args:
        path: The file.
        image: uint8 BGR ``(H, W, 3)``, BGRA ``(H, W, 4)`` or gray ``(H, W)``.
        options: Of OpenCV's encoder.
        source: The image that it was made of, which is never overwritten.

    Raises:
        ValueError: ``path`` is ``source``, or no format of images has its suffix.
        OSError: It cannot be written.
    """
    is_made = source is not None and os.path.exists(source) and os.path.exists(path)
    if is_made and os.path.samefile(path, str(source)):
        raise ValueError(f"{os.fspath(path)} is the image itself; give another place to write to")
    suffix = os.path.splitext(path)[1].lower()
    try:
        _, encoded = cv2.imencode(suffix, image, list(options))
    except cv2.error as error:
        raise ValueError(f"{path}: cannot be written as an image of suffix {suffix!r}") from error
    write_file(path, encoded.tobytes())


def write_json(path: Path, content: Any, indent: int | None = None) -> None:
    """Write JSON that is there whole or not at all."""
    written = path.with_suffix(".new")
    written.write_text(json.dumps(content, indent=indent), encoding="utf-8")
    os.replace(written, path)


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
