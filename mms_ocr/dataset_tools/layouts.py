"""Layouts of sets of words: an LMDB, a folder with labels, a folder as TextSeg is released."""

from __future__ import annotations

import json
import os
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any, BinaryIO

import lmdb

from mms_ocr.dataset_tools.records import Record
from mms_ocr.dataset_tools.writer import PROGRESS, WordWriter
from mms_ocr.datasets.sources.lmdb_source import BOXES_KEY
from mms_ocr.utils.decoding import decode_image
from mms_ocr.utils.files import atomic_write
from mms_ocr.utils.output_checks import check_set_name

_PROGRESS_KEY = b"progress"
_FIRST_MAP_SIZE = 1 << 26  # of an LMDB; grown in steps, as on some systems it is the file's size
_FILES_PER_FOLDER = 1000
# By how files begin; others get .img, which readers accept as well.
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


class LmdbWriter(WordWriter):
    """Keys ``KIND-%09d`` from 1 for every kind of image, ``label-%09d`` and ``num-samples``.

    Character boxes are stored as JSON under ``boxes-%09d``.
    """

    def _open(self) -> None:
        try:
            self._environment = lmdb.open(
                os.fsencode(self.folder), map_size=_FIRST_MAP_SIZE, metasync=False
            )
        except lmdb.Error as error:
            raise ValueError(f"{self.part} cannot be resumed ({error}); remove it") from error
        with self._environment.begin() as transaction:
            progress = transaction.get(_PROGRESS_KEY)
        if progress is not None:
            self.read, self.written = json.loads(progress)

    def _append(self, records: Sequence[Record], read: int) -> None:
        entries: dict[bytes, bytes | None] = {}
        for number, record in enumerate(records, start=self.written + 1):
            entries |= _lmdb_entries(number, record)
        entries[_PROGRESS_KEY] = json.dumps([read, self.written + len(records)]).encode()
        self._put(entries)

    def _put(self, entries: Mapping[bytes, bytes | None]) -> None:
        """Write entries in one transaction, and let the LMDB grow for them."""
        while True:
            try:
                with self._environment.begin(write=True) as transaction:
                    for key, value in entries.items():
                        if value is None:
                            transaction.delete(key)
                        else:
                            transaction.put(key, value)
                return
            except lmdb.MapFullError:
                self._environment.set_mapsize(2 * self._environment.info()["map_size"])

    def holds(self, index: int, record: Record) -> bool:
        """See :meth:`WordWriter.holds`."""
        entries = _lmdb_entries(index + 1, record)
        with self._environment.begin() as transaction:
            return all(transaction.get(key) == value for key, value in entries.items())

    def _complete(self) -> None:
        self._put({b"num-samples": b"%d" % self.written, _PROGRESS_KEY: None})
        self._environment.sync(True)

    def _close(self) -> None:
        self._environment.close()
        (self.folder / "lock.mdb").unlink(missing_ok=True)


class FolderWriter(WordWriter):
    """Image files, and ``labels.jsonl`` with a line for each word that names them.

    The field of the main image is ``filename``. Masks and clean versions are named by ``mask`` and
    ``clean``, and pairs by ``image_hr`` (which ``filename`` repeats) and ``image_lr``.
    """

    def _open(self) -> None:
        self._labels = self.folder / "labels.jsonl"
        self._size = 0  # of the labels, in bytes
        self._lines: BinaryIO | None = None
        file = self.part / PROGRESS
        if file.is_file():
            self.read, self.written, self._size = json.loads(file.read_text())
        size = self._labels.stat().st_size if self._labels.is_file() else 0
        if size < self._size:  # removed, or lost in a power cut
            self.read = self.written = self._size = 0

    def _append(self, records: Sequence[Record], read: int) -> None:
        lines = b""
        for number, record in enumerate(records, start=self.written + 1):
            files, line = self._layout(number, record)
            for name, data in files.items():
                file = self.folder / name
                file.parent.mkdir(parents=True, exist_ok=True)
                file.write_bytes(data)
            lines += line
        if lines or self._labels.is_file():
            with open(self._labels, "ab") as stream:
                stream.truncate(self._size)  # what was written after the last progress
                stream.write(lines)
        self._size += len(lines)
        progress = [read, self.written + len(records), self._size]
        atomic_write(self.part / PROGRESS, json.dumps(progress))

    def _layout(self, number: int, record: Record) -> tuple[dict[str, bytes], bytes]:
        """Files by name, and the line of ``labels.jsonl``, of the word with a number from 1."""
        folder = f"{(number - 1) // _FILES_PER_FOLDER:06d}"
        names = {
            kind: f"{kind}/{folder}/{number:09d}{_suffix_of(data)}"
            for kind, data in record.images.items()
        }
        files = {names[kind]: data for kind, data in record.images.items()}
        line: dict[str, Any] = {"filename": names.get("image") or names["image_hr"], **names}
        line.pop("image", None)
        if record.text is not None:
            line["text"] = record.text
        if record.char_boxes is not None:
            line["char_boxes"] = record.char_boxes
        return files, json.dumps(line, ensure_ascii=False).encode() + b"\n"

    def holds(self, index: int, record: Record) -> bool:
        """See :meth:`WordWriter.holds`."""
        if index == 0 and self._labels.is_file():
            self._lines = open(self._labels, "rb")  # noqa: SIM115, closed in _close
        files, line = self._layout(index + 1, record)
        stored = self._lines.readline() if self._lines else b""
        return stored == line and all(
            (self.folder / name).read_bytes() == data for name, data in files.items()
        )

    def _complete(self) -> None:
        if hasattr(os, "sync"):
            os.sync()  # many small files: all of them are on the disk before the set has its name

    def _close(self) -> None:
        if self._lines:
            self._lines.close()


