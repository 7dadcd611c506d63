"""Input images in all forms."""

import os

import cv2
import numpy as np
import pytest

from mms_ocr.apis.input_images import (
    BrokenImage,
    check_inputs,
    each_image,
    input_images,
    is_one_image,
    output_stem,
)


def pixels(number, height=10, width=20):
    return np.random.default_rng(number).integers(0, 256, (height, width, 3), dtype=np.uint8)


@pytest.fixture
def folder(tmp_path):
    for number in range(3):
        cv2.imwrite(str(tmp_path / f"{number}.png"), pixels(number))
    return tmp_path


def test_images_of_every_kind(folder):
    gray = pixels(7)[:, :, 0]
    images = list(input_images([str(folder / "1.png"), folder, pixels(5), gray]))
    names = [folder / "1.png", *(folder / f"{n}.png" for n in range(3)), "image 3", "image 4"]
    assert [given.name for given in images] == [str(name) for name in names]
    for given, expected in zip(images, [1, 0, 1, 2, 5]):
        np.testing.assert_array_equal(given.image, pixels(expected))
    np.testing.assert_array_equal(images[-1].image, np.repeat(gray[:, :, None], 3, axis=2))


@pytest.mark.parametrize(
    "kind",
    [str, lambda path: path, lambda path: path.read_bytes(), lambda path: cv2.imread(str(path))],
)
def test_single_inputs_need_no_list(folder, kind):
    (given,) = input_images(kind(folder / "2.png"))
    np.testing.assert_array_equal(given.image, pixels(2))
    assert is_one_image(kind(folder / "2.png"))


def test_patterns_and_data_sets(folder):
    (folder / "words.jsonl").write_text('{"filename": "2.png"}\n{"filename": "gone.png"}\n')
    (folder / "[odd].png").write_bytes((folder / "0.png").read_bytes())
    (folder / "no_suffix").write_bytes((folder / "1.png").read_bytes())
    for given, expected in (
        (f"{folder}/?.png", ["0.png", "1.png", "2.png"]),
        (str(folder / "[odd].png"), ["[odd].png"]),
        (folder / "no_suffix", ["no_suffix"]),
        (folder / "words.jsonl", ["2.png"]),
    ):
        reports = []
        names = [image.name for image in input_images(given, reports.append)]
        assert names == [str(folder / name) for name in expected]
        assert is_one_image(given) == (not reports and len(names) == 1)
    assert reports == [f"{folder}/gone.png: No such file or directory"]


def test_each_image_keeps_broken_images_in_order(folder):
    (folder / "1.png").write_bytes(b"no image")
    given = list(each_image([folder, "gone.png", pixels(5)]))
    reasons = [getattr(item, "reason", None) for item in given]
    expected = "not an image of a known format", "there is no such file or folder"
    assert reasons == [None, expected[0], None, expected[1], None]
    assert given[1].name == str(folder / "1.png")


def test_errors_of_a_data_set_are_reported_once(folder):
    (folder / "bad.jsonl").write_text("{}")
    (folder / "empty").mkdir()
    reports = []
    assert list(input_images([folder / "bad.jsonl", folder / "empty"], reports.append)) == []
    assert reports[0].startswith(f"{folder}/bad.jsonl, line 1: not a JSON object")
    assert reports[1].startswith(f"folder '{folder}/empty' has no image files")


def test_wrong_calls_are_found_before_anything_is_read(folder, tmp_path_factory):
    files = [str(folder / f"{number}.png") for number in range(3)]
    assert check_inputs([str(folder), "gone.png", f"{folder}/?.png"]) == [
        str(folder), "gone.png", *files
    ]  # fmt: skip
    empty = tmp_path_factory.mktemp("empty")
    (folder / "bad.jsonl").write_text("")
    for path in (empty, "nothing*.png", folder / "bad.jsonl"):
        with pytest.raises(ValueError, match=r"has no image|no file matches|has no lines"):
            check_inputs([str(folder), str(path)])


def test_broken_inputs_are_reported_and_skipped(folder):
    (folder / "1.png").write_bytes(b"no image")
    (folder / "alone.jpg").write_bytes(b"")
    inputs = [folder, folder / "missing.png", np.zeros((2, 2)), pixels(9)]
    reports = []
    images = list(input_images(inputs, reports.append))
    assert [image.name.rpartition("/")[2] for image in images] == ["0.png", "2.png", "image 4"]
    names = [item.name.rpartition("/")[2] for item in each_image(inputs)]
    assert names == ["0.png", "1.png", "2.png", "alone.jpg", "missing.png", "image 3", "image 4"]
    for message, expected in zip(
        reports,
        [
            "1.png: not an image of a known format",
            "alone.jpg: the file is empty",
            "missing.png: there is no such file or folder",
            "image 3: an array of float64 (2, 2) is not a word image: give uint8",
        ],
        strict=True,
    ):
        assert expected in message


