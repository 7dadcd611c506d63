"""Connectionist temporal classification: reading columns, and how probable a word is."""

from __future__ import annotations

import math
from collections.abc import Sequence

import torch
from torch import Tensor
from torch.nn import functional as F


def pool_rows(feature_map: Tensor, scores: Tensor) -> Tensor:
    """Columns ``(N, W, C)`` of a map ``(N, C, H, W)``: weighted means over its rows.

    Args:
        feature_map: ``(N, C, H, W)``.
        scores: ``(N, H, W)``; their softmax over the rows of a column are its weights, so that
            equal scores give the plain mean.
    """
    return torch.einsum("nchw,nhw->nwc", feature_map, scores.softmax(dim=1))


def read_columns(tokens: Sequence[int], blank: int) -> list[int]:
    """What the best token of every column spells: repeats are one character, blanks are none."""
    before = [blank, *tokens]
    return [token for token, last in zip(tokens, before) if token not in (blank, last)]


def ctc_word_confidences(
    probabilities: Tensor, blank: int, lengths: Sequence[int] | None = None
) -> Tensor:
    """Probability of every word that the best tokens spell: the sum over all ways to spell it.

    Args:
        probabilities: Of every column, ``(N, W, num_classes)``.
        blank: Index of the blank.
        lengths: Columns to read of every word; None for all.

    Returns:
        Between 0 and 1, ``(N,)``.
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
    """Columns that show the image, and not the padding to its right, as MMOCR rounds them."""
    return [min(width, math.ceil(width * ratio)) for ratio in valid_ratios]
