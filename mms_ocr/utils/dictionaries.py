"""Dictionary files: the characters of a recognizer, one a line."""

from __future__ import annotations

from pathlib import Path
from typing import Any

from mms_ocr.registry import nested_settings

_SPECIAL = ("start", "end", "padding", "unknown")  # MMOCR's tokens


def read_dictionary(path: str) -> list[str]:
    """Read the characters of a dictionary file, as MMOCR's ``Dictionary``: one or none a line.

    Raises:
        FileNotFoundError: There is no such file.
        ValueError: It is not UTF-8 or begins with a byte order mark, a line has several
            characters, a character is repeated, or there are none.
    """
    if not Path(path).is_file():
        raise FileNotFoundError(f"no dictionary file {path}")
    try:
        lines = Path(path).read_text(encoding="utf-8").split("\n")
    except UnicodeDecodeError as error:
        raise ValueError(
            f"{path}: not UTF-8 text ({error.reason} at byte {error.start}); save it as UTF-8"
        ) from error
    if lines[0].startswith("\ufeff"):
        raise ValueError(f"{path} begins with a byte order mark; save it as UTF-8 without one")
    places: dict[str, int] = {}
    for number, line in enumerate(lines, start=1):
        if len(line) > 1:
            codes = " ".join(f"U+{ord(character):04X}" for character in line[:8])
            raise ValueError(
                f"{path}, line {number}: one character a line, not {line[:60]!r} ({codes})"
            )
        if line in places:
            raise ValueError(
                f"{path}: the character {line!r} (U+{ord(line):04X}) is there twice, in line "
                f"{places[line]} and in line {number}; remove one of them"
            )
        if line:
            places[line] = number
    if not places:
        raise ValueError(f"dictionary file {path} has no characters")
    return list(places)


def check_dictionaries(config: Any) -> None:
    """Check the dictionary files of a config, at any depth; see :func:`read_dictionary`.

    Raises:
        ValueError: Also where two special tokens, or a token and a character, are the same.
    """
    for dictionary in nested_settings(config):
        if not isinstance(dictionary.get("dict_file"), str):
            continue
        known = read_dictionary(dictionary["dict_file"])
        for name in _SPECIAL:
            token = dictionary.get(f"{name}_token")
            if token is None or not dictionary.get(f"with_{name}"):
                continue
            if token in known and not (name == "end" and dictionary.get("same_start_end")):
                raise ValueError(
                    f"{name}_token={token!r} of the dictionary {dictionary['dict_file']} is one of "
                    "its characters or other tokens; give another"
                )
            known.append(token)
