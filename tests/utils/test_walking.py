"""Listing a folder tree, and file names in little memory."""

from __future__ import annotations

import os
import pickle
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from mms_ocr.utils.walking import IMAGE_SUFFIXES, CompactNames, list_files


def walked(root: Path) -> list[str]:
    """List names in a slow and obvious way."""
    names = []
    for folder, folders, files in os.walk(root):
        folders.sort()
        images = sorted(name for name in files if name.lower().endswith(IMAGE_SUFFIXES))
        names += [os.path.relpath(os.path.join(folder, name), root) for name in images]
    return names


def test_files_are_listed_in_order(tmp_path):
    for name in ("a.png", "b/1.jpg", "b/2.JPG", "b/c/3.png", "d/4.webp", "d/notes.txt", "e/x.txt"):
        file = tmp_path / name
        file.parent.mkdir(parents=True, exist_ok=True)
        file.write_bytes(b"x")
    names = list_files(str(tmp_path)).names
    assert (
        list(names) == walked(tmp_path) == ["a.png", "b/1.jpg", "b/2.JPG", "b/c/3.png", "d/4.webp"]
    )


@pytest.mark.parametrize("count", [0, 1, 63, 64, 65, 1000])
def test_compact_names(count):
    names = [f"folder{number // 7}/wörd_{number}\udcff.jpg" for number in range(count)]
    compact = pickle.loads(pickle.dumps(CompactNames(iter(names))))
    assert [compact[index] for index in range(len(compact))] == list(compact) == names
    with pytest.raises(IndexError):
        compact[count]


@given(st.lists(st.text(st.characters(codec="utf-8", exclude_characters="\0")), max_size=200))
def test_any_names_are_read_back(names):
    assert list(CompactNames(names)) == names
