"""Outputs are checked before the work: by what a file is, whatever it is called."""

from __future__ import annotations

import json
import os
from pathlib import Path

import pytest

from mms_ocr.utils.output_checks import check_new_set, check_outputs, check_picture_folder


@pytest.fixture
def words(tmp_path) -> Path:
    """A folder with ``1.png``, ``in/mask/2.jpg`` and ``words.jsonl``, which names both."""
    folder = tmp_path / "words"
    (folder / "in" / "mask").mkdir(parents=True)
    (folder / "1.png").write_bytes(b"one")
    (folder / "in" / "mask" / "2.jpg").write_bytes(b"two")
    line = dict(filename="1.png", mask="in/mask/2.jpg", text="a")
    (folder / "words.jsonl").write_text(json.dumps(line) + "\n[]\nno json\n")
    return folder


def other_names(path: Path, place: Path) -> list[Path]:
    """The same file by a link, a hard link, a linked folder, and another path."""
    (place / "link").symlink_to(path)
    os.link(path, place / "hard")
    (place / "linked").symlink_to(path.parent, target_is_directory=True)
    return [
        path,
        place / "link",
        place / "hard",
        place / "linked" / path.name,
        path.parent / ".." / path.parent.name / path.name,
        Path(os.path.relpath(path)),
    ]


@pytest.mark.parametrize(
    ("given", "inputs"),
    [
        ("1.png", ""),
        ("in/mask/2.jpg", ""),
        ("1.png", "words.jsonl"),
        ("in/mask/2.jpg", "words.jsonl"),
        ("words.jsonl", "words.jsonl"),
    ],
)
def test_outputs_never_replace_inputs(words, tmp_path, given, inputs):
    place = tmp_path / "place"
    place.mkdir()
    for path in other_names(words / given, place):
        with pytest.raises(ValueError, match=r"is the input|the output is not an image"):
            check_outputs([path], [words / inputs])
    check_outputs([place / "new", place / "link.txt"], [words])


def test_files_of_an_lmdb_labels_and_linked_images_are_inputs(words, tmp_path):
    (words / "data.mdb").write_bytes(b"")
    (words / "labels.jsonl").write_text("{}\n")
    elsewhere = tmp_path / "elsewhere"
    elsewhere.mkdir()
    (elsewhere / "3.png").write_bytes(b"three")
    (words / "linked").symlink_to(elsewhere, target_is_directory=True)
    (elsewhere / "loop").symlink_to(words, target_is_directory=True)
    for path in (words / "data.mdb", words / "labels.jsonl", elsewhere / "3.png"):
        with pytest.raises(ValueError, match=r"is the input|the output is not an image"):
            check_outputs([path], [words])


def test_file_names_are_relative_to_the_data_root(words, tmp_path):
    lines = tmp_path / "lines.jsonl"
    lines.write_text(json.dumps(dict(filename="words/1.png")) + "\n")
    check_outputs([words / "1.png"], [lines], data_root=str(words), suffixes=(".png",))
    with pytest.raises(ValueError, match=r"1\.png is the input"):
        check_outputs([words / "1.png"], [lines], suffixes=(".png",))


def test_one_place_for_two_outputs(tmp_path):
    (tmp_path / "b").symlink_to(tmp_path / "a")
    with pytest.raises(ValueError, match="two outputs"):
        check_outputs([tmp_path / "a", tmp_path / "b"], [])
    check_outputs(["/dev/null", "/dev/null"], [])


@pytest.mark.parametrize("output", ["", "inside/out", "link/out"])
def test_pictures_do_not_go_into_a_folder_that_is_read(words, tmp_path, output):
    (tmp_path / "link").symlink_to(words, target_is_directory=True)
    folder = Path(output.replace("link", str(tmp_path / "link"))) if output else words
    folder = folder if folder.is_absolute() else words / folder
    with pytest.raises(ValueError, match="would be among the images of"):
        check_picture_folder(folder, (".png",), [words])
    check_picture_folder(tmp_path / "new" / "deep", (".png",), [words])


def test_pictures_do_not_get_the_name_of_an_input(words, tmp_path):
    out = tmp_path / "out"
    out.mkdir()
    os.link(words / "1.png", out / "A.PNG")
    with pytest.raises(ValueError, match=r"A\.PNG is the input"):
        check_picture_folder(out, (".png",), [words])
    with pytest.raises(ValueError, match=r"1\.png is the input"):
        check_picture_folder(words, (".png",), [words / "1.png"])
    check_picture_folder(out, ("_mask.png",), [words])
    check_picture_folder(words, ("_mask.png",), [words / "1.png"])
    (out / "A.PNG").unlink()
    (out / "a.png").write_bytes(b"of the run before")
    check_picture_folder(out, (".png",), [words])


def test_invalid_output_folders(words):
    for folder in (words / "1.png", words / "1.png" / "out"):
        with pytest.raises(NotADirectoryError, match=r"1\.png is a file"):
            check_picture_folder(folder, (".png",), [])
    (words / "dangling").symlink_to(words / "nowhere")
    with pytest.raises(NotADirectoryError):
        check_picture_folder(words / "dangling", (".png",), [])


def test_new_set_inside_its_inputs_is_refused(words, tmp_path):
    with pytest.raises(ValueError, match="would be among the images of"):
        check_new_set(words / "copy", [words])
    for folder in (".", "/", ""):
        with pytest.raises(IsADirectoryError):
            check_new_set(folder, [words])
    check_new_set(words / "copy.lmdb", [words])
    check_new_set(tmp_path / "copy", [words])
    words.rename(tmp_path / "copy.part")
    for given in ("copy.part", "copy.part/words.jsonl", "copy.part/in"):
        with pytest.raises(ValueError, match=r"is in .*copy\.part, where"):
            check_new_set(tmp_path / "copy", [tmp_path / given])


def test_outputs_that_cannot_be_written(tmp_path):
    (tmp_path / "folder").mkdir()
    for name, suffixes, error in [
        ("a.gif", (".png",), ValueError),
        ("a.png", (), ValueError),
        ("folder", (), IsADirectoryError),
        ("nowhere/a", (), FileNotFoundError),
    ]:
        with pytest.raises(error, match=name.partition("/")[0]):
            check_outputs([tmp_path / name], [], suffixes=suffixes)
    with pytest.raises(FileNotFoundError):
        check_new_set(tmp_path / "nowhere" / "a.lmdb", [])
    with pytest.raises(ValueError, match=r"a\.jsonl"):
        check_new_set(tmp_path / "a.jsonl", [])
