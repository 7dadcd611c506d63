"""Images in an LMDB with the keys of the field: ``num-samples``, ``image-%09d``, ``label-%09d``."""

from __future__ import annotations

import os
import re
from typing import Any
from weakref import WeakValueDictionary

import lmdb

from mms_ocr.datasets.sources.base import ImageSource, RawImage, check_unchanged, file_state
from mms_ocr.utils.errors import BrokenImageError, warn

#: Key of the boxes of a word's characters, as JSON.
BOXES_KEY = b"boxes-%09d"
_FIELDS = {"label": "text", "boxes": "char_boxes"}  # by the keys
_COUNT = re.compile(rb"\s*\+?(\d{1,18})[\s\0]*")


class LmdbSource(ImageSource):
    """Images in one LMDB, which must not change while it is in use.

    Args:
        path: A folder with ``data.mdb`` in it, or a single file.
        image_key: Key of an image; numbered from 1.
        label_key: Key of a label; numbered from 1.

    Raises:
        FileNotFoundError: The file does not exist.
        ValueError: It is no LMDB, truncated or corrupt, or lacks ``num-samples`` or its last image.
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
        self._state = file_state(self._file)
        self._handle: _OpenLmdb | None = None
        self._length = self._read_length()

    def __len__(self) -> int:
        return self._length

    def __getstate__(self) -> dict[str, Any]:
        return {**self.__dict__, "_handle": None}

    def name(self, index: int) -> str:
        """Return path of the LMDB and key of the image: ``words.lmdb:image-000000001``."""
        return f"{self.path}:{self.image_key % (index + 1)}"

    def read(self, index: int, labelled: bool = False) -> RawImage:
        """See :meth:`ImageSource.read`."""
        if not 0 <= index < self._length:
            raise IndexError(f"index {index} is outside [0, {self._length})")
        image_key = self.image_key % (index + 1)
        name = f"{self.path}:{image_key}"
        label = boxes = None
        try:
            with self._environment().begin() as transaction:
                data = transaction.get(image_key.encode())
                if labelled:
                    label_key = self.label_key % (index + 1)
                    label = transaction.get(label_key.encode())
                    boxes = transaction.get(BOXES_KEY % (index + 1))
        except lmdb.Error as error:
            raise BrokenImageError(f"{name}: {_first_line(error)}") from error
        if not data:
            problem = "the key is missing" if data is None else "the value is empty"
            raise BrokenImageError(f"{name}: {problem}")
        if not labelled:
            return RawImage(data, name, None)
        if label is None:
            raise BrokenImageError(f"{self.path}:{label_key}: the key is missing")
        try:
            return RawImage(data, name, label.decode(), boxes)
        except UnicodeDecodeError:
            raise BrokenImageError(f"{name}: its label is not UTF-8")

    def has(self, key: str) -> bool:
        """Return whether the LMDB has an entry of this key."""
        entry = self._first(key)
        return entry is not None and entry[0] == key.encode()

    def has_kind(self, kind: str) -> bool:
        """Return whether any key is ``KIND-…``, such as those of masks: ``mask-000000001``."""
        return self._first(f"{kind}-") is not None

    def fields(self) -> set[str]:
        """Return what the numbered keys begin with: ``image`` for ``image-000000001``.

        See :meth:`ImageSource.fields`; the names of labels and boxes are those of JSON lines.
        """
        kinds, key = set(), b"\0"
        while entry := self._next(key):
            kind, hyphen, number = entry[0].rpartition(b"-")
            if hyphen and number.isdigit():
                kinds.add(kind.decode("utf-8", "replace"))
            # The key behind all numbers of this kind, or behind this one.
            key = kind + b"-:" if hyphen and number.isdigit() else entry[0] + b"\0"
        return {_FIELDS.get(kind, kind) for kind in kinds}

    def check_labels(self) -> None:
        """See :meth:`ImageSource.check_labels`."""
        if self._first(self.label_key.partition("%")[0]) is None:
            raise ValueError(
                f"LMDB {self.path!r} has no labels (no key like {self.label_key % 1!r}): "
                "set labelled=False to use its images without labels"
            )

    def _environment(self) -> lmdb.Environment:
        """Return the open file; a read beyond the end of one cut short would kill the process."""
        if self._handle is None or self._handle.process != os.getpid():
            self._handle = _open_lmdb(self._file)
        check_unchanged(self._file, self._handle.descriptor, self._state)
        return self._handle.environment

    def _first(self, prefix: str) -> tuple[bytes, bytes] | None:
        """Return the first key that starts with a prefix, and its value; None if none does."""
        entry = self._next(prefix.encode())
        return entry if entry and entry[0].startswith(prefix.encode()) else None

    def _next(self, key: bytes) -> tuple[bytes, bytes] | None:
        """Return the entry of a key or else of the first key behind it; None if none is."""
        try:
            with self._environment().begin() as transaction:
                cursor = transaction.cursor()
                return cursor.item() if cursor.set_range(key) else None
        except lmdb.Error as error:
            raise ValueError(f"LMDB {self.path!r} is corrupt: {_first_line(error)}") from error

    def _read_length(self) -> int:
        entry = self._first("num-samples")
        if entry is None:
            raise ValueError(f"LMDB {self.path!r} has no key 'num-samples'; build it to the end")
        count = _COUNT.fullmatch(entry[1])  # with zeros or white space around it
        length = 0 if count is None else int(count[1])
        if not length:
            raise ValueError(
                f"LMDB {self.path!r}: 'num-samples' is {entry[1][:40]!r}, and not a positive number"
            )
        if not self.has(self.image_key % length):
            key = (self._first("image") or (b"none",))[0][:40].decode("utf-8", "replace")
            raise ValueError(
                f"LMDB {self.path!r}: 'num-samples' is {length}, but there is no key "
                f"{self.image_key % length!r} (the first key of an image is {key!r}); numbers "
                "start at 1"
            )
        for number in (0, length + 1):
            if self.has(self.image_key % number):
                warn(
                    f"LMDB {self.path!r}: 'num-samples' is {length}, so images 1 to {length} are "
                    f"read; {self.image_key % number!r} and any like it are not"
                )
        return length


class _OpenLmdb:
    """An LMDB file, opened read-only by one process."""

    def __init__(self, file: str) -> None:
        self.process = os.getpid()
        self._stream = open(file, "rb")  # noqa: SIM115, closed with this object
        self.descriptor = self._stream.fileno()
        size = file_state(self.descriptor)[0]
        if not size:
            raise ValueError(f"LMDB {file!r} is empty (0 bytes); copy or build it again")
        self.environment = lmdb.open(
            os.fsencode(file), subdir=False, readonly=True, lock=False, readahead=False
        )
        needed = (self.environment.info()["last_pgno"] + 1) * self.environment.stat()["psize"]
        if size < needed:
            raise ValueError(f"LMDB {file!r} is truncated: it has {size:,} bytes of {needed:,}")


# LMDB forbids opening a file twice in a process, and using one that was opened before a fork. So
# the sources of a process share open files, by real path, and a forked child opens them again.
_open_files: WeakValueDictionary[str, _OpenLmdb] = WeakValueDictionary()


def _open_lmdb(file: str) -> _OpenLmdb:
    real = os.path.realpath(file)
    opened = _open_files.get(real)
    if opened is not None and opened.process == os.getpid():
        return opened
    if opened is not None:
        opened.environment.close()  # a copy of the parent's, which does not notice
    try:
        opened = _open_files[real] = _OpenLmdb(real)
    except lmdb.Error as error:
        reason = _first_line(error).removeprefix(f"{real}: ")
        raise ValueError(f"cannot open {file!r} as an LMDB: {reason}") from error
    return opened


def _first_line(error: Exception) -> str:
    return str(error).splitlines()[0]
