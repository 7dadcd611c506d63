"""Which columns of a map show which character, where that is known."""

from __future__ import annotations

import itertools
from collections.abc import Sequence

import torch
from torch import Tensor

IGNORED_COLUMN = -100  # what torch's cross-entropy ignores


def column_targets(
    spans: Sequence[Sequence[float]], tokens: Sequence[int], width: int, blank: int
) -> Tensor:
    """What CTC should read in the columns that are certain, from where the characters stand.

    The column of a character's middle shows the character. Blank are the columns before the word
    and after it, and the one between two characters, where they leave one free. What lies between
    these is left open: CTC lets a character be as wide as it likes. Where two characters share a
    column, it is the first one's, and the second has none.

    Args:
        spans: Left and right end of every character as shares of the width, in reading order.
        tokens: Its index in the dictionary, as many.
        width: Number of columns.
        blank: Index of the blank.

    Returns:
        Long ``(width,)``: tokens, and :data:`IGNORED_COLUMN` where nothing is known.
    """
    targets = torch.full((width,), IGNORED_COLUMN)
    if not len(spans):
        return targets
    last = width - 1
    middles = [min(last, max(0, int((left + right) / 2 * width))) for left, right in spans]
    for middle, token in zip(reversed(middles), reversed(tokens)):
        targets[middle] = token
    for (_, right), (left, _) in itertools.pairwise(spans):
        between = int((left + right) / 2 * width)
        if 0 <= between <= last and targets[between] == IGNORED_COLUMN:
            targets[between] = blank
    outside = torch.ones(width, dtype=torch.bool)
    first, end = min(left for left, _ in spans), max(right for _, right in spans)
    outside[max(0, int(first * width)) : max(0, int(end * width) + 1)] = False
    targets[outside & (targets == IGNORED_COLUMN)] = blank
    return targets
