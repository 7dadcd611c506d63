"""Words and their probabilities from the outputs of recognizers, with NumPy alone.

The words are those of MMOCR's ``CTCPostProcessor`` and ``AttentionPostprocessor``, the confidences
those of :mod:`mms_ocr.models.textrecog`.
"""

from __future__ import annotations

import itertools
import math
from collections.abc import Collection, Sequence
from typing import NamedTuple

import numpy as np

_RESCALED = 32  # columns after which the sums over spellings are scaled, against underflow


class DecodedWord(NamedTuple):
    """Tokens of a word and their probabilities."""

    tokens: list[int]
    scores: list[float]


def softmax(logits: np.ndarray) -> np.ndarray:
    """Compute the softmax of the last axis."""
    powers = np.exp(logits - logits.max(axis=-1, keepdims=True))
    probabilities: np.ndarray = powers / powers.sum(axis=-1, keepdims=True)
    return probabilities


def decode_ctc(
    probabilities: np.ndarray, blank: int, ignored: Collection[int] = ()
) -> list[DecodedWord]:
    """Merge the best tokens of the columns: repeats are one character, blanks are none.

    A score is the highest of the probabilities of the columns of a character.

    Args:
        probabilities: Those of the columns, ``(N, W, num_classes)``.
        blank: Token of columns without a character.
        ignored: Further tokens that are left out.
    """
    words = []
    skipped = {blank, *ignored}
    best, highest = probabilities.argmax(axis=-1), probabilities.max(axis=-1)
    for row in zip(best.tolist(), highest.tolist()):
        runs = itertools.groupby(zip(*row), key=lambda column: column[0])
        kept = [(token, max(score for _, score in run)) for token, run in runs]
        kept = [pair for pair in kept if pair[0] not in skipped]
        words.append(DecodedWord([token for token, _ in kept], [score for _, score in kept]))
    return words


def ctc_confidences(probabilities: np.ndarray, blank: int) -> np.ndarray:
    """Compute the probabilities ``(N,)`` of the words that the best tokens spell.

    These are sums over all ways to spell a word in the columns, by the forward algorithm of CTC
    (Graves et al., ICML 2006). ``probabilities`` are ``(N, W, num_classes)``.
    """
    best = probabilities.argmax(axis=-1).tolist()
    words = [[token for token, _ in itertools.groupby(row) if token != blank] for row in best]
    states = 2 * np.array([len(word) for word in words]) + 1
    targets = np.full((len(words), states.max()), blank)  # a blank around each character
    for row, word in zip(targets, words):
        row[1 : 2 * len(word) : 2] = word
    # A character may follow another one without a blank between, unless both are the same.
    jumps = np.zeros(targets.shape, bool)
    jumps[:, 2:] = (targets[:, 2:] != blank) & (targets[:, 2:] != targets[:, :-2])
    emitted = np.take_along_axis(probabilities.astype(np.float64), targets[:, None], axis=2)
    paths = np.zeros((len(words), 2 + targets.shape[1]))  # two states before the first
    paths[:, 2:4] = emitted[:, 0, :2]
    scale = np.zeros(len(words))
    for column in range(1, emitted.shape[1]):
        reached = paths[:, 2:] + paths[:, 1:-1] + jumps * paths[:, :-2]
        paths[:, 2:] = reached * emitted[:, column]
        if column % _RESCALED == 0:
            largest = paths.max(axis=1, keepdims=True)
            paths /= largest
            scale += np.log(largest[:, 0])
    rows = np.arange(len(words))
    last = paths[rows, 1 + states] + np.where(states > 1, paths[rows, states], 0)
    return np.minimum(last * np.exp(scale), 1.0)


def decode_autoregressive(
    probabilities: np.ndarray, end: int | None, ignored: Collection[int] = ()
) -> list[DecodedWord]:
    """Take the best token of every step, up to the end token.

    ``probabilities`` are ``(N, steps, num_classes)``; tokens in ``ignored`` are left out.
    """
    words = []
    best, highest = probabilities.argmax(axis=-1), probabilities.max(axis=-1)
    for tokens, scores in zip(best.tolist(), highest.tolist()):
        word = DecodedWord([], [])
        for token, score in zip(tokens, scores):
            if token in ignored:
                continue
            if token == end:
                break
            word.tokens.append(token)
            word.scores.append(score)
        words.append(word)
    return words


def autoregressive_confidences(probabilities: np.ndarray, end: int | None) -> list[float]:
    """Compute the probabilities of words: the products over their tokens and their end."""
    confidences = []
    best, highest = probabilities.argmax(axis=-1), probabilities.max(axis=-1)
    for tokens, scores in zip(best.tolist(), highest.tolist()):
        length = tokens.index(end) + 1 if end in tokens else len(tokens)
        confidences.append(math.prod(scores[:length]))
    return confidences


def spell(tokens: Sequence[int], characters: Sequence[str]) -> str:
    """Join the characters of tokens."""
    return "".join(characters[token] for token in tokens)
