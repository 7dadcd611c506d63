"""Writing of sets of words, which can resume.

A set is built as ``NAME.part/set`` and renamed when it is complete, so that ``NAME`` is always
whole. Its process may be killed at any moment; the same command then resumes. Beside ``set`` are
its plan, its progress and its lock.
"""

from __future__ import annotations

import contextlib
import json
import os
import shutil
from abc import ABC, abstractmethod
from collections.abc import Iterable, Iterator, Mapping, Sequence
from pathlib import Path
from typing import Any

import lmdb
from filelock import FileLock, Timeout

from mms_ocr.dataset_tools.records import Record
from mms_ocr.utils.files import atomic_write, replace
from mms_ocr.utils.progress import Progress, silent

_PLAN = "plan.json"
_LOCK = "lock"
PROGRESS = "progress.json"
_CHUNK_WORDS = 1000
_CHUNK_BYTES = 1 << 25


class WordWriter(ABC):
    """Context manager that writes words; see :func:`mms_ocr.dataset_tools.layouts.open_writer`.

    Leaving the block without :meth:`finish` keeps the unfinished set.

    Attributes:
        path: The finished set.
        part: The folder for all that is unfinished.
        folder: The unfinished set in it.
        read: Number of source words read so far, broken ones included.
        written: Number of words written so far.

    Raises:
        FileExistsError: On entering: the set exists.
        BlockingIOError: On entering: another process writes it.
        ValueError: On entering: the unfinished set has another plan.
        OSError: The folder for it is missing, or files cannot be written, as on a full disk.
    """

    def __init__(self, path: str | os.PathLike[str], plan: Mapping[str, Any]) -> None:
        self.path = Path(path)
        self.part = self.path.with_name(self.path.name + ".part")
        self.folder = self.part / "set"
        self.read = self.written = 0
        self._plan = json.loads(json.dumps(plan))
        self._lock = FileLock(self.part / _LOCK, blocking=False)

    def __enter__(self) -> WordWriter:
        self._check_new()
        if not self.path.parent.is_dir():
            raise FileNotFoundError(f"there is no folder {str(self.path.parent)!r} to write into")
        self.part.mkdir(exist_ok=True)
        try:
            self._lock.acquire()
        except Timeout:
            raise BlockingIOError(f"another process is writing {self.part}; wait for it") from None
        try:
            self._check_new()  # again: another process may have finished just before
            self._check_plan()
            self._open()
        except BaseException:
            self._unlock()
            raise
        return self

    def __exit__(self, kind: type[BaseException] | None, *error: object) -> None:
        self._close()
        self._unlock()
        if kind is KeyboardInterrupt:
            raise KeyboardInterrupt(
                f"{self.written:,} words are in {self.part}, and the same command resumes there"
            )

    def write(
        self,
        records: Iterable[Record | None],
        count: int,
        title: str = "writing",
        progress: Progress = silent,
    ) -> None:
        """Write words, chunk by chunk; after a kill, all words of a chunk count or none.

        ``records`` are the source words from number ``read`` on, None for a broken one; ``count``
        is the number of all source words.
        """
        chunk: list[Record] = []
        size = 0
        for index, record in zip(progress(range(self.read, count), title, count), records):
            if record is not None:
                chunk.append(record)
                size += sum(map(len, record.images.values()))
            if len(chunk) == _CHUNK_WORDS or size > _CHUNK_BYTES or index == count - 1:
                with self._disk_errors():
                    self._append(chunk, index + 1)
                self.read, self.written = index + 1, self.written + len(chunk)
                chunk, size = [], 0

    def complete(self, extra_files: Mapping[str, str] | None = None) -> None:
        """Complete the set, with further text files in it, and flush it to the disk."""
        with self._disk_errors():
            self._complete()
            for name, text in (extra_files or {}).items():
                atomic_write(self.folder / name, text, flush=True)
        self._close()

    def finish(self) -> None:
        """Give the set, which is complete, its name."""
        replace(self.folder, self.path)
        for name in (_PLAN, PROGRESS):
            (self.part / name).unlink(missing_ok=True)

    def _check_new(self) -> None:
        if os.path.lexists(self.path):
            raise FileExistsError(f"{self.path} exists; remove it or choose another name")

    def _check_plan(self) -> None:
        file = self.part / _PLAN
        for left in self.part.glob(".[0-9]*.????????.part"):  # of an atomic_write that was killed
            left.unlink()
        names = {path.name for path in self.part.iterdir()}
        is_begun = self.folder.name in names
        if names - {self.folder.name, _PLAN, PROGRESS, _LOCK} or (is_begun and _PLAN not in names):
            raise ValueError(
                f"{self.part} cannot be resumed (it holds other files); remove it or rename it"
            )
        if is_begun:
            compare_plans(read_plan(file), self._plan, self.part)
        else:  # new, or what is left of a run that was killed after it had finished
            with self._disk_errors():
                (self.part / PROGRESS).unlink(missing_ok=True)
                atomic_write(file, json.dumps(self._plan), flush=True)
                self.folder.mkdir()

    def _unlock(self) -> None:
        # Deleted while locked, so that no other process locks it; Windows deletes it later.
        with contextlib.suppress(OSError):
            os.unlink(self._lock.lock_file)
        self._lock.release()
        with contextlib.suppress(OSError):  # it holds an unfinished set
            self.part.rmdir()

    @contextlib.contextmanager
    def _disk_errors(self) -> Iterator[None]:
        try:
            yield
        except (OSError, lmdb.Error) as error:
            # LMDB reports a full disk like any failed write; the free space shows which it is.
            reason = getattr(error, "strerror", None) or str(error).splitlines()[0]
            free = shutil.disk_usage(self.part).free / 1e6
            raise OSError(
                f"{self.part}: {reason} after {self.written:,} words ({free:,.1f} MB are free); "
                "make room and repeat the command, which resumes there"
            ) from error

    @abstractmethod
    def holds(self, index: int, record: Record) -> bool:
        """Whether a record, and nothing else, is stored at an index; call it in order from 0."""

    @abstractmethod
    def _open(self) -> None:
        """Open what is there, and set ``read`` and ``written``."""

    @abstractmethod
    def _append(self, records: Sequence[Record], read: int) -> None: ...

    @abstractmethod
    def _complete(self) -> None: ...  # write what ends a set, and flush it

    @abstractmethod
    def _close(self) -> None: ...  # may be called twice


def read_plan(file: Path) -> dict[str, Any]:
    """Read the plan of a set; ValueError if the file is damaged."""
    try:
        plan = json.loads(file.read_text("utf-8"))
    except ValueError:
        plan = None
    if not isinstance(plan, dict):
        raise ValueError(f"{file} is damaged; remove {file.parent}")
    return plan


def compare_plans(begun: Mapping[str, Any], plan: Mapping[str, Any], where: Path) -> None:
    """Raise ValueError if a set was begun with another plan; it names the first difference."""
    for name in {**begun, **plan}:
        if begun.get(name) != plan.get(name):
            raise ValueError(
                f"{where} was begun with other options ({name}: {begun.get(name)!r}, now "
                f"{plan.get(name)!r}); repeat that command, or remove {where}"
            )
