"""The comparison of readers: intervals, what Tesseract is given, and what is made of its output."""

import importlib
import json

import cv2
import numpy as np
import pytest

pytest.importorskip("mmocr", reason="judging words needs MMOCR")


@pytest.fixture
def study(repository, monkeypatch):
    monkeypatch.syspath_prepend(str(repository / "projects" / "studies"))
    return importlib.import_module("readers")


@pytest.mark.parametrize(("right", "count"), [(0, 20), (1, 3), (697, 1000), (20, 20)])
def test_wilson_bounds_solve_the_score_equation(study, right, count):
    share = right / count
    for bound in study.wilson_interval(right, count):
        distance = 1.959963984540054 * (bound * (1 - bound) / count) ** 0.5
        assert abs(share - bound) == pytest.approx(distance, abs=1e-9)


@pytest.fixture
def words(tmp_path):
    rng = np.random.default_rng(0)
    lines = []
    for number in range(7):
        cv2.imwrite(str(tmp_path / f"{number}.png"), rng.integers(0, 256, (16, 40, 3), np.uint8))
        lines.append(json.dumps(dict(filename=f"{number}.png", text=f"Word-{number}")))
    path = tmp_path / "words.jsonl"
    path.write_text("\n".join(lines) + "\n")
    return path


def test_selected_words_are_evenly_spaced(study, words):
    assert [label for _, label in study.read_set(words, 3)] == ["Word-0", "Word-3", "Word-6"]
    assert len(study.read_set(words, None)) == len(study.read_set(words, 99)) == 7


def test_tesseract_gets_a_large_word_with_a_border(study, words):
    path = str(words.parent / "0.png")
    image = study.prepare_for_tesseract(path)
    assert image.shape == (64 + 24, 160 + 24, 3)
    enlarged = cv2.resize(cv2.imread(path), (160, 64), interpolation=cv2.INTER_CUBIC)
    np.testing.assert_array_equal(image, np.pad(enlarged, ((12, 12), (12, 12), (0, 0)), "edge"))


@pytest.mark.parametrize("end", ["", "\f"])
def test_pages_are_split(study, end):
    assert study.split_pages("one\n\ftwo words\n\n\f\fthree\n" + end) == [
        "one", "two words", "", "three",
    ]  # fmt: skip


def test_words_and_their_reading_are_counted(study, words):
    cells = study.measure(
        lambda paths: (["word0", "WORD 1", "no", "Word-3."][: len(paths)], 0.5),
        [study.read_set(words, None)[:4]],
    )
    low, high = study.wilson_interval(3, 4)
    assert cells == [f"75.0% ({100 * low:.1f}–{100 * high:.1f})", "8.0"]
