"""``mms-ocr read`` as typed."""

import json
import sys

import cv2
import numpy as np
import pytest

from mms_ocr.cli.main import main
from mms_ocr.visualization import GAP, fit_picture


@pytest.fixture
def read(tiny_recognizer, capsys):
    config, weights = tiny_recognizer

    def run(*arguments):
        status = main(["read", *arguments, "--config", config, "--weights", weights])
        captured = capsys.readouterr()
        return status, captured.out.splitlines(), captured.err.splitlines()

    return run


def test_a_line_for_each_image_in_its_order(read, word_images, tmp_path):
    paths = word_images(4)
    status, lines, _ = read(*paths)
    assert status == 0
    rows = [line.split("\t") for line in lines]
    assert [row[2] for row in rows] == paths
    assert all(0 <= float(row[1]) <= 1 for row in rows)
    folder = str(tmp_path / "images")
    assert read(folder)[1] == lines
    assert read(f"{folder}/*.png", "--batch-size", "3")[1] == lines
    status, as_json, _ = read(folder, "--json")
    assert [json.loads(line)["text"] for line in as_json] == [row[0] for row in rows]
    assert [json.loads(line)["image"] for line in as_json] == paths
    for line, row in zip(as_json, rows):
        fields = json.loads(line)
        assert fields["confidence"] == pytest.approx(float(row[1]), abs=6e-5)
        assert len(fields["char_confidences"]) == len(fields["text"])


def test_broken_images_are_reported_and_the_others_read(read, word_images, tmp_path):
    paths = word_images(3)
    (tmp_path / "images" / "1.png").write_bytes(b"")
    status, lines, errors = read(*paths, "gone.png", "--out", str(tmp_path / "out"))
    assert status == 1
    assert [line.split("\t")[2] for line in lines] == [paths[0], paths[2]]
    messages = [line for line in errors if line.startswith("mms-ocr read: ")]
    assert messages[0].startswith(f"mms-ocr read: {paths[1]}: ")
    assert messages[1] == "mms-ocr read: gone.png: there is no such file or folder"
    assert messages[2] == "mms-ocr read: 2 of 4 images could not be used"
    assert sorted(path.name for path in (tmp_path / "out").iterdir()) == ["0.png", "2.png"]


def test_pictures_show_the_image_and_its_text(read, word_images, tmp_path):
    (first,), (again,) = word_images(1), word_images(1, "more")
    assert read(first, again, "--out", str(tmp_path / "out"))[0] == 0
    pictures = sorted((tmp_path / "out").iterdir())
    assert [path.name for path in pictures] == ["0.png", "0_2.png"]
    picture, image = cv2.imread(str(pictures[0])), cv2.imread(first)
    word = fit_picture(image, 64, 1024)
    assert np.array_equal(picture[GAP : GAP + 64, GAP : GAP + word.shape[1]], word)
    assert (picture[72:, :] < 128).any(), "no text below"


def test_bad_input_gives_one_line_and_status_2(read, word_images, tmp_path):
    (path,) = word_images(1)
    (tmp_path / "empty").mkdir()
    for arguments, message in (
        ([path, "--batch-size", "0"], "--batch-size is 0"),
        ([str(tmp_path / "empty")], "has no image files"),
        (["nothing*.png"], "no file matches 'nothing*.png'"),
        ([path, "--device", "abacus"], "there is no device 'abacus'"),
    ):
        status, lines, errors = read(*arguments)
        assert (status, lines) == (2, [])
        assert message in errors[-1]


def test_without_mmocr_a_line_says_what_is_missing(monkeypatch, capsys):
    monkeypatch.setitem(sys.modules, "mmocr", None)
    assert main(["read", "a.png", "--weights", "w.pth"]) == 2
    assert "w.pth is a checkpoint, which needs mmocr" in capsys.readouterr().err.splitlines()[-1]
