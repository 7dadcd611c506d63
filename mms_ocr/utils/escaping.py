"""Escaping of text, such as file names, for terminals, logs and JSON."""

from __future__ import annotations

import json
import os
import re
import sys
from typing import Any

_CONTROLS = re.compile("[\x00-\x1f\x7f-\x9f\u2028\u2029]")


def escape_output() -> None:
    """Make standard output and error escape what their encoding lacks, instead of failing.

    Closed ones, as by ``>&-``, become streams that nothing reads.
    """
    for name in ("stdout", "stderr"):
        if getattr(sys, name) is None:
            setattr(sys, name, open(os.devnull, "w", encoding="utf-8"))  # noqa: SIM115
    for stream in (sys.stdout, sys.stderr):
        if hasattr(stream, "reconfigure"):
            stream.reconfigure(errors="backslashreplace")


def printable(text: str) -> str:
    r"""Escape control characters and line breaks, such as ``\n`` and ``\x1b``."""
    return _CONTROLS.sub(lambda match: match[0].encode("unicode_escape").decode(), text)


def visible(character: str) -> str:
    """Return a character as people can see it: ␣ for a space, ``U+200B`` for an invisible one."""
    if character == " ":
        return "␣"
    return character if character.isprintable() else f"U+{ord(character):04X}"


def to_json(content: Any, encoding: str | None = "utf-8") -> str:
    """Return JSON in one line, with what ``encoding`` lacks escaped.

    Bytes of a file name that are not UTF-8 become escaped surrogates, which Python reads back.
    """
    text = json.dumps(content, ensure_ascii=False)
    try:
        text.encode(encoding or "ascii")
    except UnicodeEncodeError:
        return json.dumps(content)
    return text


def file_name(text: str) -> str | None:
    """Return the file name that a string of JSON means, see :func:`to_json`; None if it cannot be.

    JSON is in UTF-8, also where the names of the system's files are not.
    """
    try:
        name = os.fsdecode(text.encode("utf-8", "surrogateescape"))
    except UnicodeError:  # a surrogate that is not from a byte
        return None
    return None if "\0" in name else name


def is_unicode(text: str) -> bool:
    """Whether a text has no surrogates, which JSON lets through."""
    try:
        text.encode()
    except UnicodeEncodeError:
        return False
    return True
