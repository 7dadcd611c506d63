"""Files that are whole or absent, and checkpoints that carry their own checksum.

A sealed checkpoint is what ``torch.save`` wrote, with a comment of the zip format at its end: the
SHA-256 of the file as it was written, the time, and a checksum of the comment itself. Every reader
of zip files and checkpoints passes over it. A checkpoint of several files (one for each rank) is a
folder of sealed ones.
"""

from __future__ import annotations

import hashlib
import os
import re
import shutil
import time
import zipfile
import zlib
from pathlib import Path

_SEAL_FORM = re.compile(rb"(mms_ocr sha256=([0-9a-f]{64}) saved=([0-9]{20})) crc32=([0-9a-f]{8})")
_SEAL_LENGTH = len("mms_ocr sha256= saved= crc32=") + 64 + 20 + 8
# The record that ends a zip file; its last two bytes are the length of the comment after it.
_END_RECORD, _END_LENGTH = b"PK\x05\x06", 22
_FILES = "files.txt"
_CHUNK = 1 << 20


class DamagedCheckpointError(ValueError):
    """A checkpoint is not what was written; the message names the file and the fault."""


def seal(path: str | os.PathLike[str]) -> None:
    """Add the checksum and the time to a checkpoint, and to each file of one that is a folder.

    Raises:
        DamagedCheckpointError: It is no whole zip file.
    """
    path = Path(path)
    if path.is_dir():
        names = sorted(file.name for file in path.iterdir())
        for name in names:
            seal(path / name)
        write_whole(path / _FILES, "\n".join(names) + "\n")
        return
    digest = hashlib.sha256()
    with path.open("rb+") as file:
        last = b""
        while chunk := file.read(_CHUNK):
            digest.update(chunk)
            last = (last + chunk)[-_END_LENGTH:]
        if last[:4] != _END_RECORD or last[-2:] != b"\0\0":
            raise DamagedCheckpointError(f"{path} is damaged: torch did not write all of it")
        text = b"mms_ocr sha256=%s saved=%020d" % (digest.hexdigest().encode(), time.time_ns())
        file.seek(-2, os.SEEK_END)
        file.write(_SEAL_LENGTH.to_bytes(2, "little"))
        file.write(text + b" crc32=%08x" % zlib.crc32(text))


def check_seal(path: str | os.PathLike[str]) -> None:
    """Make sure that a checkpoint is what was written.

    A file without a seal is taken if it is a zip file that holds to its own checksums, or of
    torch's older formats, which have none.

    Raises:
        FileNotFoundError: There is no such file.
        DamagedCheckpointError: It is empty, truncated or changed.
    """
    path = Path(path)
    if path.is_dir():
        _check_folder(path)
        return
    size = path.stat().st_size
    if size == 0:
        raise DamagedCheckpointError(f"{path} is damaged: it is empty")
    found = _read_seal(path)
    if found is None:
        _check_unsealed(path)
        return
    digest = hashlib.sha256()
    left = size - _SEAL_LENGTH - 2
    with path.open("rb") as file:
        while left > 0 and (chunk := file.read(min(left, _CHUNK))):
            digest.update(chunk)
            left -= len(chunk)
    digest.update(b"\0\0")  # the comment's length as it was before the seal
    if digest.hexdigest() != found[0]:
        raise DamagedCheckpointError(
            f"{path} is damaged: its checksum is not the one it was written with"
        )


def saved_at(path: str | os.PathLike[str]) -> int:
    """When a checkpoint was saved, in nanoseconds; from its seal, or else from the file system.

    Copying a file does not change what its seal says.
    """
    path = Path(path)
    first = path / "rank0.pth" if path.is_dir() else path
    found = _read_seal(first) if first.is_file() else None
    return path.stat().st_mtime_ns if found is None else found[1]


def put_in_place(temporary: str | os.PathLike[str], path: str | os.PathLike[str]) -> None:
    """Give a finished file or folder its name, so that a crash leaves the old or the new one."""
    temporary, path = Path(temporary), Path(path)
    for file in temporary.iterdir() if temporary.is_dir() else [temporary]:
        _flush(file)
    if path.is_dir():
        # A folder can be replaced by none but an empty one.
        remove(path)
    os.replace(temporary, path)
    _flush(path.parent)


def write_whole(path: str | os.PathLike[str], text: str) -> None:
    """Write a small text file so that a reader sees the old text or the new one."""
    path = Path(path)
    temporary = path.with_name(f".{path.name}.saving")
    try:
        temporary.write_bytes(text.encode("utf-8", "surrogateescape"))
        put_in_place(temporary, path)
    except OSError:
        remove(temporary)
        raise


def remove(path: str | os.PathLike[str]) -> None:
    """Delete a file or folder, if it is there."""
    path = Path(path)
    if path.is_dir() and not path.is_symlink():
        shutil.rmtree(path)
    else:
        path.unlink(missing_ok=True)


def _flush(path: Path) -> None:
    """Have the disk hold what was written to a file, or which names a folder has."""
    is_folder = path.is_dir()
    if is_folder and not hasattr(os, "O_DIRECTORY"):
        return  # Windows opens no folder
    descriptor = os.open(path, os.O_RDONLY if is_folder else os.O_RDWR)  # Windows flushes no other
    try:
        os.fsync(descriptor)
    finally:
        os.close(descriptor)


def _read_seal(path: Path) -> tuple[str, int] | None:
    """Checksum and time of the seal, or None where there is none."""
    with path.open("rb") as file:
        size = file.seek(0, os.SEEK_END)
        file.seek(max(0, size - _SEAL_LENGTH - 2))
        end = file.read()
    found = _SEAL_FORM.fullmatch(end[2:])
    if found is None or end[:2] != _SEAL_LENGTH.to_bytes(2, "little"):
        return None
    if zlib.crc32(found[1]) != int(found[4], 16):
        return None
    return found[2].decode(), int(found[3])


def _check_unsealed(path: Path) -> None:
    with path.open("rb") as file:
        if file.read(2) != b"PK":
            return
        file.seek(max(0, path.stat().st_size - _END_LENGTH))
        last = file.read()
    try:
        with zipfile.ZipFile(path) as archive:
            # Anything after the last record would be what is left of a seal.
            whole = last[:4] == _END_RECORD and last[-2:] == b"\0\0"
            broken = archive.testzip() if whole else "its end"
    except (zipfile.BadZipFile, EOFError, NotImplementedError, ValueError, OSError) as error:
        raise DamagedCheckpointError(
            f"{path} is damaged: it is truncated or was changed ({error})"
        ) from error
    if broken is not None:
        raise DamagedCheckpointError(f"{path} is damaged: {broken} does not fit its checksum")


def _check_folder(path: Path) -> None:
    listing = path / _FILES
    if not listing.is_file():
        raise DamagedCheckpointError(f"{path} is damaged: not all of its files were written")
    for name in listing.read_text(encoding="utf-8").split():
        if not (path / name).is_file():
            raise DamagedCheckpointError(f"{path} is damaged: it lacks {name}")
        check_seal(path / name)