class TextSegWriter(FolderWriter):
    """``image/TAG.jpg``, ``semantic_label/TAG_maskfg.png``, ``annotation/TAG_anno.json``, splits.

    A word is a whole image with one polygon around all of it. The bytes of images are kept, also
    if they are not JPEG: readers recognize the format by the content.
    """

    def _layout(self, number: int, record: Record) -> tuple[dict[str, bytes], bytes]:
        height, width = decode_image(record.images["image"]).shape[:2]
        corners = [0, 0, width, 0, width, height, 0, height]
        word: dict[str, Any] = {"text": record.text, "bbox": corners, "char": {}}
        tag = self._tag(number)
        files = {
            f"image/{tag}.jpg": record.images["image"],
            f"semantic_label/{tag}_maskfg.png": record.images["mask"],
            f"annotation/{tag}_anno.json": json.dumps({"0000": word}, ensure_ascii=False).encode(),
        }
        return files, b""

    def _tag(self, number: int) -> str:
        return f"{self._plan['split']}_{number:09d}"

    def _complete(self) -> None:
        splits: dict[str, list[str]] = {"train": [], "val": [], "test": []}
        splits[self._plan["split"]] = [self._tag(index + 1) for index in range(self.written)]
        atomic_write(self.folder / "split.json", json.dumps(splits))
        super()._complete()


def open_writer(
    path: str | os.PathLike[str], plan: Mapping[str, Any], textseg_split: str | None = None
) -> WordWriter:
    """Return the writer of a set: an LMDB where its name ends in ``.lmdb``, else a folder.

    Args:
        path: The finished set.
        plan: What the words depend on, as plain JSON data; only a set of the same plan is resumed.
        textseg_split: ``'train'``, ``'val'`` or ``'test'`` makes a folder in TextSeg's layout, with
            all words in that split.

    Raises:
        ValueError: ``path`` names a single file, or an LMDB where a folder is needed.
    """
    check_set_name(path)
    is_lmdb = Path(path).suffix.lower() == ".lmdb"
    if textseg_split is None:
        return (LmdbWriter if is_lmdb else FolderWriter)(path, plan)
    if is_lmdb:
        raise ValueError(f"TextSeg's layout is a folder, and {path} an LMDB; give a folder")
    return TextSegWriter(path, {**plan, "layout": "textseg", "split": textseg_split})


def _lmdb_entries(number: int, record: Record) -> dict[bytes, bytes | None]:
    entries: dict[bytes, bytes | None] = {
        f"{kind}-{number:09d}".encode(): data for kind, data in record.images.items()
    }
    entries[b"label-%09d" % number] = None if record.text is None else record.text.encode()
    if record.char_boxes is not None:
        entries[BOXES_KEY % number] = json.dumps(record.char_boxes).encode()
    return entries


def _suffix_of(data: bytes) -> str:
    return next((end for start, end in _SUFFIXES.items() if data.startswith(start)), ".img")
