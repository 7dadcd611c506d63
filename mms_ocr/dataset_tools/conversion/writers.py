"""What conversion writes: built aside, resumed after a stop, renamed when whole.

A set under construction is the folder ``NAME.part``. Its process can be killed at any moment, and
the same command goes on with it; ``NAME`` itself appears only with the last word in it and after
all of them were read back.
"""

from __future__ import annotations

import contextlib
import json
import os
from abc import ABC, abstractmethod
from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import Any

import lmdb

from mms_ocr.datasets.sources.records import Record
from mms_ocr.utils.output_checks import check_unfinished
from mms_ocr.utils.writing import (
    disk_error,
    lock_folder,
    open_unfinished,
    put_all,
    write_json,
)

_PLAN = "convert.json"
_LOCK = "convert.lock"
_PROGRESS = "progress.json"
_PROGRESS_KEY = b"progress"
# By how files begin; others are called .img, which readers take as well.
_SUFFIXES = {
    b"\xff\xd8\xff": ".jpg",
    b"\x89PNG": ".png",
    b"GIF8": ".gif",
    b"RIFF": ".webp",
    b"BM": ".bmp",
    b"II*\0": ".tif",
    b"MM\0*": ".tif",
    b"P4": ".pbm",
    b"P5": ".pgm",
    b"P6": ".ppm",
    b"\0\0\0\x0cjP": ".jp2",
}
_FILES_PER_FOLDER = 1000


class RecordWriter(ABC):
    """Writes words under ``path``; a context manager that leaves the unfinished set in place.

    Args:
        path: What the finished set is called.
        plan: What is converted, as plain JSON data. A set begun with another plan is not gone on
            with.

    Raises:
        FileExistsError: Something is at ``path``.
        FileNotFoundError: The folder that it shall lie in does not exist.
        ValueError: The unfinished set there was begun with another plan.
        BlockingIOError: Another process is writing it.
    """

    def __init__(self, path: str, plan: dict[str, Any]) -> None:
        self.path = Path(path)
        self.part = self.path.with_name(self.path.name + ".part")
        self._plan = json.loads(json.dumps(plan))
        #: Words of the source that were read, and of those the ones written.
        self.read = self.written = 0

    def __enter__(self) -> RecordWriter:
        self._check_unnamed()
        if not self.path.parent.is_dir():
            raise FileNotFoundError(f"there is no folder {str(self.path.parent)!r} to write into")
        self.part.mkdir(exist_ok=True)
        self._lock = lock_folder(self.part, _LOCK)
        try:
            self._check_unnamed()  # again: another process may have finished just now
            self._compare_plan()
            self._open()
        except BaseException:
            os.close(self._lock)
            raise
        return self

    def __exit__(self, *error: object) -> None:
        self._close()
        os.close(self._lock)

    def append(self, records: Sequence[Record], read: int) -> None:
        """Write words, all of them or none.

        Args:
            records: Words after those that are there.
            read: How many words of the source have been read by then, broken ones included.

        Raises:
            OSError: The disk is full.
        """
        with self._disk_errors():
            self._append(records, read)
        self.read, self.written = read, self.written + len(records)

    def finish(self) -> None:
        """Give the set its name."""
        with self._disk_errors():
            self._seal()
        self._close()
        # The lock goes last: until the set has its name, no other process may go on with it.
        os.rename(self.part, self.path)
        for name in (_PLAN, _PROGRESS, _LOCK):
            (self.path / name).unlink(missing_ok=True)

    def _check_unnamed(self) -> None:
        if self.path.exists() or self.path.is_symlink():
            raise FileExistsError(f"{self.path} exists: remove it or choose another name")

    def _compare_plan(self) -> None:
        there = self.part / _PLAN
        if there.is_file():
            if json.loads(there.read_text("utf-8")) != self._plan:
                raise ValueError(
                    f"{self.part} was begun with another source or other options: repeat that "
                    "command, or remove it"
                )
        else:
            check_unfinished(self.part, _PLAN, _LOCK)
            with self._disk_errors():
                write_json(there, self._plan)

    @contextlib.contextmanager
    def _disk_errors(self) -> Iterator[None]:
        try:
            yield
        except (OSError, lmdb.Error) as error:
            raise OSError(
                f"{disk_error(self.part, error)} after {self.written:,} words; "
                "make room and repeat the command, it goes on from there"
            ) from error

    @abstractmethod
    def read_back(self, index: int) -> Record:
        """The word at ``index`` as it was written."""

    @abstractmethod
    def _open(self) -> None: ...

    @abstractmethod
    def _append(self, records: Sequence[Record], read: int) -> None: ...

    @abstractmethod
    def _seal(self) -> None: ...

    @abstractmethod
    def _close(self) -> None: ...


