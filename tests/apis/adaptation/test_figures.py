"""Figures of an adaptation, and the sentences about them."""

import json
from dataclasses import replace

import numpy as np
import pytest

pytest.importorskip("mmocr")

from adaptation_folder import ANY_CASE, COUNT, EXACT, NAMES, RIGHT, fill, write_words

from mms_ocr.apis.adaptation.figures import read_words, summarize
from mms_ocr.apis.adaptation.verdict import verdict
from mms_ocr.evaluation.benchmark_scores import ReadWord
from mms_ocr.evaluation.intervals import accuracy_interval, difference_interval


def test_figures_are_those_of_the_words(folder, context):
    figures = summarize(folder, context)
    rights = {name: np.isin(np.arange(COUNT), list(RIGHT[name])) for name in NAMES}
    for reader in figures["readers"]:
        right = rights[reader["name"]]
        assert reader["accuracy"][ANY_CASE] == accuracy_interval(right)._asdict()
        is_bundled = reader["name"] == "bundled"
        exact = accuracy_interval(right & (not is_bundled))._asdict()
        assert reader["accuracy"][EXACT] == exact
    pairs = [(each["reader"], each["than"]) for each in figures["differences"]]
    assert pairs == [
        ("finetune", "finetune_plain"), ("finetune", "bundled"), ("finetune_plain", "bundled")
    ]  # fmt: skip
    for each in figures["differences"]:
        expected = difference_interval(rights[each["reader"]], rights[each["than"]])
        assert each[ANY_CASE] == expected._asdict()
    assert figures["written"] == "finetune"
    assert figures["headline"]["protocol"] == ANY_CASE
    assert [reader["views"] for reader in figures["readers"]] == [[], [1920], [1920, 1920]]
    assert [reader["seconds"] for reader in figures["readers"]] == [0, 90, 180]
    assert figures["curves"]["pretrain"]["points"] == {
        "loss": [[10, 0.1], [20, 0.05], [30, 1 / 30]], "mean": [[30, 0.9]], "span": [[30, 0.8]]
    }  # fmt: skip
    assert figures["curves"]["finetune"]["points"][EXACT] == []  # not a number


def test_worst_words_are_the_most_different_and_not_all_of_one_label(folder):
    labels = ["same"] * 6 + ["Total:", "abcd", "efgh", "right"] + [f"label{n}" for n in range(30)]
    texts = ["?!"] * 6 + ["TOTAL", "abxy", "efgz", "right"] + [f"lobel{n}" for n in range(30)]
    context = fill(folder, labels, dict.fromkeys(NAMES, texts))
    write_words(folder, "finetune", labels, texts, confidence=None)
    rows = (folder / "runs/test_finetune/words.jsonl").read_text().splitlines()
    rows[8] = json.dumps({**json.loads(rows[8]), "confidence": 0.9})
    rows[12] = json.dumps({**json.loads(rows[12]), "confidence": 0.9})
    (folder / "runs/test_finetune/words.jsonl").write_text("\n".join(rows))
    figures = summarize(folder, context)
    worst = figures["worst_words"]
    assert [word["label"] for word in worst[:5]] == ["same", "same", "same", "abcd", "efgh"]
    assert [word["distance"] for word in worst[:5]] == [1, 1, 1, 0.5, 0.25]
    # 1 of 6 characters; the reader is confident about the first of them.
    assert [word["label"] for word in worst[5:7]] == ["label2", "label0"]
    assert len(worst) == 20
    assert worst[0]["name"] == "shop/word 0.png"
    assert worst[3]["texts"] == dict.fromkeys(NAMES, "abxy")


@pytest.mark.parametrize(
    ("right", "written", "words"),
    [
        (
            dict(bundled=30, finetune_plain=25, finetune=20),
            "bundled",
            ["75.0%", "62.5%", "written as it was"],
        ),
        (dict(bundled=20, finetune_plain=30, finetune=30), "finetune", ["may be chance"]),
        (
            dict(bundled=20, finetune_plain=31, finetune=30),
            "finetune_plain",
            ["-2.5 points", "may be chance"],
        ),
        (
            dict(bundled=10, finetune_plain=12, finetune=35),
            "finetune",
            ["improved", "+57.5 points"],
        ),
        (
            dict(bundled=10, finetune_plain=35, finetune=12),
            "finetune_plain",
            ["harmed", "-57.5 points"],
        ),
        (dict(bundled=20, finetune_plain=20, finetune=21), "finetune", ["may be chance"]),
    ],
)
def test_the_verdict_is_honest(folder, right, written, words):
    labels = [f"word{number}" for number in range(COUNT)]
    texts = {
        name: [label if n < right[name] else "?" for n, label in enumerate(labels)]
        for name in NAMES
    }
    figures = summarize(folder, fill(folder, labels, texts))
    assert figures["written"] == written
    text = " ".join(verdict(figures))
    for word in words:
        assert word in text
    assert "40 test words are few" in text


def test_words_that_cannot_be_compared_are_refused(folder, context):
    path = folder / "runs/test_finetune/words.jsonl"
    lines = path.read_text().splitlines()
    path.write_text("\n".join(lines[:-1]))
    with pytest.raises(ValueError, match="40 and 39"):
        summarize(folder, context)
    for damaged in ('{"label": "a"}', '{"label": "a", "text": 1, "path": ""}', "[]", '{"label"'):
        path.write_text("\n".join([*lines[:2], damaged]))
        with pytest.raises(ValueError, match=r"words\.jsonl, line 3"):
            read_words(path)
    path.write_text("")
    with pytest.raises(ValueError, match="no words"):
        read_words(path)
    with pytest.raises(FileNotFoundError):
        read_words(folder / "none.jsonl")
    with pytest.raises(ValueError, match="no reader"):
        summarize(folder, replace(context, readers=[replace(context.readers[0], words=None)]))


def test_a_confidence_that_is_no_number_is_none(folder, context):
    path = folder / context.readers[0].words
    path.write_text('{"label": "a", "text": "b", "path": "x.png", "confidence": NaN}\n')
    assert read_words(path) == [ReadWord(0, "a", "b", None, "x.png")]