@pytest.mark.parametrize(
    ("given", "error", "message"),
    [
        ("nowhere.png", FileNotFoundError, "nowhere.png: there is no such file or folder"),
        (np.zeros((0, 5, 3), np.uint8), ValueError, r"image 1: an array of uint8 \(0, 5, 3\)"),
        (np.zeros((5, 5, 4), np.uint8), ValueError, r"image 1: an array of uint8 \(5, 5, 4\)"),
        (np.zeros(5, np.uint8), ValueError, r"image 1: an array of uint8 \(5,\)"),
        (b"no image", ValueError, "image 1: not an image of a known format"),
        ("nothing*.png", ValueError, r"no file matches 'nothing\*.png'"),
        ("a\0b.png", ValueError, "embedded null"),
        (3, TypeError, "by its path, .* or as an array, got a int"),
    ],
)
def test_without_report_broken_inputs_raise(given, error, message):
    with pytest.raises(error, match=message):
        list(input_images([given]))


@pytest.mark.parametrize(
    ("name", "reason", "line"),
    [
        ("image", "not an image of a known format", "image: not an image of a known format"),
        ("a", "a damaged PNG", "a: a damaged PNG"),
        ("a.png", "a.png: the file is empty", "a.png: the file is empty"),
        ("words", "folder 'words' has no image files", "folder 'words' has no image files"),
    ],
)
def test_lines_name_the_input_once(name, reason, line):
    assert BrokenImage(name, reason).line == line


def test_an_empty_folder(tmp_path):
    with pytest.raises(ValueError, match="has no image files"):
        list(input_images(tmp_path))


def test_names_of_results_are_unique():
    taken = set()
    names = [
        "a/x.jpg",
        "b/x.png",
        "w.lmdb:image-000000001",
        "image 3",
        "x_2.png",
        "v1.2",
        "c/X.png",
    ]
    assert [output_stem(name, taken) for name in names] == [
        "x", "x_2", "w.lmdb_image-000000001", "image_3", "x_2_2", "v1.2", "X_3",
    ]  # fmt: skip


def test_a_pattern_in_a_loop_of_links_finds_each_file_once(folder):
    (folder / "sub").mkdir()
    (folder / "sub" / "loop").symlink_to(folder)
    names = [given.name for given in input_images(str(folder / "**" / "*.png"))]
    assert names == [str(folder / f"{number}.png") for number in range(3)]


def test_folder_that_is_a_data_set_is_read_as_one(folder):
    for name in ("image", "mask"):
        (folder / "words" / name).mkdir(parents=True)
        cv2.imwrite(str(folder / "words" / name / "1.png"), pixels(1))
    names = [given.name for given in input_images(str(folder / "words"))]
    assert names == [str(folder / "words" / "image" / "1.png")]
    assert len(list(input_images(str(folder)))) == 4
    (folder / "words" / "labels.jsonl").write_text("{}")
    with pytest.raises(ValueError, match=r"words/labels\.jsonl"):
        check_inputs([str(folder)])


@pytest.mark.parametrize(
    ("first", "second"),
    [
        ("caf\u00e9.png", "cafe\u0301.png"),  # composed and decomposed, one name on macOS
        ("STRASSE.png", "straße.png"),
        ("a:b.png", "a_b.png"),
        ("a?b.png", "a*b.png"),
        ("x" * 300 + "1.png", "x" * 300 + "2.png"),
    ],
)
def test_names_equal_on_some_file_system_get_a_number(first, second):
    taken = set()
    stems = [output_stem(name, taken) for name in (first, second)]
    assert stems[1].endswith("_2")
    assert len(set(stems)) == 2


def test_output_names_that_every_system_takes():
    assert output_stem("dir/con.png", set()) == "_"
    assert output_stem("dir/aux.x.png", set()) == "_.x"
    assert output_stem("console.png", set()) == "console"
    assert output_stem("a<b>|\x1b\n.png", set()) == "a_b____"
    assert output_stem("end..png", set()) == "end_"
    for name, length in ((os.fsdecode(b"\xe9" * 250), 243), ("é" * 200, 242), ("a" * 243, 243)):
        taken = set()
        for _ in range(12):
            assert len(os.fsencode(output_stem(f"{name}.png", taken))) <= 243
        assert len(os.fsencode(output_stem(f"{name}.png", set()))) == length
