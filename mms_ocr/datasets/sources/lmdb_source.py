"""Images in an LMDB with the keys of the field: ``num-samples``, ``image-%09d``, ``label-%09d``."""

from __future__ import annotations

import contextlib
import os
import re
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from typing import Any
from weakref import WeakValueDictionary

import lmdb

from mms_ocr.datasets.sources.base import (
    PUT_BACK,
    BrokenImageError,
    ImageSource,
    RawImage,
    SourceChangedError,
    open_descriptor,
    read_at,
    warn,
)

_META_SIZE = 256  # bytes; header and meta data of a meta page take about 150
_COUNT = re.compile(rb"\s*\+?(\d{1,18})[\s\0]*")


class _OpenFile:
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
_open_files: WeakValueDictionary[str, _OpenFile] = WeakValueDictionary()


def _close_after_fork() -> None:
    for opened in list(_open_files.values()):
        opened.environment.close()  # without a lock file, the parent does not notice
    _open_files.clear()


if hasattr(os, "register_at_fork"):  # Windows has no fork
    os.register_at_fork(after_in_child=_close_after_fork)


def _open(file: str) -> _OpenFile:
    """The open file for a path, shared within the process.

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
        opened = _OpenFile(real)
    except lmdb.Error as error:
        reason = _reason(error).removeprefix(f"{real}: ")
        raise ValueError(f"cannot open {file!r} as an LMDB: {reason}") from error
    _open_files[real] = opened
    return opened


def _reason(error: Exception) -> str:
    return str(error).splitlines()[0]


class LmdbSource(ImageSource):
    """Images in one LMDB: a folder that holds ``data.mdb``, or a single file.

    Args:
        path: The folder or file.
        image_key: Key of an image; numbered from 1.
        label_key: Key of a label; numbered from 1.

    Raises:
        FileNotFoundError: There is no such file.
        ValueError: It is no LMDB, is truncated or corrupt, or lacks ``num-samples`` or its last
            image.
    """

    kind = "LMDB"

    def __init__(
        self, path: str, image_key: str = "image-%09d", label_key: str = "label-%09d"
    ) -> None:
        super().__init__(path)
        self.image_key = image_key
        self.label_key = label_key
        self._file = os.path.join(path, "data.mdb") if os.path.isdir(path) else path
        if not os.path.isfile(self._file):
            raise FileNotFoundError(f"there is no LMDB at {path!r}: no file {self._file!r}")
        self._handle: _OpenFile | None = None
        self._handle_process = 0
        self._length = 0
        self._length = self._read_length()
        self._stamp = self._opened().stamp

    def __len__(self) -> int:
        return self._length

    def __getstate__(self) -> dict[str, Any]:
        return {**self.__dict__, "_handle": None, "_handle_process": 0}

    def name(self, index: int) -> str:
        """Path of the LMDB and key of the image: ``words.lmdb:image-000000001``."""
        return f"{self.path}:{self.image_key % (index + 1)}"

    def read(self, index: int, labelled: bool = False) -> RawImage:
        """See :meth:`ImageSource.read`."""
        opened = self._opened()
        opened.check()
        try:
            with opened.environment.begin() as transaction:
                return self._read(transaction, index, labelled)
        except lmdb.Error as error:
            raise BrokenImageError(f"{self.name(index)}: {_reason(error)}") from error

    @contextmanager
    def reading(self, labelled: bool = False) -> Iterator[Callable[[int], RawImage]]:
        """See :meth:`ImageSource.reading`: one transaction, one full check for all."""
        opened = self._opened()
        opened.check()
        transaction = opened.environment.begin()

        def read(index: int) -> RawImage:
            nonlocal transaction
            opened.check_size()
            try:
                return self._read(transaction, index, labelled)
            except lmdb.Error as error:
                # LMDB gives up a transaction that met a damaged page.
                transaction.abort()
                transaction = opened.environment.begin()
                raise BrokenImageError(f"{self.name(index)}: {_reason(error)}") from error

        try:
            yield read
        finally:
            transaction.abort()

    def _read(self, transaction: lmdb.Transaction[bytes], index: int, labelled: bool) -> RawImage:
        if not 0 <= index < self._length:
            raise IndexError(f"index {index} outside [0, {self._length})")
        text = None
        image_key = self.image_key % (index + 1)
        data = transaction.get(image_key.encode())
        if labelled:
            label = transaction.get((self.label_key % (index + 1)).encode())
        if data is None:
            raise BrokenImageError(f"{self.name(index)}: the key is missing")
        if not data:
            raise BrokenImageError(f"{self.name(index)}: the value is empty")
        if labelled:
            if label is None:
                missing = self.label_key % (index + 1)
                raise BrokenImageError(f"{self.path}:{missing}: the key is missing")
            try:
                text = label.decode()
            except UnicodeDecodeError:
                raise BrokenImageError(f"{self.name(index)}: its label is no UTF-8")
        return RawImage(data, f"{self.path}:{image_key}", text)

    def check(self) -> None:
        """See :meth:`ImageSource.check`."""
        if not os.path.isfile(self._file):
            raise SourceChangedError(self._vanished())
        self._opened().check()

    def has(self, key: str) -> bool:
        """Whether the LMDB has an entry of this key."""
        return self._get(key) is not None

    def check_labels(self) -> None:
        """See :meth:`ImageSource.check_labels`; looks for the first label."""
        if not self.has(self.label_key % 1):
            raise ValueError(
                f"LMDB {self.path!r} has no labels (no key {self.label_key % 1!r}): "
                "set labelled=False to use its images without them"
            )

    def has_labels(self) -> bool:
        """See :meth:`ImageSource.has_labels`."""
        begins = self.label_key.partition("%")[0].encode()
        try:
            with self._opened().environment.begin() as transaction:
                cursor = transaction.cursor()
                return cursor.set_range(begins) and cursor.key().startswith(begins)
        except lmdb.Error as error:
            raise ValueError(f"LMDB {self.path!r} is corrupt: {_reason(error)}") from error

    def _opened(self) -> _OpenFile:
        process = os.getpid()
        if self._handle is None or self._handle_process != process:
            self._handle = self._reopen() if self._length else _open(self._file)
            self._handle_process = process
        return self._handle

    def _reopen(self) -> _OpenFile:
        """Open the file in another process; it has to be what it was when the source was made."""
        if not os.path.isfile(self._file):
            raise SourceChangedError(self._vanished())
        try:
            opened = _open(self._file)
            with opened.environment.begin() as transaction:
                length = transaction.get(b"num-samples")
        except (ValueError, lmdb.Error) as error:
            reason = f"changed while it was in use: {_reason(error)}; {PUT_BACK}"
            raise SourceChangedError(reason) from error
        if length is None or _parse_count(length) != self._length:
            raise SourceChangedError(
                f"LMDB {self.path!r} was rewritten while it was in use: 'num-samples' is {length!r}"
                f", and was {self._length}; {PUT_BACK}"
            )
        if opened.stamp != self._stamp:
            raise SourceChangedError(
                f"LMDB {self.path!r} was rewritten while it was in use; {PUT_BACK}"
            )
        return opened

    def _vanished(self) -> str:
        return f"LMDB {self.path!r} vanished while it was in use; {PUT_BACK}"

    def _get(self, key: str) -> bytes | None:
        try:
            with self._opened().environment.begin() as transaction:
                value: bytes | None = transaction.get(key.encode())
        except lmdb.Error as error:
            raise ValueError(f"LMDB {self.path!r} is corrupt: {_reason(error)}") from error
        return value

    def _read_length(self) -> int:
        value = self._get("num-samples")
        if value is None:
            raise ValueError(
                f"LMDB {self.path!r} has no key 'num-samples': it was not built for text images, "
                "or not to the end"
            )
        length = _parse_count(value)
        if not length:
            raise ValueError(
                f"LMDB {self.path!r}: 'num-samples' is {value[:40]!r}, and not a positive number"
            )
        if not self.has(self.image_key % length):
            raise ValueError(
                f"LMDB {self.path!r}: 'num-samples' is {length}, but there is no key "
                f"{self.image_key % length!r}{self._describe_keys()}"
            )
        for number in (0, length + 1):
            if self.has(self.image_key % number):
                warn(
                    f"LMDB {self.path!r}: 'num-samples' is {length}, so images 1 to {length} are "
                    f"read; {self.image_key % number!r} and any like it are not"
                )
        return length

    def _describe_keys(self) -> str:
        """Which keys of images there are, for messages; empty where there are none."""
        with contextlib.suppress(lmdb.Error), self._opened().environment.begin() as transaction:
            cursor = transaction.cursor()
            if cursor.set_range(b"image") and cursor.key().startswith(b"image"):
                first = cursor.key()[:40].decode("utf-8", "replace")
                return f"; the first key of an image is {first!r}, and they are numbered from 1"
        return ""


def _parse_count(value: bytes) -> int | None:
    """The number that ``num-samples`` holds, with zeros or white space around it; None for none."""
    count = _COUNT.fullmatch(value)
    return None if count is None else int(count[1])
