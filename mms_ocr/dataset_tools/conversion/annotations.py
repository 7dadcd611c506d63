"""Annotation files of the field, one labelled word image after the other."""

from __future__ import annotations

import json
import os
import re
from collections.abc import Callable, Iterator
from itertools import chain
from typing import Any, NamedTuple, TextIO

from mms_ocr.utils.escaping import file_name, is_unicode

_CHUNK = 1 << 20  # characters read at a time
_LONGEST = 1 << 24  # characters of one entry; a longer one is of some other file
_QUOTED = re.compile(r'^\s*(\S+?)\s*,\s*"(.*)"\s*$')  # ICDAR's: word_1.png, "Tiredness"


class Annotation(NamedTuple):
    """What an annotation file says of one image.

    Attributes:
        place: File and line or entry, for messages.
        filename: Path of the image as it stands in the file.
        text: Label, or None where there is none.
        fault: What is wrong with the entry; None where it is in order.
    """

    place: str
    filename: str = ""
    text: str | None = None
    fault: str | None = None


def read_annotations(path: str) -> Iterator[Annotation]:
    """The entries of an annotation file, without keeping them in memory.

    Three kinds are known by what they hold: MMOCR's JSON, ``{"data_list": [{"img_path": …,
    "instances": [{"text": …}]}]}``, as Union14M-L has it; JSON lines with ``filename`` and
    ``text``; and text with a file name and a label a line, with a tab, a space, or ICDAR's comma
    and quotes between them, as the first line has it.

    Raises:
        FileNotFoundError: There is no such file.
        ValueError: It is empty, no text, or JSON of another kind.
    """
    if not os.path.isfile(path):
        raise FileNotFoundError(f"no annotation file {path}")
    # A mark at the beginning of the file is no character of the first name.
    with open(path, encoding="utf-8-sig") as file:
        try:
            yield from _read(file, path)
        except UnicodeDecodeError as error:
            raise ValueError(
                f"{path}, line {_undecodable_line(path)}: no UTF-8 text ({error.reason}); save the "
                "file as UTF-8"
            ) from error


def _undecodable_line(path: str) -> int:
    with open(path, "rb") as file:
        for number, line in enumerate(file, start=1):
            try:
                line.decode()
            except UnicodeDecodeError:
                return number
    return 1


def _read(file: TextIO, path: str) -> Iterator[Annotation]:
    start = file.read(_CHUNK)
    # Not by splitlines, here and below: labels may hold characters that it takes for line ends.
    first = next((line for line in start.split("\n") if line.strip()), "")
    if not first:
        raise ValueError(f"{path} has no lines")
    if not first.lstrip().startswith(("{", "[")):
        separate = _separator(first)
        yield from _read_lines(file, start, path, lambda line: _from_text(line, separate))
    elif _is_json_line(first):
        yield from _read_lines(file, start, path, _from_json_line)
    else:
        for number, entry in enumerate(_stream_data_list(file, start, path), start=1):
            yield _from_mmocr(entry, f"{path}, entry {number}")


def _is_json_line(line: str) -> bool:
    try:
        fields = json.loads(line)
    except ValueError:
        return False
    return isinstance(fields, dict) and "data_list" not in fields


def _read_lines(
    file: TextIO, start: str, path: str, parse: Callable[[str], tuple[str, str | None] | str]
) -> Iterator[Annotation]:
    rest = start.rpartition("\n")[2]
    complete = start.split("\n")[:-1]
    if rest:
        # The line that the first chunk ends in.
        complete.append(rest + file.readline())
    for number, line in enumerate(chain(complete, file), start=1):
        line = line.rstrip("\r\n")
        if not line.strip():
            continue
        place = f"{path}, line {number}"
        found = parse(line)
        if isinstance(found, str):
            yield Annotation(place, fault=found)
        else:
            yield Annotation(place, *found)


def _separator(first: str) -> Callable[[str], tuple[str, str] | None]:
    if "\t" in first:
        return lambda line: _cut(line, line.partition("\t"))
    if _QUOTED.match(first):
        return _cut_quoted
    return lambda line: _cut(line, line.strip().partition(" "))


def _cut(line: str, parts: tuple[str, str, str]) -> tuple[str, str] | None:
    name, separator, text = parts
    return (name.strip(), text.strip()) if separator else None


def _cut_quoted(line: str) -> tuple[str, str] | None:
    found = _QUOTED.match(line)
    # Quotes within the label are escaped.
    return (found[1], found[2].replace('\\"', '"').replace("\\\\", "\\")) if found else None


