"""Which protocol decides between readers of some labels."""

import pytest

pytest.importorskip("mmocr")

from mms_ocr.evaluation.benchmark_scores import ReadWord
from mms_ocr.evaluation.word_benchmark import compared_text, headline_protocol, judge_words


@pytest.mark.parametrize(
    ("labels", "protocol", "named"),
    [
        (["Total", "RM12.50", "a-b", "店"], "word_acc_ignore_case_symbol", "any case"),
        (["Total", "café"], "word_acc", "é"),
        (["Straße", "ЖЫ"], "word_acc", "ß Ж Ы"),
        (["e\u0301clair"], "word_acc", "\u0301"),
        (["٣٤"], "word_acc", "٣"),
        (["m²", "10 €", "Nº"], "word_acc", "º"),
        (["m²", "10 €"], "word_acc_ignore_case_symbol", "any case"),
        (["-"] * 2 + ["a"] * 18, "word_acc", "2 of 20"),
        (["-"] + ["a"] * 19, "word_acc_ignore_case_symbol", "any case"),
    ],
)
def test_labels_choose_the_protocol(labels, protocol, named):
    found = headline_protocol(labels)
    assert found.protocol == protocol
    assert named in found.reason


@pytest.mark.parametrize(
    ("label", "text"),
    [
        ("Total:", "TOTAL"),
        ("Café", "caf"),
        ("-", "£"),
        ("店", "店 "),
        ("a", "b"),
        ("K", "k"),
        ("1", ""),
    ],
)
def test_compared_text_is_that_of_the_metric(label, text):
    judged = judge_words([ReadWord(0, label, text)])["word_acc_ignore_case_symbol"]
    assert judged == [compared_text(label) == compared_text(text)]
