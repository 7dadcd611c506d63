"""Images named by JSON lines: ``{"filename": "train/1.jpg", "text": "You"}``."""

from __future__ import annotations

import json
import os
from typing import Any, NamedTuple

import numpy as np

from mms_ocr.datasets.sources.base import ImageSource, RawImage, check_unchanged, file_state
from mms_ocr.utils.decoding import read_image_file
from mms_ocr.utils.errors import BrokenImageError
from mms_ocr.utils.escaping import file_name, is_unicode

_LINES_PER_MARK = 16  # the index has the position of every 16th line
_CHUNK = 1 << 20  # bytes of lines that are indexed at a time
_MAX_LINE = 1 << 24  # bytes; a file with longer lines is of another kind
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

    The first 10,000 lines are parsed when the source is opened, so that a wrong file is reported
    before a run starts. The file must not change while it is in use.

    Args:
        path: The annotation file. Blank lines are skipped.
        data_root: Folder that file names are relative to, and that they must not leave; by default
            the annotation file's own.
        field: Name of the field with the file name, such as ``mask``.

    Raises:
        FileNotFoundError: The file or ``data_root`` does not exist.
        ValueError: It has no lines, or one of the first lines is no JSON object with a
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
        self._real_root = os.path.abspath(self.data_root)
        self._state = file_state(path)
        self._length, self._marks = _mark_lines(path)
        if not self._length:
            raise ValueError(f"annotation file {path!r} has no lines")
        for start in range(0, min(_CHECKED_LINES, self._length), _LINES_PER_MARK):
            for index, raw in enumerate(self._read_block(start), start):
                try:
                    self._parse(index, raw)
                except BrokenImageError as error:
                    is_other_kind = index == 0 and field == "filename" and ": not " in str(error)
                    raise ValueError(f"{error}{_ADVICE * is_other_kind}") from error

    def __len__(self) -> int:
        return self._length

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
        """Return whether the first line has a field of this name."""
        return field in json.loads(self._read_block(0)[0])

    def check_labels(self) -> None:
        """See :meth:`ImageSource.check_labels`; reads the first line."""
        if self._line(0).text is None:
            fields = ", ".join(json.loads(self._read_block(0)[0]))
            raise ValueError(
                f"annotation file {self.path!r} has no labels: its first line has no 'text', only "
                f"{fields}; set labelled=False to use its images without labels"
            )

    def has_labels(self) -> bool:
        """See :meth:`ImageSource.has_labels`."""
        for start in range(0, self._length, _LINES_PER_MARK):
            for index, raw in enumerate(self._read_block(start), start):
                try:
                    if self._parse(index, raw).text is not None:
                        return True
                except BrokenImageError:  # reported when it is read
                    continue
        return False

    def _line(self, index: int) -> _Line:
        if not 0 <= index < self._length:
            raise IndexError(f"index {index} is outside [0, {self._length})")
        return self._parse(index, self._read_block(index)[index % _LINES_PER_MARK])

    def _read_block(self, index: int) -> list[bytes]:
        """Read the lines that share the mark of the line at ``index``."""
        start, end = map(int, self._marks[index // _LINES_PER_MARK :][:2])
        with open(self.path, "rb") as file:
            check_unchanged(self.path, file.fileno(), self._state)
            file.seek(start)
            return [line for line in file.read(end - start).split(b"\n") if line.strip()]

    def _parse(self, index: int, raw: bytes) -> _Line:
        """Parse a line; every fault of it is a BrokenImageError that names file and line."""
        try:
            fields = json.loads(raw)
        except (ValueError, RecursionError):  # RecursionError: deeply nested brackets
            raise BrokenImageError(f"{self._place(index)}: not JSON: {_shorten(raw)}")
        filename = fields.get(self.field) if isinstance(fields, dict) else None
        if not isinstance(filename, str) or not filename:
            raise BrokenImageError(
                f"{self._place(index)}: not a JSON object with a {self.field!r}: {_shorten(raw)}"
            )
        if ".." in filename or os.path.isabs(filename):
            inside = os.path.normpath(os.path.join(self._real_root, filename))
            if not inside.startswith(self._real_root.rstrip(os.sep) + os.sep):
                raise BrokenImageError(
                    f"{self._place(index)}: file name {filename!r} is outside of the data root "
                    f"{self.data_root!r}"
                )
        text = fields.get("text")
        if text is not None and not isinstance(text, str):
            raise BrokenImageError(f"{self._place(index)}: 'text' is no string: {_shorten(raw)}")
        path = file_name(filename)
        if path is None or not is_unicode(text or ""):
            raise BrokenImageError(f"{self._place(index)}: not Unicode text: {_shorten(raw)}")
        return _Line(path, text, fields.get("char_boxes"))

    def _place(self, index: int) -> str:
        """Return file and line number for messages, counted from 1 with the blank lines."""
        filled = -1
        with open(self.path, "rb") as file:
            for number, line in enumerate(file, start=1):
                filled += bool(line.strip())
                if filled == index:
                    return f"{self.path}, line {number}"
        return f"{self.path}, entry {index + 1}"


def _mark_lines(path: str) -> tuple[int, np.ndarray]:
    """Count the lines of a file that are not blank, and find where every 16th of them begins.

    Returns:
        The count, and byte offsets, the last of which is the end of the file.
    """
    count = offset = 0
    marks = []
    with open(path, "rb") as file:
        while lines := file.readlines(_CHUNK):
            lengths = np.fromiter(map(len, lines), np.int64, len(lines))
            if lengths.max() > _MAX_LINE:
                raise ValueError(
                    f"{path!r} is no JSON lines: a line after byte {offset:,} is too long"
                )
            is_blank = np.fromiter(map(bytes.isspace, lines), bool, len(lines))
            starts = (offset + np.cumsum(lengths) - lengths)[~is_blank]
            marks.append(starts[-count % _LINES_PER_MARK :: _LINES_PER_MARK])
            count += len(starts)
            offset += int(lengths.sum())
    return count, np.concatenate([*marks, [offset]]).astype(np.uint64)


def _shorten(raw: bytes) -> str:
    text = raw.decode("utf-8", "replace").strip()
    return repr(text if len(text) <= 60 else text[:57] + "...")
