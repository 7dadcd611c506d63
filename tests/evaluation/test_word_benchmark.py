"""Figures of a benchmark, counted by hand and against MMOCR's own metric."""

import importlib.util
import random
import re

import pytest

import mms_ocr  # noqa: F401
from mms_ocr.evaluation.benchmark_scores import (
    ReadWord,
    SetScore,
    benchmark_json,
    benchmark_notes,
    benchmark_table,
    markdown_table,
    mean_of_sets,
    of_all_images,
    score_sets,
)

needs_mmocr = pytest.mark.skipif(
    importlib.util.find_spec("mmocr") is None, reason="MMOCR's metric judges the words"
)
# label, read, right: letters and digits only; ignoring case; case-sensitive
CASES = [
    ("Word", "Word", True, True, True),
    ("Word", "word", True, True, False),
    ("it's", "ITS", True, False, False),
    ("it's", "IT'S", True, True, False),
    ("a b", "ab", True, False, False),
    ("10%", "1O%", False, False, False),
    ("...", "!", True, False, False),  # nothing is left of either
    ("...", "a", False, False, False),
    ("caf\u00e9", "caf", True, False, False),  # other letters are left out, as by MMOCR
    ("a^b", "ab", False, False, False),  # MMOCR's letters and digits have the caret
    ("", "", True, True, True),
]


def a_set(name, start, stop, **fields):
    defaults = dict(title=name.upper(), path=f"{name}.lmdb", expected=None, in_average=True)
    return dict(name=name, start=start, stop=stop, **{**defaults, **fields})


def equal(words):
    return {"word_acc": [word.label == word.text for word in words]}


@needs_mmocr
def test_correct_words_by_protocol():
    from mms_ocr.evaluation.word_benchmark import judge_words

    judged = judge_words([ReadWord(i, case[0], case[1]) for i, case in enumerate(CASES)])
    names = ("word_acc_ignore_case_symbol", "word_acc_ignore_case", "word_acc")
    for column, name in enumerate(names, start=2):
        assert judged[name] == [case[column] for case in CASES], name


@needs_mmocr
def test_scores_equal_unrounded_ones_of_mmocr():
    from mmocr.evaluation.metrics import WordMetric

    from mms_ocr.evaluation.word_benchmark import judge_words

    rng = random.Random(0)
    words = [
        ReadWord(i, *("".join(rng.choices("aAb1-^ ", k=rng.randint(1, 3))) for _ in range(2)))
        for i in range(700)
    ]
    (score,) = score_sets(words, [a_set("one", 0, 700)], 0.0, judge_words)
    theirs = WordMetric(mode=["exact", "ignore_case", "ignore_case_symbol"])
    theirs.process(
        [], [dict(pred_text=dict(item=w.text), gt_text=dict(item=w.label)) for w in words]
    )
    expected = theirs.compute_metrics(theirs.results)
    assert {name: round(value, 4) for name, value in score.accuracy.items()} == expected
    slow = sum(
        re.sub("[^a-z0-9^]", "", w.label.lower()) == re.sub("[^a-z0-9^]", "", w.text.lower())
        for w in words
    )
    assert score.correct["word_acc_ignore_case_symbol"] == slow
    assert 0 < slow < 700


def test_sets_are_counted_apart_and_each_image_once():
    words = [ReadWord(i, "a", "a" if i in (0, 1, 4) else "b") for i in range(5)]
    words += words[:3]  # as a sampler fills up the last batch
    random.Random(0).shuffle(words)
    sets = [a_set("x", 0, 2), a_set("y", 2, 5, in_average=False), a_set("z", 5, 9)]
    words += [ReadWord(i, "a", "b" if i == 7 else "a") for i in (5, 7, 8)]  # 6 cannot be read
    scores = score_sets(words, sets, 0.25, equal)
    assert [(s.name, s.size, s.images, s.skipped) for s in scores] == [
        ("x", 2, 2, 0),
        ("y", 3, 3, 0),
        ("z", 4, 3, 1),
    ]
    assert [s.accuracy["word_acc"] for s in scores] == [1.0, 1 / 3, 2 / 3]
    assert mean_of_sets(scores) == {"word_acc": (1.0 + 2 / 3) / 2}
    assert of_all_images(scores) == {"word_acc": 4 / 5}
    with pytest.raises(ValueError, match=r"test set z: 1 of 4 images of z\.lmdb could not be read"):
        score_sets(words, sets, 0.2, equal)
    with pytest.raises(ValueError, match="that no set holds: 5"):
        score_sets(words, sets[:2], 0.2, equal)
    with pytest.raises(ValueError, match="test set x: 2 of 2"):
        score_sets([], sets[:1], 1.0, equal)


def scores():
    right = dict(word_acc_ignore_case_symbol=9, word_acc_ignore_case=8, word_acc=7)
    return [
        SetScore("a", "IIIT5K", 10, 10, right, 10),
        SetScore("b", "SVT", 31, 30, {name: 3 * n for name, n in right.items()}, 40),
        SetScore("c", "Cut", 20, 20, right, None, in_average=False),
    ]


def test_table_has_sets_mean_and_all_images():
    rows = benchmark_table(scores())
    assert rows[0][1:] == ["IIIT5K", "SVT", "Cut*", "mean of 2 sets", "all images"]
    assert rows[1][1:] == ["10", "30", "20", "", "40"]
    assert rows[2][1:] == ["0", "1", "0", "", "1"]
    assert rows[3] == [
        "letters and digits only, ignoring case", "90.00", "90.00", "45.00", "90.00", "90.00"
    ]  # fmt: skip
    assert rows[4][1:] == ["70.00", "70.00", "35.00", "70.00", "70.00"]
    notes = " ".join(benchmark_notes(scores(), ["CUTE80"]))
    for part in ("* Cut: not in the mean", "Left out: CUTE80", "SVT: 31 images here, 40 in papers"):
        assert part in notes
    assert "IIIT5K:" not in notes
    lines = markdown_table(rows).splitlines()
    assert len({len(line) for line in lines}) == 1
    assert lines[1].count("-:") == 5
    alone = benchmark_table(scores()[:1])
    assert alone[0] == ["word accuracy, %", "IIIT5K"]
    assert benchmark_notes(scores()[:1]) == []


def test_json_is_not_rounded():
    report = benchmark_json(scores(), checkpoint="w.pth")
    assert report["checkpoint"] == "w.pth"
    assert report["sets"][1]["accuracy"]["word_acc"] == 21 / 30
    assert report["sets"][1]["images_in_papers"] == 40
    assert report["mean_of_sets"]["word_acc"] == (0.7 + 0.7) / 2
    assert set(report["protocols"]) == set(report["of_all_images"])


@needs_mmocr
def test_confidence_of_the_model_or_product_of_characters():
    from mms_ocr.evaluation.word_benchmark import text_confidence

    assert text_confidence(dict(item="ab", score=[0.5, 0.5], confidence=0.2)) == 0.2
    assert text_confidence(dict(item="ab", score=[0.5, 0.5])) == 0.25
    assert text_confidence(dict(item="", score=[])) == 1.0
    assert text_confidence(dict(item="ab")) is None


@needs_mmocr
def test_missing_meta_keys_raise():
    from mms_ocr.evaluation.word_benchmark import WordBenchmark

    metric = WordBenchmark()
    with pytest.raises(ValueError, match="keep it in meta_keys"):
        metric.process([], [dict(pred_text=dict(item="a"), gt_text=dict(item="a"))])
    with pytest.raises(ValueError, match=r"counts sets of a mms_ocr\.BenchmarkDataset"):
        metric.compute_metrics([])
