"""Words from outputs: against enumeration, and against the decoders in torch."""

import itertools

import numpy as np
import pytest
import torch

from mms_ocr.utils.word_decoding import (
    autoregressive_confidences,
    ctc_confidences,
    decode_autoregressive,
    decode_ctc,
    softmax,
    spell,
)

BLANK = 2


def merged(columns):
    return [token for token, _ in itertools.groupby(columns) if token != BLANK]


def test_confidence_is_the_sum_over_all_spellings():
    logits = np.random.default_rng(0).normal(0, 1.5, (30, 5, 3))
    logits[0, :, BLANK] += 5
    probabilities = softmax(logits)
    words = [word.tokens for word in decode_ctc(probabilities, BLANK)]
    assert {len(word) for word in words} >= {0, 1, 2, 3}
    assert any(left == right for word in words for left, right in itertools.pairwise(word))
    for row, word, confidence in zip(
        probabilities, words, ctc_confidences(probabilities, BLANK), strict=True
    ):
        ways = [path for path in itertools.product(range(3), repeat=5) if merged(path) == word]
        expected = sum(np.prod([row[i, token] for i, token in enumerate(path)]) for path in ways)
        assert confidence == pytest.approx(expected, rel=1e-9)


def test_long_words_do_not_underflow():
    """600 columns of 96 classes, all about as probable."""
    logits = np.random.default_rng(0).normal(0, 0.01, (2, 600, 96))
    pytest.importorskip("mmocr")
    from mms_ocr.models.textrecog.ctc_decoder import ctc_word_confidences

    logits[1] *= 1000
    probabilities = softmax(logits)
    expected = ctc_word_confidences(torch.from_numpy(probabilities), 95, [600, 600])
    confidences = ctc_confidences(probabilities, 95)
    assert np.isfinite(confidences).all()
    np.testing.assert_allclose(confidences, expected.numpy(), rtol=1e-2, atol=1e-30)


def test_columns_are_merged_and_ignored_tokens_left_out():
    best = [[0, 0, BLANK, 0, 3, 3, 1], [BLANK] * 7]
    probabilities = np.full((2, 7, 4), 0.1)
    for row, column in itertools.product(range(2), range(7)):
        probabilities[row, column, best[row][column]] = 0.5 + column / 100
    (word, empty) = decode_ctc(probabilities, BLANK, ignored=[3])
    assert word.tokens == [0, 0, 1]
    assert word.scores == pytest.approx([0.51, 0.53, 0.56])
    assert (empty.tokens, empty.scores) == ([], [])
    assert spell(word.tokens, "ab") == "aab"


def test_autoregressive_words_end_at_the_end_token():
    tokens = [[0, 1, 3, 0], [1, 4, 0, 1], [3, 0, 0, 0]]  # 3 ends, 4 is ignored
    probabilities = np.full((3, 4, 5), 0.05)
    for row, step in itertools.product(range(3), range(4)):
        probabilities[row, step, tokens[row][step]] = 0.8
    words = decode_autoregressive(probabilities, 3, ignored=[4])
    assert [word.tokens for word in words] == [[0, 1], [1, 0, 1], []]
    confidences = autoregressive_confidences(probabilities, 3)
    assert confidences == pytest.approx([0.8**3, 0.8**4, 0.8])
    assert autoregressive_confidences(probabilities, None) == pytest.approx([0.8**4] * 3)
