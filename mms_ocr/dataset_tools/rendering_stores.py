"""What stores of rendered words have in common: built aside, renamed when whole, resumed.

A store under construction is the folder ``NAME.part``. Its process can be killed at any moment and
another one go on with it; ``NAME`` itself appears only with the last word in it.
"""

from __future__ import annotations

import json
import os
from abc import ABC, abstractmethod
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from types import TracebackType
from typing import Any

from mms_ocr.utils.output_checks import check_unfinished
from mms_ocr.utils.writing import lock_folder, write_json

_RECIPE = "render.json"
_LOCK = "render.lock"


@dataclass(frozen=True)
class EncodedWord:
    """A word as it is stored.

    Attributes:
        text: its label.
        images: encoded image files by what they show: ``'image'``, and ``'clean'`` or ``'mask'``.
        suffixes: file name suffix of each of ``images``, with the dot.
        char_boxes: ``[x, y, w, h]`` of each character, or ``None``.
    """

    text: str
    images: dict[str, bytes]
    suffixes: dict[str, str]
    char_boxes: list[list[float]] | None = None


class WordStore(ABC):
    """Words written one after the other under ``path``; use as a context manager.

    Args:
        path: what the finished store is called.
        recipe: what the words depend on. A store begun with another recipe is not resumed.

    Raises:
        FileExistsError: if ``path`` exists and is not a whole store of this recipe.
        FileNotFoundError: if the folder that it shall lie in does not exist.
        ValueError: if the store was begun with another recipe, or ``path`` has no name.
        BlockingIOError: if another process is writing it.
    """

    def __init__(self, path: str | os.PathLike[str], recipe: dict[str, Any]) -> None:
        self.path = Path(path)
        if not self.path.name:
            raise ValueError(f"{self.path}: give the name of an LMDB or folder to be made")
        self.part = self.path.with_name(self.path.name + ".part")
        self.recipe = json.loads(json.dumps(recipe))
        self._is_open = False

    @property
    def finished(self) -> int | None:
        """Number of words of the finished store; ``None`` where there is none yet.

        Raises:
            FileExistsError: if ``path`` is something else than a finished store of this recipe.
        """
        if not (self.path.exists() or self.path.is_symlink()):
            return None
        there = _read_json(self.path / _RECIPE) if self.path.is_dir() else None
        if there is None:
            raise FileExistsError(f"{self.path} exists; remove it or choose another name")
        count = there.pop("count", None)
        self._compare(there, self.path, "remove it, or choose another name")
        return count

    def __enter__(self) -> WordStore:
        if not self.path.parent.is_dir():
            raise FileNotFoundError(f"{self.path.parent}: no such folder to write {self.path.name}")
        self.part.mkdir(exist_ok=True)
        self._lock = lock_folder(self.part, _LOCK)
        try:
            there = _read_json(self.part / _RECIPE)
            if there is None:
                check_unfinished(self.part, _RECIPE, _LOCK)
                write_json(self.part / _RECIPE, self.recipe, indent=1)
            else:
                self._compare(there, self.part, "go on with those, or remove it")
            self._open()
            self._is_open = True
        except BaseException:
            self._release_lock()
            raise
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        traceback: TracebackType | None,
    ) -> None:
        self._leave()
        self._release_lock()

    def finish(self, count: int) -> None:
        """Make the store whole with its ``count`` words and give it its name."""
        self._seal(count)
        self._leave()
        write_json(self.part / _RECIPE, {**self.recipe, "count": count}, indent=1)
        (self.part / _LOCK).unlink(missing_ok=True)
        os.rename(self.part, self.path)
        _flush_folder(self.path.parent)

    def _leave(self) -> None:
        if self._is_open:
            self._is_open = False
            self._close()

    def _compare(self, there: dict[str, Any], where: Path, remedy: str) -> None:
        names = [name for name in {**there, **self.recipe} if name != "count"]
        different = [name for name in names if there.get(name) != self.recipe.get(name)]
        if different:
            name = different[0]
            raise ValueError(
                f"{where} was rendered with other settings ({name}: {there.get(name)!r} there, "
                f"{self.recipe.get(name)!r} asked for); {remedy}"
            )

    def _release_lock(self) -> None:
        os.close(self._lock)

    @property
    @abstractmethod
    def done(self) -> int:
        """How many words are safely written."""

    @abstractmethod
    def append(self, words: Sequence[EncodedWord]) -> None:
        """Write the words after those that are there, all of them or none."""

    @abstractmethod
    def _open(self) -> None: ...

    @abstractmethod
    def _close(self) -> None: ...

    @abstractmethod
    def _seal(self, count: int) -> None: ...


def _read_json(path: Path) -> dict[str, Any] | None:
    if not path.is_file():
        return None
    try:
        content = json.loads(path.read_text(encoding="utf-8"))
    except ValueError:
        content = None
    if not isinstance(content, dict):
        raise ValueError(f"{path}: not a record of settings; remove {path.parent}")
    return content


def _flush_folder(folder: Path) -> None:
    if hasattr(os, "O_DIRECTORY"):  # not on Windows; the rename itself outlives a power cut
        descriptor = os.open(folder, os.O_RDONLY)
        try:
            os.fsync(descriptor)
        finally:
            os.close(descriptor)
