"""Images in an LMDB with the keys of the field: ``num-samples``, ``image-%09d``, ``label-%09d``."""

from __future__ import annotations

import contextlib
import os
import re
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from typing import Any

import lmdb

from mms_ocr.datasets.sources.base import PUT_BACK, ImageSource, RawImage, SourceChangedError
from mms_ocr.datasets.sources.lmdb_files import OpenLmdb, first_line, open_lmdb
from mms_ocr.utils.errors import BrokenImageError, warn

#: Key of the boxes of a word's characters, as JSON.
BOXES_KEY = b"boxes-%09d"
_COUNT = re.compile(rb"\s*\+?(\d{1,18})[\s\0]*")


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
        self._handle: OpenLmdb | None = None
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
            raise BrokenImageError(f"{self.name(index)}: {first_line(error)}") from error

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
                raise BrokenImageError(f"{self.name(index)}: {first_line(error)}") from error

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
        boxes = transaction.get(BOXES_KEY % (index + 1)) if labelled else None
        return RawImage(data, f"{self.path}:{image_key}", text, boxes)

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
            raise ValueError(f"LMDB {self.path!r} is corrupt: {first_line(error)}") from error

    def _opened(self) -> OpenLmdb:
        process = os.getpid()
        if self._handle is None or self._handle_process != process:
            self._handle = self._reopen() if self._length else open_lmdb(self._file)
            self._handle_process = process
        return self._handle

    def _reopen(self) -> OpenLmdb:
        """Open the file in another process; it has to be what it was when the source was made."""
        if not os.path.isfile(self._file):
            raise SourceChangedError(self._vanished())
        try:
            opened = open_lmdb(self._file)
            with opened.environment.begin() as transaction:
                length = transaction.get(b"num-samples")
        except (ValueError, lmdb.Error) as error:
            reason = f"changed while it was in use: {first_line(error)}; {PUT_BACK}"
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
            raise ValueError(f"LMDB {self.path!r} is corrupt: {first_line(error)}") from error
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
