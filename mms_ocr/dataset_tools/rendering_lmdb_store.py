"""Rendered words in an LMDB with the keys of the field."""

from __future__ import annotations

import json
from collections.abc import Sequence

import lmdb

from mms_ocr.dataset_tools.rendering_stores import EncodedWord, WordStore
from mms_ocr.datasets.sources.lmdb_source import BOXES_KEY
from mms_ocr.utils.writing import disk_error, open_unfinished, put_all


class LmdbStore(WordStore):
    """Keys ``image-%09d`` and ``label-%09d`` from 1, ``num-samples`` when whole.

    Clean versions and masks have the keys ``clean-%09d`` and ``mask-%09d``, character boxes (JSON)
    ``boxes-%09d``.
    """

    def _open(self) -> None:
        self._environment = open_unfinished(self.part)
        self._done = self._count()

    def _count(self) -> int:
        with self._environment.begin() as transaction, transaction.cursor() as cursor:
            # The last label stands right before the first key that sorts after all labels.
            found = cursor.prev() if cursor.set_range(b"label.") else cursor.last()
            key = bytes(cursor.key()) if found else b""
        return int(key[6:]) if key.startswith(b"label-") else 0

    @property
    def done(self) -> int:
        """How many words are safely written."""
        return self._done

    def append(self, words: Sequence[EncodedWord]) -> None:
        """Write the words after those that are there, in one transaction."""
        records: list[tuple[bytes, bytes]] = []
        for number, word in enumerate(words, self._done + 1):
            for kind, data in word.images.items():
                records.append((b"%s-%09d" % (kind.encode(), number), data))
            records.append((b"label-%09d" % number, word.text.encode()))
            if word.char_boxes is not None:
                records.append((BOXES_KEY % number, json.dumps(word.char_boxes).encode()))
        self._put(records)
        self._done += len(words)

    def _put(self, entries: Sequence[tuple[bytes, bytes]]) -> None:
        try:
            put_all(self._environment, entries)
        except lmdb.Error as error:
            raise OSError(disk_error(self.part, error)) from error

    def _seal(self, count: int) -> None:
        self._put([(b"num-samples", b"%d" % count)])
        self._environment.sync(True)

    def _close(self) -> None:
        self._environment.close()
        (self.part / "lock.mdb").unlink(missing_ok=True)
