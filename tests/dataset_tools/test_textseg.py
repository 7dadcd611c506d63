"""TextSeg's layout out of words with masks, and back."""

from __future__ import annotations

import json
from pathlib import Path

import cv2
import numpy as np
import pytest
from made_images import encode, lmdb_entries, word_pixels, write_lmdb

from mms_ocr.cli.main import main
from mms_ocr.dataset_tools import writer
from mms_ocr.dataset_tools.convert import convert_records
from mms_ocr.dataset_tools.records import MasksAsTextSeg, guess_layout, open_records

COUNT = 5
IMAGES = [
    encode(word_pixels(number, 20 + number, 60), ".jpg" if number % 2 else ".png")
    for number in range(COUNT)
]
LABELS = [f"wört {number}" for number in range(COUNT)]


def masks(levels: tuple[int, ...]) -> list[np.ndarray]:
    rng = np.random.default_rng(0)
    return [rng.choice(levels, (20 + n, 60)).astype(np.uint8) for n in range(COUNT)]


@pytest.fixture
def words(tmp_path):
    def write(levels: tuple[int, ...] = (0, 255), **changes: bytes) -> str:
        entries = lmdb_entries(IMAGES, LABELS)
        for number, mask in enumerate(masks(levels), 1):
            entries[f"mask-{number:09d}"] = encode(mask)
        for key, value in changes.items():
            entries[key.replace("_", "-")] = value
        return str(write_lmdb(tmp_path / "words.lmdb", entries))

    return write


def pixels(data: bytes) -> np.ndarray:
    return cv2.imdecode(np.frombuffer(data, np.uint8), cv2.IMREAD_UNCHANGED)


@pytest.mark.parametrize(
    ("levels", "expected"),
    [
        ((0, 255), {0: 0, 255: 100}),
        ((0, 1), {0: 0, 1: 100}),
        ((0, 100, 200, 255), {0: 0, 100: 100, 200: 200, 255: 255}),
    ],
)
def test_round_trip_by_value(words, tmp_path, levels, expected, capsys):
    source, out = words(levels), tmp_path / "out"
    assert main(["convert", source, str(out), "--to-textseg", "val"]) == 0
    output = capsys.readouterr().out
    assert "5 words of" in output
    assert ("the levels are TextSeg's" if 100 in levels else "all else text") in output
    assert guess_layout(str(out)) == "textseg"
    assert {file.name for file in out.iterdir()} == {
        "image", "annotation", "semantic_label", "split.json"
    }  # fmt: skip
    back = open_records(str(out), "textseg", splits=["val"])
    assert len(back) == COUNT
    for index, mask in enumerate(masks(levels)):
        record = back.read(index)
        assert record.text == LABELS[index]
        np.testing.assert_array_equal(pixels(record.images["image"]), pixels(IMAGES[index]))
        levels = np.vectorize(expected.get)(mask)
        np.testing.assert_array_equal(pixels(record.images["mask"]), levels)
    # And the words that are cut out of it are the ones that it was made of.
    assert main(["convert", str(out), str(tmp_path / "again.lmdb"), "--split", "val"]) == 0
    again = open_records(str(tmp_path / "again.lmdb"), "words")
    assert [again.read(index).text for index in range(COUNT)] == LABELS


def test_given_levels_win(words, tmp_path):
    records = MasksAsTextSeg(open_records(words((0, 255)), "words"), "textseg")
    convert_records(records, str(tmp_path / "out"), textseg_split="train")
    mask = open_records(str(tmp_path / "out"), "textseg").read(1).images["mask"]
    np.testing.assert_array_equal(pixels(mask), masks((0, 255))[1])  # 255 is to be ignored


def test_bytes_of_images_are_kept(words, tmp_path):
    records = MasksAsTextSeg(open_records(words(), "words"))
    convert_records(records, str(tmp_path / "out"), textseg_split="test")
    files = sorted((tmp_path / "out" / "image").iterdir())
    assert [file.name for file in files] == [f"test_{n:09d}.jpg" for n in range(1, COUNT + 1)]
    assert [file.read_bytes() for file in files] == IMAGES
    splits = json.loads((tmp_path / "out" / "split.json").read_text())
    assert splits == dict(train=[], val=[], test=[file.stem for file in files])


class Stopping(MasksAsTextSeg):
    reads = 4

    def read(self, index):
        if not self.reads:
            raise KeyboardInterrupt
        self.reads -= 1
        return super().read(index)


def test_an_interrupted_conversion_resumes(words, tmp_path, monkeypatch):
    monkeypatch.setattr(writer, "_CHUNK_WORDS", 2)
    source, out = words(), tmp_path / "out"
    with pytest.raises(KeyboardInterrupt):
        convert_records(Stopping(open_records(source, "words")), str(out), textseg_split="train")
    assert not out.exists()
    assert not (tmp_path / "out.part" / "set" / "split.json").exists()
    whole = MasksAsTextSeg(open_records(source, "words"))
    with pytest.raises(ValueError, match="begun with other options"):
        convert_records(whole, str(out), textseg_split="val")
    assert convert_records(whole, str(out), textseg_split="train").written == COUNT
    assert [open_records(str(out), "textseg").read(n).text for n in range(COUNT)] == LABELS


def test_a_broken_mask_is_left_out_and_reported(words, tmp_path):
    source = words(
        (0, 100), mask_000000002=encode(masks((0, 7))[1]), mask_000000004=encode(masks((0, 100))[0])
    )
    records = MasksAsTextSeg(open_records(source, "words"))
    result = convert_records(records, str(tmp_path / "out"), 0.5, textseg_split="train")
    assert result.written == 3
    assert "word 1 of" in result.broken[0]
    assert "other levels than (0, 100, 200, 255)" in result.broken[0]
    assert "mask-000000004: a mask of 60 x 20 pixels" in result.broken[1]


def run_convert(*arguments: object) -> int:
    return main(["convert", *map(str, arguments)])


def test_bad_input_gives_one_line(words, make_source, tmp_path, capsys):
    source, out = words(), tmp_path / "out"
    plain = make_source("lmdb", IMAGES, LABELS, name="plain")
    entries = lmdb_entries(IMAGES) | {
        f"mask-{n:09d}": encode(m) for n, m in enumerate(masks((0, 1)), 1)
    }
    unlabelled = write_lmdb(tmp_path / "unlabelled.lmdb", entries)
    for arguments, message in [
        ((plain, out, "--to-textseg", "train"), "has no masks, and TextSeg's layout has one for"),
        ((unlabelled, out, "--to-textseg", "train"), "word 0 of"),
        ((source, tmp_path / "a.lmdb", "--to-textseg", "train"), "TextSeg's layout is a folder"),
        ((source, out, "--masks", "binary"), "--masks needs --to-textseg"),
    ]:
        assert run_convert(*arguments) == 2
        errors = capsys.readouterr().err
        messages = [line for line in errors.replace("\r", "\n").splitlines() if "mms-ocr" in line]
        assert len(messages) == 1
        assert message in messages[0]
        assert not Path(out).exists()
