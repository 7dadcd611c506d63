"""Millions of file names in little memory."""

from __future__ import annotations

import os
import zlib
from collections.abc import Iterable, Iterator
from typing import TypeVar

import numpy as np

Names = TypeVar("Names", bound="CompactNames")

_BLOCK = 64


class CompactNames:
    """An immutable sequence of strings, kept as compressed blocks of 64 in one bytes object.

    Names in sorted order share most of their characters, so that a name takes a few bytes; reading
    one decompresses its block, about ten microseconds. Names may hold any characters that file
    names can hold.

    Args:
        names: The strings; read once, so that a generator will do.
    """

    def __init__(self, names: Iterable[str]) -> None:
        blob = bytearray()
        ends = []
        block: list[bytes] = []
        count = 0
        for name in names:
            block.append(os.fsencode(name))
            count += 1
            if len(block) == _BLOCK:
                blob += zlib.compress(b"\0".join(block), 6)
                ends.append(len(blob))
                block.clear()
        if block:
            blob += zlib.compress(b"\0".join(block), 6)
            ends.append(len(blob))
        self.blob = bytes(blob)
        self.starts = np.array([0, *ends], dtype=np.uint64)
        self._count = count

    @classmethod
    def of(cls: type[Names], blob: bytes, starts: np.ndarray) -> Names:
        """The names of which another object had ``blob`` and ``starts``."""
        names = cls(())
        names.blob, names.starts = blob, starts
        blocks = len(starts) - 1
        names._count = _BLOCK * blocks
        if blocks:
            names._count += len(names._block(blocks - 1)) - _BLOCK
        return names

    def _block(self, block: int) -> list[bytes]:
        start, end = int(self.starts[block]), int(self.starts[block + 1])
        return zlib.decompress(self.blob[start:end]).split(b"\0")

    def __len__(self) -> int:
        return self._count

    def __iter__(self) -> Iterator[str]:
        for block in range(len(self.starts) - 1):
            for name in self._block(block):
                yield os.fsdecode(name)

    def __getitem__(self, index: int) -> str:
        if not 0 <= index < self._count:
            raise IndexError(f"index {index} outside [0, {self._count})")
        block, place = divmod(index, _BLOCK)
        return os.fsdecode(self._block(block)[place])

    @property
    def nbytes(self) -> int:
        """Memory of the names, in bytes."""
        return len(self.blob) + self.starts.nbytes
