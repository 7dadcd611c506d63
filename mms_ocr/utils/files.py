"""Writing files that are whole or absent."""

from __future__ import annotations

import contextlib
import os
import zlib
from collections.abc import Iterable, Iterator, Sequence
from pathlib import Path

import cv2
import numpy as np

from mms_ocr.utils.escaping import printable

_DEVICES = ("/dev", "/dev/fd", "/proc/self/fd")


def replace(source: str | os.PathLike[str], target: str | os.PathLike[str]) -> None:
    """Rename a finished file or folder; a crash leaves the old or the new target, never a mix.

    The contents of a file are flushed to the disk before the rename, and the rename itself after.
    Flushing the files of a folder is left to the caller.
    """
    source, target = Path(source), Path(target)
    if source.is_file():
        _flush(source)
    os.replace(source, target)
    _flush(target.parent)


@contextlib.contextmanager
def atomic_path(path: str | os.PathLike[str], flush: bool = True) -> Iterator[Path]:
    """Yield a temporary path in the same folder, which replaces ``path`` after the block.

    Where the block raises, the temporary file is removed and ``path`` stays as it is. Links are
    followed. ``flush`` waits for the disk before the file gets its name, against power cuts.
    """
    target = Path(os.path.realpath(path))
    # Not a longer form of the name, which may have the full length already.
    temporary = target.with_name(f".{os.getpid()}.{zlib.crc32(os.fsencode(target.name)):08x}.part")
    try:
        yield temporary
        if flush:
            replace(temporary, target)
        else:
            os.replace(temporary, target)
    except BaseException:
        with contextlib.suppress(OSError):
            temporary.unlink(missing_ok=True)
        raise


def atomic_write(path: str | os.PathLike[str], data: bytes | str, flush: bool = False) -> None:
    """Write a file, whole or not at all, by :func:`atomic_path`; text becomes UTF-8.

    Devices, pipes and ``/dev/stdout`` are written to and not replaced.

    Raises:
        OSError: It cannot be written.
    """
    path = Path(path)
    if isinstance(data, str):
        data = data.encode("utf-8", "surrogateescape")
    try:
        if path.exists() and (not path.is_file() or str(path.absolute().parent) in _DEVICES):
            with open(path, "ab") as stream:
                stream.write(data)
        else:
            with atomic_path(path, flush) as temporary:
                temporary.write_bytes(data)
    except OSError as error:
        raise OSError(f"{path}: cannot be written ({error.strerror})") from error


def write_lines(path: str | os.PathLike[str], lines: Iterable[str]) -> None:
    """Write a list for people, one item a line: control characters within items are escaped."""
    text = "".join(f"{printable(line)}\n" for line in lines)
    atomic_write(path, text.encode("utf-8", "backslashreplace"))


def write_image(
    path: str | os.PathLike[str],
    image: np.ndarray,
    options: Sequence[int] = (),
    source: str | None = None,
) -> None:
    """Write an image file in the format of its suffix, whole or not at all.

    Images are uint8 BGR ``(H, W, 3)``, BGRA ``(H, W, 4)`` or gray ``(H, W)``; ``options`` are those
    of OpenCV's encoder. ``source``, the image from which it was made, is never overwritten.

    Raises:
        ValueError: ``path`` is ``source``, or no image format has its suffix.
        OSError: It cannot be written.
    """
    has_both = source is not None and os.path.exists(source) and os.path.exists(path)
    if has_both and os.path.samefile(path, str(source)):
        raise ValueError(f"{os.fspath(path)} is the input image; choose another output")
    suffix = os.path.splitext(path)[1].lower()
    try:
        _, encoded = cv2.imencode(suffix, image, list(options))
    except cv2.error as error:
        raise ValueError(f"{path}: cannot be written as an image of suffix {suffix!r}") from error
    atomic_write(path, encoded.tobytes())


def _flush(path: Path) -> None:
    """Have the disk store a file's contents, or the names in a folder."""
    is_folder = path.is_dir()
    if is_folder and not hasattr(os, "O_DIRECTORY"):
        return  # Windows cannot open folders
    # Windows only flushes files that are open for writing.
    descriptor = os.open(path, os.O_RDONLY if is_folder else os.O_RDWR)
    try:
        os.fsync(descriptor)
    finally:
        os.close(descriptor)