class LmdbWriter(RecordWriter):
    """Keys ``KIND-%09d`` from 1 for every kind of image, ``label-%09d`` and ``num-samples``."""

    def _open(self) -> None:
        self._environment = open_unfinished(self.part)
        with self._environment.begin() as transaction:
            progress = transaction.get(_PROGRESS_KEY)
        if progress is not None:
            self.read, self.written = json.loads(progress)

    def _append(self, records: Sequence[Record], read: int) -> None:
        entries = [(_PROGRESS_KEY, json.dumps([read, self.written + len(records)]).encode())]
        for number, record in enumerate(records, start=self.written + 1):
            for kind, data in record.images.items():
                entries.append((b"%s-%09d" % (kind.encode(), number), data))
            if record.text is not None:
                entries.append((b"label-%09d" % number, record.text.encode()))
        put_all(self._environment, entries)

    def read_back(self, index: int) -> Record:
        """See :meth:`RecordWriter.read_back`."""
        number = index + 1
        with self._environment.begin() as transaction:
            images = {
                kind: transaction.get(b"%s-%09d" % (kind.encode(), number), b"")
                for kind in self._plan["kinds"]
            }
            text = transaction.get(b"label-%09d" % number)
        return Record(images, None if text is None else text.decode())

    def _seal(self) -> None:
        put_all(self._environment, [(b"num-samples", b"%d" % self.written)])
        with self._environment.begin(write=True) as transaction:
            transaction.delete(_PROGRESS_KEY)
        self._environment.sync(True)

    def _close(self) -> None:
        self._environment.close()
        (self.part / "lock.mdb").unlink(missing_ok=True)


class FolderWriter(RecordWriter):
    """Image files, and ``labels.jsonl`` with a line for each word that names them.

    The field of the main image is ``filename``; masks are named by ``mask``, and pairs by
    ``image_hr`` (which ``filename`` repeats) and ``image_lr``.
    """

    def _open(self) -> None:
        self._lines = open(self.part / "labels.jsonl", "ab+")  # noqa: SIM115, closed in _close
        size = 0
        if (self.part / _PROGRESS).is_file():
            self.read, self.written, size = json.loads((self.part / _PROGRESS).read_text())
        if self._lines.seek(0, os.SEEK_END) < size:
            self.read = self.written = size = 0  # removed, or lost with the power
        self._lines.truncate(size)  # what was written after the last progress is written again

    def _append(self, records: Sequence[Record], read: int) -> None:
        lines = []
        for number, record in enumerate(records, start=self.written + 1):
            line = {}
            for kind, data in record.images.items():
                folder = f"{kind}/{(number - 1) // _FILES_PER_FOLDER:06d}"
                name = f"{folder}/{number:09d}{_suffix_of(data)}"
                (self.part / folder).mkdir(parents=True, exist_ok=True)
                (self.part / name).write_bytes(data)
                line[kind] = name
            line = {"filename": line.get("image") or line["image_hr"], **line}
            line.pop("image", None)
            if record.text is not None:
                line["text"] = record.text
            lines.append(json.dumps(line, ensure_ascii=False).encode() + b"\n")
        self._lines.write(b"".join(lines))
        self._lines.flush()
        size = self._lines.tell()
        write_json(self.part / _PROGRESS, [read, self.written + len(records), size])

    def read_back(self, index: int) -> Record:
        """See :meth:`RecordWriter.read_back`; meant to be asked in order."""
        if index == 0:
            self._lines.seek(0)
        line = json.loads(self._lines.readline())
        files = {
            kind: line["filename" if kind == "image" else kind] for kind in self._plan["kinds"]
        }
        images = {kind: (self.part / name).read_bytes() for kind, name in files.items()}
        return Record(images, line.get("text"))

    def _seal(self) -> None:
        if hasattr(os, "sync"):
            os.sync()  # many small files: all of them have to be on the disk before the name is

    def _close(self) -> None:
        self._lines.close()


def _suffix_of(data: bytes) -> str:
    return next((end for start, end in _SUFFIXES.items() if data.startswith(start)), ".img")


def open_writer(path: str, plan: dict[str, Any]) -> RecordWriter:
    """An LMDB where the name ends in ``.lmdb``, else a folder, which ``plan['layout']`` may name.

    Raises:
        ValueError: The name is that of a single file, or of an LMDB where a folder is asked for.
    """
    suffix = Path(path).suffix.lower()
    if suffix == ".lmdb":
        if plan.get("layout") == "textseg":
            raise ValueError(f"{path!r} is an LMDB, and TextSeg's layout a folder: name a folder")
        return LmdbWriter(path, plan)
    if suffix in (".jsonl", ".json", ".mdb"):
        raise ValueError(
            f"{path!r} is no place to write to: give NAME.lmdb, or a folder, which gets the images "
            "and labels.jsonl"
        )
    if plan.get("layout") == "textseg":
        from mms_ocr.dataset_tools.conversion.textseg_writer import TextSegWriter

        return TextSegWriter(path, plan)
    return FolderWriter(path, plan)
