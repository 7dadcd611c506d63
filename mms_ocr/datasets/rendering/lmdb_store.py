"""Rendered words in an LMDB with the keys of the field."""

from __future__ import annotations

import json
import shutil
from collections.abc import Iterable, Sequence

import lmdb

from .stores import EncodedWord, WordStore

__all__ = ["LmdbStore"]


class LmdbStore(WordStore):
    """Keys ``image-%09d`` and ``label-%09d`` from 1, ``num-samples`` when whole.

    Clean versions and masks have the keys ``clean-%09d`` and ``mask-%09d``, character boxes (JSON)
    ``boxes-%09d``.
    """

    def _open(self) -> None:
        try:
            self._environment = lmdb.open(str(self.part), map_size=1 << 26, metasync=False)
        except lmdb.Error as error:
            raise ValueError(f"{self.part}: cannot be gone on with ({error}); remove it")
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
        records: list[tuple[str, bytes]] = []
        for number, word in enumerate(words, self._done + 1):
            records += [(f"{kind}-{number:09d}", data) for kind, data in word.images.items()]
            records.append((f"label-{number:09d}", word.text.encode()))
            if word.char_boxes is not None:
                boxes = json.dumps(word.char_boxes).encode()
                records.append((f"boxes-{number:09d}", boxes))
        self._put(records)
        self._done += len(words)

    def _put(self, records: Iterable[tuple[str, bytes]]) -> None:
        while True:
            try:
                with self._environment.begin(write=True) as transaction:
                    for key, data in records:
                        transaction.put(key.encode(), data)
                return
            except lmdb.MapFullError:
                # Grown in steps: the map's size is also the file's on some systems.
                self._environment.set_mapsize(2 * self._environment.info()["map_size"])
            except lmdb.Error as error:
                # LMDB reports a full disk as a write that failed.
                free = shutil.disk_usage(self.part).free
                raise OSError(f"{self.part}: {_plain(error)}; {free / 1e6:.1f} MB of disk are free")

    def _seal(self, count: int) -> None:
        self._put([("num-samples", str(count).encode())])
        self._environment.sync(True)

    def _close(self) -> None:
        self._environment.close()
        (self.part / "lock.mdb").unlink(missing_ok=True)


def _plain(error: lmdb.Error) -> str:
    return str(error).splitlines()[0]
