"""Images named by JSON lines: ``{"filename": "train/1.jpg", "text": "You"}``."""

from __future__ import annotations

import contextlib
import itertools
import json
import os
from collections.abc import Iterator
from typing import Any, NamedTuple

import numpy as np

from mms_ocr.datasets.sources.base import ImageSource, RawImage, check_unchanged, file_state
from mms_ocr.utils.decoding import read_image_file
from mms_ocr.utils.errors import BrokenImageError
from mms_ocr.utils.escaping import file_name, is_unicode

_CHUNK = 1 << 20  # bytes of lines that are indexed at a time
_MAX_LINE = 1 << 24  # bytes; a file with longer lines is of another kind
_CHECKED_BYTES = 4096  # of a file without JSON in its first line
_CHECKED_LINES = 10_000  # parsed when the source is opened; the others when they are read
# If the first line is wrong, the file is most likely of another kind.
_ADVICE = (
    '; a line is {"filename": "1.jpg", "text": "You"}, with the text if there are labels; '
    "mms-ocr labels converts MMOCR's JSON and text files to such lines"
)


class _Line(NamedTuple):
    filename: str
    text: str | None
    char_boxes: Any


class JsonlSource(ImageSource):
    """Images named by an annotation file of JSON lines, as MMOCR writes them.

    The file must not change while it is in use. Blank lines are skipped.

    Args:
        path: The annotation file.
        data_root: Folder that file names are relative to, and that they must not leave; by default
            the annotation file's own.
        field: Name of the field with the file name, such as ``mask``.

    Raises:
        FileNotFoundError: The file or ``data_root`` does not exist.
        ValueError: It has no lines, or one of the first 10,000 is not a JSON object with a
            ``filename`` inside ``data_root``.
    """

    kind = "JSON lines"

    def __init__(self, path: str, data_root: str | None = None, field: str = "filename") -> None:
        super().__init__(path)
        self.field = field
        if not os.path.isfile(path):
            raise FileNotFoundError(f"there is no annotation file {path!r}")
        self.data_root = data_root if data_root is not None else os.path.dirname(path) or "."
        if not os.path.isdir(self.data_root):
            raise FileNotFoundError(f"there is no data root {self.data_root!r}")
        self._fields: set[str] | None = None
        self._real_root = os.path.abspath(self.data_root)
        self._state = file_state(path)
        self._starts = _line_starts(path)
        if not len(self._starts):
            raise ValueError(f"annotation file {path!r} has no lines")
        for index, raw in enumerate(itertools.islice(self._lines(), _CHECKED_LINES)):
            try:
                self._parse(index, raw)
            except BrokenImageError as error:
                if index == 0 and _is_binary(path):
                    raise ValueError(
                        f"{path!r} is no text in UTF-8, and so not JSON lines: give a folder of "
                        "images, an LMDB or a .jsonl file"
                    ) from error
                is_other_kind = index == 0 and field == "filename" and ": not " in str(error)
                raise ValueError(f"{error}{_ADVICE * is_other_kind}") from error

    def __len__(self) -> int:
        return len(self._starts)

    def name(self, index: int) -> str:
        """Return the path of the image file."""
        return os.path.join(self.data_root, self._line(index).filename)

    def read(self, index: int, labelled: bool = False) -> RawImage:
        """See :meth:`ImageSource.read`."""
        line = self._line(index)
        if labelled and line.text is None:
            raise BrokenImageError(f"{self._place(index)}: the object has no 'text'")
        path = os.path.join(self.data_root, line.filename)
        data = read_image_file(path)
        return RawImage(data, path, *(line[1:] if labelled else (None,)))

    def has_field(self, field: str) -> bool:
        """Return whether any line has a field of this name; reads up to the first that has."""
        if self._fields is not None:
            return field in self._fields
        return any(field in names for names in self._names())

    def fields(self) -> set[str]:
        """Return the names of the fields of all lines, except those whose value is null.

        See :meth:`ImageSource.fields`.
        """
        if self._fields is None:
            self._fields = set().union(*self._names())
        return self._fields

    def check_labels(self) -> None:
        """See :meth:`ImageSource.check_labels`; reads up to the first line with a label."""
        if not self.has_field("text"):
            raise ValueError(
                f"annotation file {self.path!r} has no labels: no line has a 'text', only "
                f"{', '.join(sorted(self.fields()))}; set labelled=False to use its images without "
                "labels"
            )

    def _names(self) -> Iterator[list[str]]:
        """Yield the names of the fields of every line; malformed ones raise when they are read."""
        for raw in self._lines():
            with contextlib.suppress(BrokenImageError):
                line = parse_json(raw)
                if isinstance(line, dict):
                    yield [name for name, value in line.items() if value is not None]

    def _lines(self) -> Iterator[bytes]:
        with open(self.path, "rb") as file:
            yield from (line for line in file if not line.isspace())

    def _line(self, index: int) -> _Line:
        if not 0 <= index < len(self):
            raise IndexError(f"index {index} is outside [0, {len(self)})")
        check_unchanged(self.path, self.path, self._state)
        with open(self.path, "rb") as file:
            file.seek(int(self._starts[index]))
            return self._parse(index, file.readline())

    def _parse(self, index: int, raw: bytes) -> _Line:
        """Parse a line; every fault of it is a BrokenImageError that names file and line."""
        try:
            fields = parse_json(raw)
            filename, text = word_fields(fields, self.field)
        except BrokenImageError as error:
            raise BrokenImageError(f"{self._place(index)}: {error}") from error
        if ".." in filename or os.path.isabs(filename):
            inside = os.path.normpath(os.path.join(self._real_root, filename))
            if not inside.startswith(self._real_root.rstrip(os.sep) + os.sep):
                raise BrokenImageError(
                    f"{self._place(index)}: file name {filename!r} is outside of the data root "
                    f"{self.data_root!r}"
                )
        return _Line(filename, text, fields.get("char_boxes"))

    def _place(self, index: int) -> str:
        """Return file and line number for messages, counted from 1 with the blank lines."""
        start, end = int(self._starts[index]), 0
        with open(self.path, "rb") as file:
            for number, line in enumerate(file, start=1):
                end += len(line)
                if end > start:
                    return f"{self.path}, line {number}"
        return f"{self.path}, entry {index + 1}"


