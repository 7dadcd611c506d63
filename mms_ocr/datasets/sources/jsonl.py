"""Images named by JSON lines: ``{"filename": "train/1.jpg", "text": "You"}``."""

from __future__ import annotations

import contextlib
import json
import os
from collections.abc import Iterator
from typing import Any, NamedTuple

import numpy as np

from mms_ocr.datasets.sources.base import (
    PUT_BACK,
    ImageSource,
    RawImage,
    SourceChangedError,
    open_descriptor,
    read_at,
)
from mms_ocr.datasets.sources.folder import Witnesses, read_image_file
from mms_ocr.utils.errors import BrokenImageError, warn
from mms_ocr.utils.escaping import file_name, is_unicode
from mms_ocr.utils.layouts import LABELS_FILE

_LINES_PER_MARK = 16  # the index keeps the place of every 16th line
_CHUNK = 1 << 20  # bytes scanned at a time
_LONGEST_LINE = 1 << 24  # bytes; longer ones are of some other file
_CHECKED_LINES = 10_000  # parsed when the source is made; the rest when they are read
# Where the first line is wrong already, the file is most likely of another kind.
_ADVICE = (
    '; a line is {"filename": "1.jpg", "text": "You"}, the text where there are labels; '
    "mms-ocr labels makes such lines of MMOCR's JSON and of text files"
)


class _Line(NamedTuple):
    filename: str
    text: str | None
    char_boxes: Any


