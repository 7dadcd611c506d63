"""Millions of file names in little memory."""

from __future__ import annotations

import zlib
from collections.abc import Iterable

import numpy as np

__all__ = ["CompactNames"]

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
            block.append(name.encode("utf-8", "surrogateescape"))
            count += 1
            if len(block) == _BLOCK:
                blob += zlib.compress(b"\0".join(block), 6)
                ends.append(len(blob))
                block.clear()
        if block:
            blob += zlib.compress(b"\0".join(block), 6)
            ends.append(len(blob))
        self._blob = bytes(blob)
        self._starts = np.array([0, *ends], dtype=np.uint64)
        self._count = count

    def __len__(self) -> int:
        return self._count

    def __getitem__(self, index: int) -> str:
        if not 0 <= index < self._count:
            raise IndexError(f"index {index} outside [0, {self._count})")
        block, place = divmod(index, _BLOCK)
        start, end = int(self._starts[block]), int(self._starts[block + 1])
        name = zlib.decompress(self._blob[start:end]).split(b"\0")[place]
        return name.decode("utf-8", "surrogateescape")

    @property
    def nbytes(self) -> int:
        """Memory of the names, in bytes."""
        return len(self._blob) + self._starts.nbytes
