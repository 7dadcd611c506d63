"""What every image source is: encoded images by index, and the errors that reading may end in."""

from __future__ import annotations

import os
from abc import ABC, abstractmethod
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from functools import partial
from typing import Any, NamedTuple
from weakref import WeakSet

#: How messages of a SourceChangedError end.
PUT_BACK = "put it back as it was and run again (a training: with --resume)"


class SourceChangedError(OSError):
    """A source shrank, vanished or was rewritten while it was in use; nothing in it is safe."""


class RawImage(NamedTuple):
    """An encoded image as it is stored.

    Attributes:
        data: The bytes of the image file.
        name: Where the image came from: the path of the file, or ``path/of.lmdb:key``.
        text: Its label, or None where the source has none or it was not asked for.
        char_boxes: What the source has beside a label as the boxes of its characters, unchecked.
    """

    data: bytes
    name: str
    text: str | None
    char_boxes: Any = None


def open_descriptor(path: str) -> int:
    """Open a file to read its bytes; child processes do not inherit the descriptor.

    A pipe does not wait for its writer.
    """
    # Windows needs O_BINARY and has no O_NONBLOCK.
    return os.open(path, os.O_RDONLY | getattr(os, "O_BINARY", 0) | getattr(os, "O_NONBLOCK", 0))


def read_at(descriptor: int, size: int, start: int) -> bytes:
    """Read up to ``size`` bytes of a file from byte ``start`` on."""
    if hasattr(os, "pread"):
        return os.pread(descriptor, size, start)
    os.lseek(descriptor, start, os.SEEK_SET)  # Windows
    return os.read(descriptor, size)


# All sources of this process, so that the death of a loader worker can be laid to one of them.
_alive: WeakSet[ImageSource] = WeakSet()


def check_sources() -> None:
    """Look at all sources of this process.

    Raises:
        SourceChangedError: One of them shrank, vanished or was rewritten.
    """
    for source in list(_alive):
        source.check()


class ImageSource(ABC):
    """Encoded word images by index.

    A source opens its files on the first read, keeps no list of its images in Python objects, and
    can be pickled: the copy opens the files again in its own process.

    Args:
        path: The file or folder as the user named it.
    """

    #: What the source is, in the words of error messages.
    kind: str

    def __init__(self, path: str) -> None:
        self.path = path
        _alive.add(self)

    def __repr__(self) -> str:
        return f"{type(self).__name__}({self.path!r}, {len(self)} images)"

    @abstractmethod
    def __len__(self) -> int: ...

    @abstractmethod
    def read(self, index: int, labelled: bool = False) -> RawImage:
        """The encoded image at ``index`` in ``[0, len)``, with its label if ``labelled``.

        Raises:
            BrokenImageError: This image (or its label) is missing, empty or unreadable.
            SourceChangedError: The source itself shrank, vanished or was rewritten.
        """

    def check(self) -> None:
        """Look whether the source is what it was when it was opened.

        Raises:
            SourceChangedError: It shrank, vanished or was rewritten.
        """
        return None

    @contextmanager
    def reading(self, labelled: bool = False) -> Iterator[Callable[[int], RawImage]]:
        """Read many images: ``with source.reading() as read: read(index)``.

        A source may check its files once for all of them. Otherwise images are read, and errors
        raised, as by :meth:`read`.
        """
        yield partial(self.read, labelled=labelled)

    @abstractmethod
    def name(self, index: int) -> str:
        """Where the image at ``index`` is stored, without reading the image."""

    @abstractmethod
    def check_labels(self) -> None:
        """Check, at little cost, that the source has labels.

        Raises:
            ValueError: It has none.
        """

    def has_labels(self) -> bool:
        """Whether any image has a label, be it only one; this may take a pass over all of them."""
        try:
            self.check_labels()
        except ValueError:
            return False
        return True
