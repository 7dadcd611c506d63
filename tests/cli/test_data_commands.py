"""``mms-ocr inspect``, ``convert`` and ``decontaminate`` as typed."""

from __future__ import annotations

import json
from pathlib import Path

import cv2
import numpy as np
import pytest

from mms_ocr.cli.main import main
from mms_ocr.datasets import open_source


def write_words(folder: Path, numbers: tuple[int, ...]) -> None:
    folder.mkdir()
    for number in numbers:
        pixels = np.random.default_rng(number).integers(0, 256, (20, 40 + number, 3), np.uint8)
        cv2.imwrite(str(folder / f"{number}.png"), pixels)


@pytest.fixture
def words(tmp_path) -> Path:
    write_words(tmp_path / "words", tuple(range(6)))
    path = tmp_path / "words" / "words.jsonl"
    lines = [dict(filename=f"{number}.png", text="abcdef"[number]) for number in range(6)]
    path.write_text("".join(json.dumps(line) + "\n" for line in lines))
    return path


@pytest.fixture
def test_words(tmp_path) -> Path:
    write_words(tmp_path / "test", (50, 3, 51))
    return tmp_path / "test"


def test_inspect(words, test_words, tmp_path, capsys):
    picture = tmp_path / "p.png"
    assert main(["inspect", str(words), str(test_words), "--picture", str(picture)]) == 0
    out = capsys.readouterr().out
    assert "JSON lines, 6 images" in out
    assert "folder of images, 3 images" in out
    assert picture.stat().st_size > 10_000


def test_convert_and_back(words, tmp_path, capsys):
    assert main(["convert", str(words), str(tmp_path / "a.lmdb")]) == 0
    assert main(["convert", str(tmp_path / "a.lmdb"), str(tmp_path / "b")]) == 0
    assert "6 words of" in capsys.readouterr().out
    first, last = open_source(words), open_source(tmp_path / "b" / "labels.jsonl")
    for index in range(6):
        assert first.read(index, True)[::2] == last.read(index, True)[::2]


def test_convert_lists_what_it_leaves_out(words, tmp_path, capsys):
    (words.parent / "2.png").write_bytes(b"")
    broken = tmp_path / "broken.txt"
    options = ["--max-broken", "0.5", "--list-broken", str(broken)]
    assert main(["convert", str(words), str(tmp_path / "a.lmdb"), *options]) == 0
    assert "left out 1 broken" in capsys.readouterr().out
    assert broken.read_text().strip().endswith("2.png: the file is empty")


def test_decontaminate(words, test_words, tmp_path, capsys):
    matches = tmp_path / "matches.jsonl"
    command = ["decontaminate", str(words), "--against", str(test_words), "--list", str(matches)]
    assert main(command) == 1
    assert "1 of 6 training images are in the test sets (3 images): 1 the same file" in (
        capsys.readouterr().out
    )
    row = json.loads(matches.read_text())
    assert row == dict(
        kind="file",
        distance=0.0,
        train=str(words.parent / "3.png"),
        test=str(test_words / "3.png"),
    )
    assert main([*command, "--out", str(tmp_path / "clean.lmdb")]) == 0
    clean = open_source(tmp_path / "clean.lmdb")
    assert [clean.read(index, True).text for index in range(5)] == list("abcef")
    assert main(["decontaminate", str(tmp_path / "clean.lmdb"), "--against", str(test_words)]) == 0


def test_decontaminate_counts_each_pair_of_sets(words, test_words, tmp_path, capsys):
    (tmp_path / "more").mkdir()
    (tmp_path / "more" / "a.png").write_bytes((words.parent / "0.png").read_bytes())
    tests = [str(test_words), str(tmp_path / "more")]
    assert main(["decontaminate", str(words), "--against", *tests]) == 1
    lines = capsys.readouterr().out.splitlines()
    assert f"1 of 6 images of {words} are in {tests[0]}" in lines
    assert f"1 of 6 images of {words} are in {tests[1]}" in lines


@pytest.mark.parametrize(
    ("command", "message"),
    [
        (["inspect", "nowhere"], "there is no data at 'nowhere'"),
        (["inspect", "WORDS", "--sample", "0"], "--sample is 0"),
        (["inspect", "WORDS", "--picture", "a.gif"], "a.gif: the name must end in .png, .pdf"),
        (["inspect", "WORDS", "--picture", "OUT/a.png"], "no such folder to write a.png"),
        (["convert", "WORDS", "OUT", "--list-broken", "OUT/a/b"], "no such folder to write b"),
        (["decontaminate", "WORDS", "--against", "WORDS", "--list", "OUT/x"], "to write x"),
        (["convert", "nowhere", "OUT"], "there is no data at 'nowhere'"),
        (["convert", "WORDS", "OUT/x.lmdb"], "no such folder to write x.lmdb"),
        (["convert", "WORDS", "OUT.jsonl"], "out.jsonl is the name of a file"),
        (["convert", "WORDS", "OUT", "--layout", "textzoom"], "no JSON object|not a JSON object"),
        (["convert", "WORDS", "OUT", "--layout", "textseg"], "no TextSeg here"),
        (["decontaminate", "WORDS", "--against", "nowhere"], "there is no data at 'nowhere'"),
        (["decontaminate", "WORDS", "--against", "WORDS", "--out", "a", "b"], "one --out for each"),
        (["decontaminate", "WORDS", "--against", "WORDS", "--out", "WORDS"], "exists; remove it"),
        (
            ["decontaminate", "WORDS", "--against", "WORDS", "--max-distance", "1"],
            "distance is 1.0",
        ),
    ],
)
def test_bad_input_gives_one_line_and_status_2(words, tmp_path, capsys, command, message):
    places = {"WORDS": str(words), "OUT": str(tmp_path / "out")}
    command = [places.get(word, word.replace("OUT", str(tmp_path / "out"))) for word in command]
    assert main(command) == 2
    error = capsys.readouterr().err.strip().splitlines()[-1]
    assert error.startswith(f"mms-ocr {command[0]}: ")
    assert any(part in error for part in message.split("|"))


def test_training_set_without_clean_images_raises(test_words, tmp_path, capsys):
    out = tmp_path / "clean.lmdb"
    command = ["decontaminate", str(test_words), "--against", str(test_words), "--out", str(out)]
    assert main(command) == 2
    assert f"nothing of {test_words} is left for {out}: all of its images" in (
        capsys.readouterr().err
    )
    assert not out.exists()
