"""The listing of a folder tree that is kept: taken while the tree is the same, and only then."""

from __future__ import annotations

import logging
import os
import pickle
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from mms_ocr.datasets.sources import FolderSource, listing
from mms_ocr.utils.listing import cache_folder, list_files
from mms_ocr.utils.names import CompactNames


def all_of(names: CompactNames) -> list[str]:
    return [names[index] for index in range(len(names))]


def walked(root: Path) -> list[str]:
    """Names by a slow and obvious way."""
    found = []
    for folder, folders, files in os.walk(root):
        folders.sort()
        images = sorted(name for name in files if name.lower().endswith(listing.IMAGE_SUFFIXES))
        found += [os.path.relpath(os.path.join(folder, name), root) for name in images]
    return found


@pytest.fixture
def cache(tmp_path, monkeypatch) -> Path:
    monkeypatch.setenv("MMS_OCR_CACHE", str(tmp_path / "cache"))
    monkeypatch.setattr(listing, "_FEWEST_KEPT", 1)
    monkeypatch.setattr(listing, "_SETTLED", -60.0)
    return tmp_path / "cache" / "listings"


@pytest.fixture
def tree(tmp_path, next_tick) -> Path:
    for name in ("a.png", "b/1.jpg", "b/2.JPG", "b/c/3.png", "d/4.webp", "d/notes.txt", "e/x.txt"):
        file = tmp_path / "tree" / name
        file.parent.mkdir(parents=True, exist_ok=True)
        file.write_bytes(b"x")
    next_tick()  # what is changed from now on gets another time
    return tmp_path / "tree"


def test_it_is_kept_and_taken(tree, cache, monkeypatch):
    first = all_of(list_files(str(tree)))
    assert first == walked(tree) == ["a.png", "b/1.jpg", "b/2.JPG", "b/c/3.png", "d/4.webp"]
    assert len(list(cache.iterdir())) == 1

    def forbidden(*_):
        raise AssertionError("listed again")

    monkeypatch.setattr(listing, "Walk", forbidden)
    assert all_of(list_files(str(tree))) == first
    source = pickle.loads(pickle.dumps(FolderSource(str(tree))))
    assert source.read(3).name == str(tree / "b/c/3.png")


def add(tree: Path) -> None:
    (tree / "b" / "c" / "new.png").write_bytes(b"x")


def remove(tree: Path) -> None:
    (tree / "b" / "1.jpg").unlink()


def rename(tree: Path) -> None:
    (tree / "d" / "4.webp").rename(tree / "d" / "5.webp")


def move_folder(tree: Path) -> None:
    (tree / "b" / "c").rename(tree / "d" / "c")


def new_folder(tree: Path) -> None:
    (tree / "e" / "f").mkdir()
    (tree / "e" / "f" / "6.png").write_bytes(b"x")


def with_old_time(tree: Path) -> None:
    """As tools do it that copy a folder with its times."""
    before = os.stat(tree / "b")
    remove(tree)
    os.utime(tree / "b", ns=(before.st_atime_ns, before.st_mtime_ns))


@pytest.mark.parametrize("change", [add, remove, rename, move_folder, new_folder, with_old_time])
def test_a_change_is_seen(tree, cache, change):
    before = all_of(list_files(str(tree)))
    change(tree)
    after = all_of(list_files(str(tree)))
    assert after == walked(tree)
    assert after != before
    assert all_of(list_files(str(tree))) == after


@pytest.mark.parametrize("damage", ["cut", "flip", "empty", "other", "gone"])
def test_a_damaged_or_vanished_cache_is_made_again(tree, cache, damage):
    expected = all_of(list_files(str(tree)))
    (file,) = cache.iterdir()
    data = bytearray(file.read_bytes())
    if damage == "cut":
        file.write_bytes(data[: len(data) // 2])
    elif damage == "flip":
        place = data.index(b"names.npy") + 150  # in the packed names
        data[place] ^= 0xFF
        file.write_bytes(data)
    elif damage == "empty":
        file.write_bytes(b"")
    elif damage == "other":
        file.write_bytes(b"not a listing")
    else:
        file.unlink()
    assert all_of(list_files(str(tree))) == expected
    assert all_of(list_files(str(tree))) == expected
    assert len(list(cache.iterdir())) == 1


def test_small_trees_and_fresh_ones_are_not_kept(tree, cache, monkeypatch):
    monkeypatch.setattr(listing, "_SETTLED", 2.0)  # the tree has just been made
    list_files(str(tree))
    monkeypatch.setattr(listing, "_SETTLED", -60.0)
    monkeypatch.setattr(listing, "_FEWEST_KEPT", 6)
    list_files(str(tree))
    assert not cache.exists()


def test_where_it_is_kept(monkeypatch, tmp_path):
    monkeypatch.delenv("MMS_OCR_CACHE", raising=False)
    monkeypatch.setenv("XDG_CACHE_HOME", str(tmp_path))
    assert cache_folder() == tmp_path / "mms_ocr"
    monkeypatch.setenv("XDG_CACHE_HOME", "")
    monkeypatch.setenv("HOME", str(tmp_path / "home"))
    assert cache_folder() == tmp_path / "home" / ".cache" / "mms_ocr"
    monkeypatch.setenv("MMS_OCR_CACHE", "")
    assert cache_folder() is None


def test_a_cache_that_cannot_be_written_is_told(tree, cache, monkeypatch, tmp_path, capsys):
    (tmp_path / "file").write_text("")
    monkeypatch.setenv("MMS_OCR_CACHE", str(tmp_path / "file"))
    assert all_of(list_files(str(tree))) == walked(tree)
    logging.getLogger("current")
    said = capsys.readouterr().out
    assert "cannot be kept in" in said
    assert "MMS_OCR_CACHE names another folder" in said
    monkeypatch.setenv("MMS_OCR_CACHE", "")
    assert all_of(list_files(str(tree))) == walked(tree)
    assert "cannot" not in capsys.readouterr().out


@given(st.lists(st.text(st.characters(codec="utf-8", exclude_characters="\0")), max_size=200))
def test_names_are_the_same_when_they_are_kept(names):
    made = CompactNames(names)
    again = CompactNames.of(made.blob, made.starts)
    assert all_of(again) == all_of(made) == names
