"""Folders that are data sets are converted as data sets, by any path."""

from __future__ import annotations

import json
from pathlib import Path

import numpy as np
import pytest
from made_images import encode, word_pixels

from mms_ocr.cli import main as cli
from mms_ocr.dataset_tools.convert import convert_records
from mms_ocr.dataset_tools.layouts import open_writer
from mms_ocr.dataset_tools.records import Record, Records, guess_layout, open_records
from mms_ocr.datasets import WordMaskDataset, WordPairDataset, open_source
from mms_ocr.utils.decoding import decode_image

IMAGES = [encode(word_pixels(number), ".jpg") for number in range(3)]
MASKS = [
    encode(np.where(word_pixels(number)[:, :, 0] > 9, 255, 0).astype(np.uint8))
    for number in range(3)
]


BOXES = [[0.5, 1.0, 9.25, 12.0], [10.0, 1.0, 9.0, 12.0]]


@pytest.fixture
def words(tmp_path) -> Path:
    """Words as ``render --extras mask clean char_boxes`` writes them."""
    with open_writer(tmp_path / "words", {}) as writer:
        records = (
            Record(dict(image=image, mask=mask, clean=IMAGES[-number]), f"w{number}", BOXES)
            for number, (image, mask) in enumerate(zip(IMAGES, MASKS))
        )
        writer.write(records, len(IMAGES))
        writer.complete()
        writer.finish()
    return tmp_path / "words"


def check_words(records: Records, labelled: bool = True) -> None:
    assert records.kinds == ("image", "mask", "clean")[: 3 if labelled else 2]
    assert records.left_behind == []
    assert len(records) == 3
    for index, (image, mask) in enumerate(zip(IMAGES, MASKS)):
        record = records.read(index)
        images = dict(image=image, mask=mask)
        if labelled:
            images["clean"] = IMAGES[-index]
        assert record.images == images
        assert record.text == (f"w{index}" if labelled else None)
        assert record.char_boxes == (BOXES if labelled else None)


def test_a_rendered_folder_keeps_labels_and_masks(words, tmp_path):
    check_words(open_records(str(words), "words"))
    check_words(open_records(str(words / "labels.jsonl"), "words"))
    convert_records(open_records(str(words), "words"), str(tmp_path / "w.lmdb"))
    check_words(open_records(str(tmp_path / "w.lmdb"), "words"))
    # And what convert writes can be converted again.
    convert_records(open_records(str(tmp_path / "w.lmdb"), "words"), str(tmp_path / "again"))
    check_words(open_records(str(tmp_path / "again"), "words"))
    assert len(WordMaskDataset(words, labelled=True)) == 3


def test_folders_of_images_and_masks_without_labels(words):
    (words / "labels.jsonl").unlink()
    check_words(open_records(str(words), "words"), labelled=False)  # the clean ones are skipped
    assert len(open_source(words)) == 3


def test_pairs_that_convert_wrote_are_pairs(tmp_path):
    (tmp_path / "made").mkdir()
    lines = []
    for number, image in enumerate(IMAGES):
        for kind in ("image_hr", "image_lr"):
            (tmp_path / "made" / f"{kind}{number}.jpg").write_bytes(image)
        names = {kind: f"{kind}{number}.jpg" for kind in ("image_hr", "image_lr")}
        lines.append(json.dumps(dict(names, filename=names["image_hr"], text=f"w{number}")))
    (tmp_path / "made" / "labels.jsonl").write_text("\n".join(lines))
    assert cli.main(["convert", str(tmp_path / "made"), str(tmp_path / "pairs")]) == 0
    assert guess_layout(str(tmp_path / "pairs")) == "textzoom"
    assert len(WordPairDataset(tmp_path / "pairs", labelled=True)) == 3
    assert len(open_source(tmp_path / "pairs")) == 3
    assert cli.main(["convert", str(tmp_path / "pairs"), str(tmp_path / "p.lmdb")]) == 0
    assert len(WordPairDataset(tmp_path / "p.lmdb", labelled=True)) == 3


def test_every_command_reads_a_folder_of_words(words, tmp_path, capsys):
    assert cli.main(["labels", str(words)]) == 0
    assert "3 words" in capsys.readouterr().out
    assert cli.main(["inspect", str(words)]) == 0
    assert "3 images" in capsys.readouterr().out
    out = str(tmp_path / "clean.lmdb")
    other = tmp_path / "other"
    other.mkdir()
    (other / "1.png").write_bytes(encode(word_pixels(7)))
    assert cli.main(["decontaminate", str(words), "--against", str(other), "--out", out]) == 0
    check_words(open_records(out, "words"))


@pytest.mark.parametrize(
    ("suffix", "name"),
    [(".bmp", ".bmp"), (".tiff", ".tif"), (".pgm", ".pgm"), (".webp", ".webp")],
)
def test_images_of_every_format_are_read_again(tmp_path, suffix, name):
    (tmp_path / "words").mkdir()
    picture = word_pixels(0)
    picture = picture[:, :, 0] if suffix == ".pgm" else picture
    (tmp_path / "words" / "1.img").write_bytes(encode(picture, suffix))
    convert_records(open_records(str(tmp_path / "words"), "words"), str(tmp_path / "out"))
    assert [file.suffix for file in (tmp_path / "out" / "image").rglob("*.*")] == [name]
    (tmp_path / "out" / "labels.jsonl").unlink()
    source = open_source(tmp_path / "out")
    assert len(source) == 1
    assert decode_image(source.read(0).data).shape == (20, 60, 3)


@pytest.mark.parametrize(
    ("first", "second", "open_set"),
    [("image", "mask", WordMaskDataset), ("hr", "lr", WordPairDataset)],
)
def test_two_images_of_one_stem_are_refused(tmp_path, first, second, open_set):
    for folder in (first, second):
        (tmp_path / folder).mkdir()
        for suffix in (".png", ".bmp"):
            (tmp_path / folder / f"a{suffix}").write_bytes(encode(word_pixels(0), suffix))
    with pytest.raises(ValueError, match="differ only in their suffix"):
        open_set(tmp_path)


def test_pairs_in_another_order_belong_together(tmp_path):
    """Suffixes change the order of the names, but not the pairs."""
    large, small = (40, 80), (20, 40)
    for folder, (height, width), suffixes in (
        ("hr", large, (".png", ".png")),
        ("lr", small, (".png", ".bmp")),
    ):
        (tmp_path / folder).mkdir()
        for number, (stem, suffix) in enumerate(zip(("a", "a.b"), suffixes)):
            image = np.full((height, width, 3), 100 * number, np.uint8)
            (tmp_path / folder / f"{stem}{suffix}").write_bytes(encode(image, suffix))
    dataset = WordPairDataset(tmp_path)
    for index in range(2):
        item = dataset[index]
        assert item["gt"].max() == item["img"].max()
