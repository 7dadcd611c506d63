"""Annotation files: their entries, and the folder that their file names are relative to."""

from __future__ import annotations

import contextlib
import os
import re
from collections.abc import Callable, Iterator, Sequence
from functools import partial
from typing import Any, NamedTuple

from mms_ocr.datasets.sources.jsonl import parse_json, shorten, word_fields
from mms_ocr.utils.errors import BrokenImageError

_QUOTED = re.compile(r'^\s*(\S+?)\s*,\s*"(.*)"\s*$')  # ICDAR's: word_1.png, "Tiredness"
_PROBED = 40  # entries whose images are looked for, spread over the file
_PARENTS = 3
_Pair = tuple[str, str | None]  # file name and label


class Annotation(NamedTuple):
    """Entry of an annotation file."""

    place: str  # file and line or entry, for messages
    filename: str = ""  # path of the image as it is in the file
    text: str | None = None
    fault: str | None = None  # what is wrong with the entry


def read_annotations(path: str) -> list[Annotation]:
    """Read an annotation file.

    Its content decides between three kinds: MMOCR's JSON, ``{"data_list": [{"img_path": …,
    "instances": [{"text": …}]}]}``, as Union14M-L has it; JSON lines with ``filename`` and
    ``text``; and lines of a file name and a label, with a tab, a space, or ICDAR's comma and quotes
    between them, as in the first line.

    Raises:
        FileNotFoundError: There is no such file.
        ValueError: It is empty, no text, or JSON of another kind.
    """
    if not os.path.isfile(path):
        raise FileNotFoundError(f"no annotation file {path}")
    try:
        with open(path, encoding="utf-8-sig") as file:  # a byte order mark is not a part of a name
            text = file.read()
    except UnicodeDecodeError as error:
        line = error.object[: error.start].count(b"\n") + 1
        raise ValueError(
            f"{path}, line {line}: no UTF-8 text ({error.reason}); save the file as UTF-8"
        ) from error
    # Not by splitlines: labels may hold characters that it treats as line ends.
    lines = text.split("\n")
    first = next((line for line in lines if line.strip()), None)
    if first is None:
        raise ValueError(f"{path} has no lines")
    parse: Callable[[str], _Pair] = _parse_json_line
    if not first.lstrip().startswith(("{", "[")):
        is_quoted = _QUOTED.match(first) and "\t" not in first
        parse = _parse_quoted if is_quoted else partial(_parse_text, "\t" if "\t" in first else " ")
    elif (entries := _data_list(first, text, path)) is not None:
        numbered = enumerate(entries, start=1)
        return [_annotate(f"{path}, entry {n}", _parse_mmocr, entry) for n, entry in numbered]
    return [
        _annotate(f"{path}, line {number}", parse, line)
        for number, line in enumerate(lines, start=1)
        if line.strip()
    ]


def find_data_root(source: str, annotations: Sequence[Annotation] | None = None) -> str:
    """Find the folder that the file names of an annotation file are relative to.

    It is the only folder that has images of these names: the file's own, one of the three above it
    or one within its own; or, if none of these has an image, one beside its own.

    Raises:
        FileNotFoundError: None has one.
        ValueError: Several have, or the file or its first entry cannot be read.
    """
    if annotations is None:
        annotations = read_annotations(source)
    spread = annotations[:: max(1, len(annotations) // _PROBED)]
    names = [plain_name(entry.filename) for entry in spread if entry.fault is None]
    if not spread:
        raise ValueError(f"{source} has no words")
    if not names:
        raise ValueError(f"{spread[0].place}: {spread[0].fault}; see docs/reading.md for the forms")
    own = os.path.dirname(os.path.abspath(source))
    above = [own]
    for _ in range(_PARENTS):
        above.append(os.path.dirname(above[-1]))
    for folders in ([*above, *_folders_in(own)], _folders_in(above[1])):
        files = {folder: _files(folder, names) for folder in folders}
        best = max(files, key=lambda folder: len(files[folder]), default=own)
        others = [folder for folder in files if not files[folder] <= files[best]]
        if others:
            raise ValueError(
                f"{source}: images of these names are in {best} and in {others[0]}; choose one "
                "with --data-root"
            )
        if files.get(best):
            return best
    raise FileNotFoundError(
        f"the images of {source} were not found: {names[0]!r} is neither in {own} nor in the "
        f"{_PARENTS} folders above it, nor in one within or beside it; give --data-root"
    )


def plain_name(filename: str) -> str:
    """Return a file name with this system's separators; annotations from Windows have others."""
    return filename.replace("\\", "/")


def _folders_in(folder: str) -> Iterator[str]:
    # A folder above may be one that this user cannot list.
    with contextlib.suppress(PermissionError):
        for name in sorted(os.listdir(folder)):
            path = os.path.join(folder, name)
            if not name.startswith(".") and os.path.isdir(path):
                yield path


def _files(folder: str, names: Sequence[str]) -> set[str]:
    """Find the names that are files in a folder, by any link."""
    paths = (os.path.join(folder, name) for name in names)
    return {os.path.realpath(path) for path in paths if os.path.isfile(path)}


def _data_list(first: str, text: str, path: str) -> list[Any] | None:
    """Return the entries of MMOCR's JSON; None for JSON lines, of which this is the first."""
    with contextlib.suppress(BrokenImageError):
        fields = parse_json(first)
        if isinstance(fields, dict) and "data_list" not in fields:
            return None
    try:
        content = parse_json(text)
    except BrokenImageError as error:
        raise ValueError(f"{path} is not JSON, or is truncated: {error.__cause__}") from error
    entries = content.get("data_list") if isinstance(content, dict) else None
    if not isinstance(entries, list):
        raise ValueError(f"{path} is JSON, but no object with a list 'data_list' as MMOCR's")
    return entries


def _annotate(place: str, parse: Callable[[Any], _Pair], entry: Any) -> Annotation:
    try:
        return Annotation(place, *parse(entry))
    except BrokenImageError as error:
        return Annotation(place, fault=str(error))


def _parse_text(separator: str, line: str) -> _Pair:
    # A label may be empty after a tab.
    parts = (line if separator == "\t" else line.strip()).partition(separator)
    if not parts[1]:
        raise BrokenImageError(f"no file name and label as in the first line: {shorten(line)}")
    return word_fields(dict(filename=parts[0].strip(), text=parts[2].strip()))


def _parse_quoted(line: str) -> _Pair:
    match = _QUOTED.match(line)
    if match is None:
        raise BrokenImageError(f"no file name and label as in the first line: {shorten(line)}")
    # Quotes within the label are escaped.
    text = match[2].replace('\\"', '"').replace("\\\\", "\\")
    return word_fields(dict(filename=match[1], text=text))


def _parse_json_line(line: str) -> _Pair:
    return word_fields(parse_json(line))


def _parse_mmocr(entry: Any) -> _Pair:
    instances = entry.get("instances") if isinstance(entry, dict) else None
    if not isinstance(instances, list) or len(instances) != 1:
        count = len(instances) if isinstance(instances, list) else "no"
        raise BrokenImageError(f"{count} instances, and a word image has one")
    label = instances[0].get("text") if isinstance(instances[0], dict) else None
    return word_fields(dict(entry, text=label), "img_path")