def _from_text(
    line: str, separate: Callable[[str], tuple[str, str] | None]
) -> tuple[str, str | None] | str:
    found = separate(line)
    if found is None:
        return f"no file name and label as in the first line: {_shorten(line)}"
    return _checked(*found)


def _from_json_line(line: str) -> tuple[str, str | None] | str:
    try:
        fields = json.loads(line)
    except ValueError:
        return f"not JSON: {_shorten(line)}"
    return _name_and_text(fields, "filename", fields if isinstance(fields, dict) else {})


def _from_mmocr(entry: Any, place: str) -> Annotation:
    instances = entry.get("instances") if isinstance(entry, dict) else None
    if not isinstance(instances, list) or len(instances) != 1:
        count = len(instances) if isinstance(instances, list) else "no"
        return Annotation(place, fault=f"{count} instances, and a word image has one")
    found = _name_and_text(entry, "img_path", instances[0])
    return Annotation(place, fault=found) if isinstance(found, str) else Annotation(place, *found)


def _name_and_text(fields: Any, key: str, holder: Any) -> tuple[str, str | None] | str:
    name = fields.get(key) if isinstance(fields, dict) else None
    if not isinstance(name, str) or not name:
        return f"no {key!r}: {_shorten(str(fields))}"
    text = holder.get("text") if isinstance(holder, dict) else None
    if text is not None and not isinstance(text, str):
        return f"'text' is no string: {_shorten(str(fields))}"
    return _checked(name, text)


def _checked(name: str, text: str | None) -> tuple[str, str | None] | str:
    """Return the name and the label, or what is wrong with them."""
    path = file_name(name)
    if path is None or not is_unicode(text or ""):
        return f"not Unicode text: {_shorten(name)}, {_shorten(text or '')}"
    return path, text


def _stream_data_list(file: TextIO, start: str, path: str) -> Iterator[Any]:
    """The entries of ``data_list`` in a JSON object, one after the other.

    Raises:
        ValueError: The file is no such object, or ends before the list does.
    """
    scanner = _Scanner(file, start, path)
    if scanner.next() != "{":
        raise ValueError(f"{path} is JSON, but no object with a 'data_list' as MMOCR writes it")
    scanner.take("{")
    while scanner.next() != "}":
        key = scanner.value()
        scanner.take(":")
        if key == "data_list":
            scanner.take("[")
            while scanner.next() != "]":
                yield scanner.value()
                if scanner.next() != "]":
                    scanner.take(",")
            return
        scanner.value()
        if scanner.next() != "}":
            scanner.take(",")
    raise ValueError(f"{path} is JSON without a 'data_list'")


class _Scanner:
    """Reads JSON value by value from a file of any size."""

    def __init__(self, file: TextIO, start: str, path: str) -> None:
        self._file, self._buffer, self._path = file, start, path
        self._place = 0
        self._decoder = json.JSONDecoder()

    def next(self) -> str:
        """The next character that is no white space; it stays."""
        while True:
            while self._place < len(self._buffer):
                if not self._buffer[self._place].isspace():
                    return self._buffer[self._place]
                self._place += 1
            if not self._fill():
                raise ValueError(f"{self._path} ends in the middle: it was cut short")

    def take(self, character: str) -> None:
        """Pass over a character that has to be there."""
        if self.next() != character:
            seen = _shorten(self._buffer[self._place : self._place + 60])
            raise ValueError(f"{self._path} is no JSON: {character!r} expected before {seen}")
        self._place += 1

    def value(self) -> Any:
        """The next value."""
        self.next()
        while True:
            try:
                value, end = self._decoder.raw_decode(self._buffer, self._place)
            except json.JSONDecodeError as error:
                too_long = len(self._buffer) - self._place > _LONGEST
                if too_long or not self._fill():
                    seen = _shorten(self._buffer[self._place : self._place + 60])
                    raise ValueError(f"{self._path} is no JSON: {error.msg} in {seen}") from error
                continue
            # A number at the end of what was read may go on.
            is_whole = end < len(self._buffer) and self._buffer[end] not in ".eE"
            if is_whole or not self._fill():
                self._place = end
                return value

    def _fill(self) -> bool:
        more = self._file.read(_CHUNK)
        self._buffer = self._buffer[self._place :] + more
        self._place = 0
        return bool(more)


def _shorten(text: str) -> str:
    return repr(text if len(text) <= 60 else text[:57] + "...")
