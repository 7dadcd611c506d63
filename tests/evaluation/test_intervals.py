"""Intervals of word accuracy: against scipy's bootstrap, exact bounds, and cases by hand."""

import numpy as np
import pytest
from scipy.stats import binom, binomtest, bootstrap

from mms_ocr.evaluation.intervals import accuracy_interval, difference_interval


def words(right: int, count: int) -> np.ndarray:
    return np.arange(count) < right


def by_scipy(samples, statistic):
    found = bootstrap(
        samples, statistic, paired=True, vectorized=True, n_resamples=4000, method="percentile",
        rng=np.random.default_rng(1), batch=500,
    )  # fmt: skip
    return tuple(found.confidence_interval)


@pytest.mark.parametrize(("right", "count"), [(240, 300), (12, 20), (5, 1000)])
def test_accuracy_is_that_of_resampled_words(right, count):
    found = accuracy_interval(words(right, count))
    assert found.value == right / count
    step = 1 / count  # resampled shares are multiples of it
    # Within a step of scipy's, whose resamples are others, and of the quantiles that both estimate.
    assert found[1:] == pytest.approx(by_scipy((words(right, count),), np.mean), abs=1.01 * step)
    exact = binom.ppf([0.025, 0.975], count, right / count) / count
    assert found[1:] == pytest.approx(tuple(exact), abs=1.01 * step)


def test_a_higher_level_is_wider_and_a_seed_repeats():
    right = words(70, 100)
    found = accuracy_interval(right, level=0.95)
    wide = accuracy_interval(right, level=0.99)
    assert wide.low < found.low < 0.7 < found.high < wide.high
    assert found == accuracy_interval(right, level=0.95, seed=0)


@pytest.mark.parametrize("count", [1, 20, 500])
@pytest.mark.parametrize("all_right", [True, False])
def test_without_variation_the_bound_is_exact(count, all_right):
    found = accuracy_interval(np.full(count, all_right))
    exact = binomtest(count * all_right, count).proportion_ci(0.95, method="exact")
    assert found == pytest.approx((float(all_right), exact.low, exact.high))
    assert found.high - found.low > 0


def test_difference_is_that_of_pairs_resampled_together():
    rng = np.random.default_rng(0)
    difficulty = rng.random(400)
    first, second = difficulty < 0.8, (difficulty < 0.7) ^ (rng.random(400) < 0.1)
    found = difference_interval(first, second)
    assert found.value == pytest.approx(first.mean() - second.mean())
    assert found.gained == (first & ~second).sum()
    assert found.lost == (second & ~first).sum()
    expected = by_scipy(
        (first.astype(float), second.astype(float)), lambda a, b, axis: (a - b).mean(axis)
    )
    assert found[1:3] == pytest.approx(expected, abs=1.01 / 400)
    # The readers agree on most words, so the interval is narrower than of unpaired ones.
    apart = [accuracy_interval(right) for right in (first, second)]
    assert found.high - found.low < sum(each.high - each.low for each in apart)
    swapped = difference_interval(second, first)
    assert (swapped.gained, swapped.lost) == (found.lost, found.gained)
    assert swapped.value == -found.value
    assert (swapped.low, swapped.high) == pytest.approx((-found.high, -found.low), abs=1.01 / 400)


def test_equal_readers_differ_by_nothing_that_is_clear():
    right = words(60, 80)
    found = difference_interval(right, right)
    bound = 1 - 0.025 ** (1 / 80)
    assert found == (0, pytest.approx(-bound), pytest.approx(bound), 0, 0, False)


@pytest.mark.parametrize(
    ("gained", "lost", "count", "is_clear"),
    [
        (4, 0, 100, False),  # the interval excludes 0, and four words prove nothing
        (40, 5, 400, True),
        (5, 40, 400, True),
        (22, 20, 400, False),
        (1, 0, 1, False),
        (12, 0, 12, True),
    ],
)
def test_a_difference_is_clear_by_interval_and_by_test(gained, lost, count, is_clear):
    first = np.arange(count) < gained
    second = np.arange(count) >= count - lost if lost else np.zeros(count, bool)
    found = difference_interval(first, second)
    assert (found.gained, found.lost, found.is_clear) == (gained, lost, is_clear)
    assert found.value == pytest.approx((gained - lost) / count)
    assert -1 <= found.low <= found.value <= found.high <= 1
    if is_clear:
        assert not found.low <= 0 <= found.high


@pytest.mark.parametrize(
    ("settings", "message"),
    [
        (dict(right=np.zeros(0, bool)), "at least one"),
        (dict(right=np.zeros((2, 2), bool)), r"\(2, 2\)"),
        (dict(right=words(1, 2), level=1.0), "1.0"),
        (dict(right=words(1, 2), resamples=0), "0"),
    ],
)
def test_impossible_intervals_are_refused(settings, message):
    with pytest.raises(ValueError, match=message):
        accuracy_interval(**settings)


def test_readers_of_different_words_are_not_compared():
    with pytest.raises(ValueError, match="3 and 4"):
        difference_interval(words(1, 3), words(1, 4))
