"""LMDB files opened read-only, whose changes are noticed before a read beyond their end."""

from __future__ import annotations

import os
from weakref import WeakValueDictionary

import lmdb

from mms_ocr.datasets.sources.base import PUT_BACK, SourceChangedError, open_descriptor, read_at

_META_SIZE = 256  # bytes; header and meta data of a meta page take about 150


class OpenLmdb:
    """One LMDB file, opened read-only."""

    def __init__(self, file: str) -> None:
        self.file = file
        if not os.path.getsize(file):
            raise ValueError(f"LMDB {file!r} is empty (0 bytes); copy or build it again")
        self.environment = lmdb.open(
            os.fsencode(file),
            subdir=False,
            readonly=True,
            lock=False,
            readahead=False,
            create=False,
        )
        self._descriptor = open_descriptor(file)
        # Counted from pages, not from the file: this is what reading relies on. A page beyond the
        # end of the file would kill the process with a bus error.
        pages = self.environment.info()["last_pgno"] + 1
        self._needed = pages * self.environment.stat()["psize"]
        status = os.fstat(self._descriptor)
        if status.st_size < self._needed:
            raise ValueError(
                f"LMDB {file!r} is truncated: it has {status.st_size:,} bytes of {self._needed:,}; "
                "copy or build it again"
            )
        self._modified = status.st_mtime_ns
        #: The two meta pages: each transaction that writes changes one of them.
        self.stamp = self._read_stamp()

    def __del__(self) -> None:
        if hasattr(self, "_descriptor"):
            os.close(self._descriptor)

    def check(self) -> None:
        """Raise SourceChangedError if the file shrank, or was deleted, replaced or written to.

        Asked before a read, or before those of a batch: it takes a microsecond, as long as nothing
        has changed.
        """
        status = os.fstat(self._descriptor)
        if (
            status.st_size >= self._needed
            and status.st_mtime_ns == self._modified
            and status.st_nlink
        ):
            return
        if status.st_size < self._needed:
            raise SourceChangedError(
                f"LMDB {self.file!r} shrank while it was in use: {status.st_size:,} bytes are left "
                f"of {self._needed:,}; {PUT_BACK}"
            )
        if not status.st_nlink:
            raise SourceChangedError(
                f"LMDB {self.file!r} was deleted while it was in use; {PUT_BACK}"
            )
        if self._read_stamp() != self.stamp:
            raise SourceChangedError(
                f"LMDB {self.file!r} was written to while it was in use; {PUT_BACK}"
            )
        self._modified = status.st_mtime_ns  # only its time was changed

    def check_size(self) -> None:
        """Raise SourceChangedError if the file shrank, and look at nothing else.

        Asked before every read within a batch: what is asked, the end of the file, is the cheapest
        of all, a quarter of a microsecond.
        """
        if os.lseek(self._descriptor, 0, os.SEEK_END) < self._needed:
            self.check()

    def _read_stamp(self) -> bytes:
        page = self.environment.stat()["psize"]
        return b"".join(read_at(self._descriptor, _META_SIZE, start) for start in (0, page))


# LMDB forbids to open a file twice in a process, and to use one opened before a fork: so all
# sources of a process share what is open here (by real path, as long as a source holds it), and a
# forked child closes its copies and opens the files anew.
_open_files: WeakValueDictionary[str, OpenLmdb] = WeakValueDictionary()


def _close_after_fork() -> None:
    for opened in list(_open_files.values()):
        opened.environment.close()  # without a lock file, the parent does not notice
    _open_files.clear()


if hasattr(os, "register_at_fork"):  # Windows has no fork
    os.register_at_fork(after_in_child=_close_after_fork)


def open_lmdb(file: str) -> OpenLmdb:
    """Return the open file of a path, shared within the process.

    Raises:
        ValueError: It is no LMDB, or truncated.
        SourceChangedError: It is open already, and has changed since.
    """
    real = os.path.realpath(file)
    opened = _open_files.get(real)
    if opened is not None:
        opened.check()
        return opened
    try:
        opened = OpenLmdb(real)
    except lmdb.Error as error:
        reason = first_line(error).removeprefix(f"{real}: ")
        raise ValueError(f"cannot open {file!r} as an LMDB: {reason}") from error
    _open_files[real] = opened
    return opened


def first_line(error: Exception) -> str:
    """Return the first line of an error's message, which is not empty."""
    return str(error).splitlines()[0]