class JsonlSource(ImageSource):
    """Images named by an annotation file of JSON lines, as MMOCR writes them.

    Only the place of every 16th line is kept in memory. The first 10,000 lines are parsed at once,
    so that a wrong file is refused before a run starts.

    Args:
        path: The annotation file. Empty lines in it are passed over.
        data_root: Folder that file names are relative to; by default the annotation file's own.
            No file name may lead out of it.
        field: Name of the field with the file name: another one for masks and the like.

    Raises:
        FileNotFoundError: The file or ``data_root`` does not exist.
        ValueError: It has no lines, or one of its first lines is no JSON object with a
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
        self._descriptor = -1
        status = os.stat(path)
        self._stamp = (status.st_size, status.st_mtime_ns)
        self._length, self._marks = _mark_lines(path)
        if not self._length:
            raise ValueError(f"annotation file {path!r} has no lines")
        for index in range(min(_CHECKED_LINES, self._length)):
            try:
                self._line(index)
            except BrokenImageError as error:
                of_another_kind = index == 0 and field == "filename" and ": not " in str(error)
                raise ValueError(f"{error}{_ADVICE * of_another_kind}") from error
        self._witnesses = Witnesses(self.data_root, self._some_paths())

    def __len__(self) -> int:
        return self._length

    def __getstate__(self) -> dict[str, Any]:
        return {**self.__dict__, "_descriptor": -1}

    def __del__(self) -> None:
        if getattr(self, "_descriptor", -1) >= 0:
            os.close(self._descriptor)

    def name(self, index: int) -> str:
        """The path of the image file."""
        return os.path.join(self.data_root, self._line(index).filename)

    def read(self, index: int, labelled: bool = False) -> RawImage:
        """See :meth:`ImageSource.read`."""
        line = self._line(index)
        if labelled and line.text is None:
            raise BrokenImageError(f"{self._place(index)}: the object has no 'text'")
        path = os.path.join(self.data_root, line.filename)
        data = read_image_file(path, self.data_root, self._witnesses)
        return RawImage(data, path, *(line[1:] if labelled else (None,)))

    def check(self) -> None:
        """See :meth:`ImageSource.check`."""
        if not os.path.isfile(self.path):
            raise SourceChangedError(self._changed("vanished"))
        self._compare(os.stat(self.path))
        self._witnesses.check()

    def has_field(self, field: str) -> bool:
        """Whether the first line has a field of this name."""
        return field in self._parse(0, self._raw_line(0))

    def check_labels(self) -> None:
        """See :meth:`ImageSource.check_labels`; looks at the first line."""
        if self._line(0).text is None:
            keys = ", ".join(self._parse(0, self._raw_line(0)))
            raise ValueError(
                f"annotation file {self.path!r} has no labels (no 'text' in its first line, which "
                f"has {keys}): "
                "set labelled=False to use its images without them"
            )

    def has_labels(self) -> bool:
        """See :meth:`ImageSource.has_labels`."""
        for index in range(self._length):
            with contextlib.suppress(BrokenImageError):  # reported when it is read
                if self._line(index).text is not None:
                    return True
        return False

    def _line(self, index: int) -> _Line:
        """Parse one line; every fault of it is a BrokenImageError that names file and line."""
        raw = self._raw_line(index)
        fields = self._parse(index, raw)
        filename = fields.get(self.field) if isinstance(fields, dict) else None
        if not isinstance(filename, str) or not filename:
            raise BrokenImageError(
                f"{self._place(index)}: not a JSON object with a {self.field!r}: {_shorten(raw)}"
            )
        if ".." in filename or os.path.isabs(filename):
            inside = os.path.normpath(os.path.join(self._real_root, filename))
            if not inside.startswith(self._real_root.rstrip(os.sep) + os.sep):
                raise BrokenImageError(
                    f"{self._place(index)}: file name {filename!r} leads out of the data root "
                    f"{self.data_root!r}"
                )
        text = fields.get("text")
        if text is not None and not isinstance(text, str):
            raise BrokenImageError(f"{self._place(index)}: 'text' is no string: {_shorten(raw)}")
        path = file_name(filename)
        if path is None or not is_unicode(text or ""):
            raise BrokenImageError(f"{self._place(index)}: not Unicode text: {_shorten(raw)}")
        return _Line(path, text, fields.get("char_boxes"))

    def _parse(self, index: int, raw: bytes) -> Any:
        try:
            return json.loads(raw)
        except (ValueError, RecursionError):  # brackets in brackets in brackets
            raise BrokenImageError(f"{self._place(index)}: not JSON: {_shorten(raw)}")

    def _raw_line(self, index: int) -> bytes:
        if not 0 <= index < self._length:
            raise IndexError(f"index {index} outside [0, {self._length})")
        mark, place = divmod(index, _LINES_PER_MARK)
        start, end = int(self._marks[mark]), int(self._marks[mark + 1])
        # Not mapped into memory: reading past the end of a file that was cut is no crash here.
        descriptor = self._opened()
        self._compare(os.fstat(descriptor))
        block = read_at(descriptor, end - start, start)
        if len(block) < end - start:
            raise SourceChangedError(self._changed("shrank"))
        if place == 0:
            return block.split(b"\n", 1)[0]
        return [line for line in block.split(b"\n") if line.strip()][place]

    def _opened(self) -> int:
        if self._descriptor < 0:
            try:
                self._descriptor = open_descriptor(self.path)
            except FileNotFoundError:
                raise SourceChangedError(self._changed("vanished"))
        return self._descriptor

    def _compare(self, status: os.stat_result) -> None:
        """Raise SourceChangedError if the annotation file is not what it was."""
        if (status.st_size, status.st_mtime_ns) != self._stamp:
            shrank = status.st_size < self._stamp[0]
            raise SourceChangedError(self._changed("shrank" if shrank else "was rewritten"))

    def _changed(self, what: str) -> str:
        return f"annotation file {self.path!r} {what} while it was in use; {PUT_BACK}"

    def _some_paths(self) -> Iterator[str]:
        for index in Witnesses.places(self._length):
            with contextlib.suppress(BrokenImageError):  # reported when it is read
                yield self.name(index)

    def _place(self, index: int) -> str:
        """File and number of a line, counted from 1 with the empty lines, for messages."""
        filled = -1
        with open(self.path, "rb") as file:
            for number, line in enumerate(file, start=1):
                filled += bool(line.strip())
                if filled == index:
                    return f"{self.path}, line {number}"
        return f"{self.path}, entry {index + 1}"


def open_labels_in(folder: str, field: str = "filename") -> JsonlSource | None:
    """Open ``labels.jsonl`` at the top of a folder, as ``convert`` and ``render`` write it.

    None, where there is none, or its first line has no such field.

    Raises:
        ValueError: It is malformed.
    """
    path = os.path.join(folder, LABELS_FILE)
    if not os.path.isfile(path):
        return None
    source = JsonlSource(path)
    if not source.has_field(field):
        return None
    warn(f"folder {folder!r}: reading the {len(source):,} words that {path!r} lists")
    return source


def _mark_lines(path: str) -> tuple[int, np.ndarray]:
    """Count the filled lines of a file, and find where every 16th of them begins.

    Returns:
        The count, and byte offsets with the end of the file as the last.
    """
    count = 0
    marks = []
    line_start = 0  # where the line begins that the next chunk goes on with
    with open(path, "rb") as file:
        offset = 0
        carry = b""  # the unfinished line, only kept to see whether it is blank
        while chunk := file.read(_CHUNK):
            breaks = np.flatnonzero(np.frombuffer(chunk, np.uint8) == 10) + offset
            starts = np.concatenate([[line_start], breaks + 1])
            if len(breaks):
                filled = _filled(starts, breaks, carry + chunk, offset - len(carry))
                starts_filled = starts[:-1][filled]
                first = -count % _LINES_PER_MARK
                marks.append(starts_filled[first::_LINES_PER_MARK].copy())
                count += len(starts_filled)
                carry = chunk[int(breaks[-1]) + 1 - offset :]
            else:
                carry += chunk
            line_start = int(starts[-1])
            if len(carry) > _LONGEST_LINE:
                raise ValueError(
                    f"{path!r} is no JSON lines: the line at byte {line_start:,} is over 16 MiB"
                )
            offset += len(chunk)
        if carry.strip():
            if count % _LINES_PER_MARK == 0:
                marks.append(np.array([line_start]))
            count += 1
    return count, np.concatenate([*marks, [offset]]).astype(np.uint64)


def _filled(
    starts: np.ndarray, breaks: np.ndarray, content: bytes, content_offset: int
) -> np.ndarray:
    """Which lines hold more than white space; only those that begin so are looked at one by one."""
    filled = np.ones(len(breaks), dtype=bool)
    begins = np.frombuffer(content, np.uint8)[starts[:-1] - content_offset]
    for line in np.flatnonzero(begins <= ord(" ")):
        start, end = int(starts[line]) - content_offset, int(breaks[line]) - content_offset
        filled[line] = bool(content[start:end].strip())
    return filled


def _shorten(raw: bytes) -> str:
    text = raw.decode("utf-8", "replace").strip()
    return repr(text if len(text) <= 60 else text[:57] + "...")