def parse_json(line: str | bytes) -> Any:
    """Parse a line of JSON.

    Raises:
        BrokenImageError: It is none.
    """
    try:
        return json.loads(line)
    except (ValueError, RecursionError) as error:  # RecursionError: deeply nested brackets
        text = line.decode("utf-8", "replace") if isinstance(line, bytes) else line
        raise BrokenImageError(f"not JSON: {shorten(text.strip())}") from error


def word_fields(fields: Any, name_field: str = "filename") -> tuple[str, str | None]:
    """Return file name and label of a word, which an annotation gives as a JSON object.

    Raises:
        BrokenImageError: It has no file name, or one of the two is no Unicode text.
    """
    name = fields.get(name_field) if isinstance(fields, dict) else None
    if not isinstance(name, str) or not name:
        raise BrokenImageError(f"not a JSON object with a {name_field!r}: {shorten(str(fields))}")
    text = fields.get("text")
    if text is not None and not isinstance(text, str):
        raise BrokenImageError(f"'text' is not a string: {shorten(str(fields))}")
    path = file_name(name)
    if path is None or not is_unicode(text or ""):
        raise BrokenImageError(f"not Unicode text: {shorten(name)}, {shorten(text or '')}")
    return path, text


def shorten(text: str) -> str:
    """Return a text for messages, in quotes and without what is beyond 60 characters."""
    return repr(text if len(text) <= 60 else text[:57] + "...")


def _is_binary(path: str) -> bool:
    """Return whether a file looks like a model, an archive, or text in UTF-16."""
    with open(path, "rb") as file:
        return b"\0" in file.read(_CHECKED_BYTES)


def _line_starts(path: str) -> np.ndarray:
    """Find where each line of a file that is not blank starts: uint64 byte offsets."""
    offset = 0
    starts = [np.zeros(0, np.uint64)]
    with open(path, "rb") as file:
        while lines := file.readlines(_CHUNK):
            ends = offset + np.cumsum([0, *map(len, lines)], dtype=np.uint64)
            if int(np.diff(ends).max()) > _MAX_LINE:
                raise ValueError(
                    f"{path!r} is not JSON lines: a line after byte {offset:,} is too long"
                )
            starts.append(ends[:-1][[not line.isspace() for line in lines]])
            offset = int(ends[-1])
    return np.concatenate(starts)
