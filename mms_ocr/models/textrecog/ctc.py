"""Connectionist temporal classification: reading columns, and how probable a word is."""

from __future__ import annotations

import math
from collections.abc import Sequence

import torch
from torch import Tensor
from torch.nn import functional as F


def pool_rows(feature_map: Tensor, scores: Tensor) -> Tensor:
    """Average the rows of a map ``(N, C, H, W)`` to columns ``(N, W, C)``.

    The weights are the softmax of ``scores`` ``(N, H, W)`` over the rows of a column.
    """
    return torch.einsum("nchw,nhw->nwc", feature_map, scores.softmax(dim=1))


def read_columns(tokens: Sequence[int], blank: int) -> list[int]:
    """Merge the best tokens of the columns: repeats are one character, blanks are none."""
    before = [blank, *tokens]
    return [token for token, last in zip(tokens, before) if token not in (blank, last)]


def ctc_word_confidences(
    probabilities: Tensor, blank: int, lengths: Sequence[int] | None = None
) -> Tensor:
    """Compute the probabilities ``(N,)`` of the words that the best tokens spell.

    These are sums over all ways to spell the word.

    Args:
        probabilities: Probabilities of the columns, ``(N, W, num_classes)``.
        blank: Index of the blank.
        lengths: Columns of every word; None for all.
    """
    count, width, _ = probabilities.shape
    lengths = [width] * count if lengths is None else list(lengths)
    best = probabilities.argmax(dim=-1).tolist()
    words = [read_columns(tokens[:length], blank) for tokens, length in zip(best, lengths)]
    targets = torch.zeros(count, max([1, *map(len, words)]), dtype=torch.long)
    for row, word in zip(targets, words):
        row[: len(word)] = torch.tensor(word)
    tiny = torch.finfo(torch.float32).tiny
    logs = probabilities.float().clamp(min=tiny).log().transpose(0, 1)
    losses = F.ctc_loss(
        logs,
        targets.to(logs.device),
        torch.tensor(lengths),
        torch.tensor([len(word) for word in words]),
        blank=blank,
        reduction="none",
    )
    return (-losses).exp().clamp(max=1.0)


def valid_columns(valid_ratios: Sequence[float], width: int) -> list[int]:
    """Count the columns that show the image, not the padding to its right, as MMOCR rounds."""
    return [min(width, math.ceil(width * ratio)) for ratio in valid_ratios]
