"""Confidence intervals of word accuracy: percentile bootstrap over words (Efron, 1979)."""

from __future__ import annotations

from typing import NamedTuple

import numpy as np
from numpy.typing import NDArray
from scipy.stats import binomtest


class Interval(NamedTuple):
    """Share of correct words, and its confidence interval; all in [0, 1]."""

    value: float
    low: float
    high: float


class Difference(NamedTuple):
    """Difference of two readers' shares of correct words, in [-1, 1], and its interval.

    ``gained`` words are correct by the first reader only, ``lost`` ones by the second only.
    ``is_clear`` if the interval excludes 0, and the exact test of McNemar (binomial, two-sided)
    rejects that gains and losses are equally likely, so that a few words prove nothing.
    """

    value: float
    low: float
    high: float
    gained: int
    lost: int
    is_clear: bool


def accuracy_interval(
    right: NDArray[np.bool_], level: float = 0.95, resamples: int = 10_000, seed: int = 0
) -> Interval:
    """Compute the share of correct words and its interval by resampling the words.

    The number of correct words in a resample is binomial, so only these numbers are drawn. Where
    all words are correct, or none is, resamples do not vary, and the other end of the interval is
    the exact bound of Clopper and Pearson.

    Args:
        right: Which words are correct, ``(N,)``, at least one.
        level: Confidence, in (0, 1).
        resamples: Number of resamples.
        seed: Seed of the resamples.

    Raises:
        ValueError: There are no words, or a setting is out of its range.
    """
    right = _check(right, level, resamples)
    count, value = len(right), float(right.mean())
    if value in (0.0, 1.0):
        bound = _unseen(count, level)
        return Interval(value, max(0.0, value - bound), min(1.0, value + bound))
    drawn = np.random.default_rng(seed).binomial(count, value, resamples) / count
    return Interval(value, *_middle(drawn, level))


def difference_interval(
    right_a: NDArray[np.bool_],
    right_b: NDArray[np.bool_],
    level: float = 0.95,
    resamples: int = 10_000,
    seed: int = 0,
) -> Difference:
    """Compare reader a with reader b on the same words, resampled together.

    Gains and losses in a resample are multinomial. Where resamples do not vary, such as without
    any, the interval is as wide as the exact bound of a share that was never observed.

    Args:
        right_a: Which words reader a has correct, ``(N,)``, at least one.
        right_b: The same of reader b.
        level: Confidence, in (0, 1).
        resamples: Number of resamples.
        seed: Seed of the resamples.

    Raises:
        ValueError: The readers have different numbers of words, there are none, or a setting is
            out of its range.
    """
    right_a, right_b = _check(right_a, level, resamples), _check(right_b, level, resamples)
    if len(right_a) != len(right_b):
        raise ValueError(f"the readers have {len(right_a)} and {len(right_b)} words, not the same")
    count = len(right_a)
    gained, lost = int((right_a & ~right_b).sum()), int((right_b & ~right_a).sum())
    value = (gained - lost) / count
    if count in (gained, lost, count - gained - lost):
        bound = _unseen(count, level)
        low, high = max(-1.0, value - bound), min(1.0, value + bound)
    else:
        shares = np.array([gained, lost, count - gained - lost]) / count
        drawn = np.random.default_rng(seed).multinomial(count, shares, resamples)
        low, high = _middle((drawn[:, 0] - drawn[:, 1]) / count, level)
    is_clear = low > 0 or high < 0
    if is_clear:
        is_clear = bool(binomtest(gained, gained + lost).pvalue < 1 - level)
    return Difference(value, low, high, gained, lost, is_clear)


def _check(right: NDArray[np.bool_], level: float, resamples: int) -> NDArray[np.bool_]:
    right = np.asarray(right, dtype=bool)
    if right.ndim != 1 or not len(right):
        raise ValueError(f"an interval needs a list of words, at least one; got {right.shape}")
    if not 0 < level < 1:
        raise ValueError(f"level must be in (0, 1), got {level}")
    if resamples < 1:
        raise ValueError(f"resamples must be at least 1, got {resamples}")
    return right


def _unseen(count: int, level: float) -> float:
    """Return the largest share that is compatible with never occurring in ``count`` words."""
    return float(1 - ((1 - level) / 2) ** (1 / count))


def _middle(drawn: NDArray[np.float64], level: float) -> tuple[float, float]:
    ends = [(1 - level) / 2, (1 + level) / 2]
    low, high = np.quantile(drawn, ends, method="inverted_cdf")  # shares of whole words
    return float(low), float(high)
