"""Lists of images, and tables, of the study of adaptation."""

from __future__ import annotations

import importlib
import json

import pytest
from made_images import encode, word_pixels

pytest.importorskip("mmocr")

from mms_ocr.datasets.sources import JsonlSource


@pytest.fixture
def adaptation(repository, monkeypatch):
    monkeypatch.syspath_prepend(str(repository / "projects" / "studies"))
    return importlib.import_module("adaptation")


@pytest.fixture
def domain(tmp_path):
    source = tmp_path / "data" / "sroie"
    for name, count in (("train", 30), ("test", 5)):
        (source / name).mkdir(parents=True)
        lines = []
        for number in range(count):
            image = encode(word_pixels(number, 16, 40))
            (source / name / f"{number}.jpg").write_bytes(image)
            line = {"filename": f"{name}/{number}.jpg", "text": f"{name}{number}"}
            lines.append(json.dumps(line) + "\n")
        (source / f"{name}.jsonl").write_text("".join(lines))
    return source


def read(path) -> list[tuple[str, str | None]]:
    source = JsonlSource(str(path))
    return [(source.read(i).name[-12:], source._line(i).text) for i in range(len(source))]


def test_larger_sets_of_labels_contain_smaller_ones(adaptation, domain, tmp_path):
    place = tmp_path / "runs" / "sroie"
    few, test = adaptation.write_lists(domain, place, 10)
    many, _ = adaptation.write_lists(domain, place, 20)
    assert read(many)[:10] == read(few)
    assert len({text for _, text in read(many)}) == 20
    unlabelled = read(place / "unlabelled.jsonl")
    assert {text for _, text in unlabelled} == {None}
    assert len({name for name, _ in unlabelled}) == 30
    assert [text for _, text in read(test)] == [f"test{n}" for n in range(5)]
    with pytest.raises(ValueError, match="31"):
        adaptation.write_lists(domain, place, 31)


def test_sets_without_a_test_part_lose_test_words(adaptation, domain, tmp_path, monkeypatch):
    (domain / "test.jsonl").unlink()
    monkeypatch.setattr(adaptation, "_TEST_WORDS", 8)
    labelled, test = adaptation.write_lists(domain, tmp_path / "runs", 22)
    assert not {text for _, text in read(labelled)} & {text for _, text in read(test)}
    assert len(read(tmp_path / "runs" / "unlabelled.jsonl")) == 22


def test_table_in_the_order_of_the_labels(adaptation, tmp_path):
    for labels, share in ((1000, 0.5), (300, 0.25)):
        values = {"word_acc": dict(value=share, low=share - 0.1, high=share + 0.125)}
        figures = dict(
            words=40,
            headline={"protocol": "word_acc"},
            readers=[dict(name=name, accuracy=values) for name in adaptation._ORDER],
            differences=[dict(reader="finetune", than="bundled"),
                         dict(reader="finetune", than="finetune_plain", **values)],
        )  # fmt: skip
        folder = tmp_path / "gw_letters" / f"labels_{labels}"
        folder.mkdir(parents=True)
        (folder / "report.json").write_text(json.dumps(figures))
    lines = list(adaptation.table(tmp_path))[2:]
    assert [line.split(" | ")[1] for line in lines] == ["300", "1,000"]
    assert lines[0].endswith("| 25.0 (15.0–37.5) | +25.0 (+15.0 to +37.5) |")
