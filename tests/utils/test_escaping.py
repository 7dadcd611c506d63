"""File names are bytes: escaped in output, and read back from files."""

from __future__ import annotations

import io
import json
import os
import sys

import pytest

from mms_ocr.utils.escaping import escape_output, file_name, is_unicode, printable, to_json, visible


def test_json_keeps_names_and_escapes_for_the_encoding():
    name = os.fsdecode(b"caf\xe9 \xc3\xa9.jpg")
    assert json.loads(to_json({"image": name})) == {"image": name}
    assert to_json("é") == '"é"'
    assert to_json("é", "ascii") == to_json("é", None) == '"\\u00e9"'


@pytest.mark.parametrize("encoding", ["utf-8", "ascii"])
def test_output_escapes_what_it_cannot_show(monkeypatch, encoding):
    streams = [io.TextIOWrapper(io.BytesIO(), encoding, errors="strict") for _ in range(2)]
    monkeypatch.setattr(sys, "stdout", streams[0])
    monkeypatch.setattr(sys, "stderr", streams[1])
    escape_output()
    for stream in streams:
        stream.write(os.fsdecode(b"caf\xe9 \xc3\xa9"))
        stream.flush()
        shown = {"utf-8": "caf\\udce9 é".encode(), "ascii": b"caf\\udce9 \\xe9"}[encoding]
        assert stream.buffer.getvalue() == shown


def test_closed_output_is_written_nowhere(monkeypatch):
    monkeypatch.setattr(sys, "stdout", None)
    monkeypatch.setattr(sys, "stderr", None)
    escape_output()
    print("word", file=sys.stderr)
    print("word")
    assert (sys.stdout.encoding, sys.stderr.isatty()) == ("utf-8", False)


def test_characters_that_people_can_see():
    assert [visible(character) for character in " é\u200b"] == ["␣", "é", "U+200B"]


def test_output_without_an_encoding_is_unchanged(monkeypatch):
    monkeypatch.setattr(sys, "stdout", io.StringIO())
    monkeypatch.setattr(sys, "stderr", None)
    escape_output()
    print("caf\udce9")
    assert sys.stdout.getvalue() == "caf\udce9\n"


def test_controls_do_not_reach_the_terminal():
    assert printable("a\tb\n\x1b[31mc\x9b\u2028\x7f") == r"a\tb\n\x1b[31mc\x9b\u2028\x7f"
    assert printable("C:\\né ‍ن\u200cم") == "C:\\né ‍ن\u200cم"


def test_names_in_json_are_those_of_files():
    for data in (b"caf\xe9.png", b"caf\xc3\xa9.png"):
        name = os.fsdecode(data)
        stored = file_name(json.loads(to_json(name)))
        assert stored == name
        assert os.fsencode(stored) == data
    assert file_name("half \ud800") is None
    assert file_name("null \0") is None
    assert is_unicode("é")
    assert not is_unicode(os.fsdecode(b"caf\xe9"))
