"""Lengths of trainings fill the time that is given."""

from __future__ import annotations

import pytest

from mms_ocr.apis.adaptation.plan import (
    LEAST_ITERATIONS,
    Lengths,
    Pace,
    in_hours,
    is_long_enough,
    least_seconds,
    plan_finetuning,
    plan_lengths,
)

PACES = {"pretrain": Pace(20.0, 0.5), "finetune": Pace(30.0, 0.8)}
NO_LIMITS = {"pretrain": 10**9, "finetune": 10**9}


def seconds_of(lengths: Lengths) -> float:
    runs = [("pretrain", lengths.pretrain), ("finetune", lengths.finetune)]
    runs += [("finetune", lengths.finetune_plain)] if lengths.finetune_plain else []
    return sum(PACES[name].start + count * PACES[name].step for name, count in runs)


@pytest.mark.parametrize("compare", [True, False])
@pytest.mark.parametrize("seconds", [900, 7200, 100_000])
def test_trainings_fill_the_time_but_for_the_margin(seconds, compare):
    lengths = plan_lengths(seconds, PACES, NO_LIMITS, compare)
    assert 0.96 * seconds < seconds_of(lengths) <= seconds
    assert PACES["pretrain"].seconds(lengths.pretrain) == pytest.approx(0.4 * seconds, rel=0.04)
    assert lengths.finetune_plain == (lengths.finetune if compare else 0)


def test_time_that_limited_pretraining_leaves_goes_to_fine_tuning():
    free = plan_lengths(7200, PACES, NO_LIMITS, True)
    limited = plan_lengths(7200, PACES, {"pretrain": 400, "finetune": 10**9}, True)
    assert limited.pretrain == 400
    assert limited.finetune > free.finetune
    assert seconds_of(limited) == pytest.approx(seconds_of(free), rel=0.01)
    both = plan_lengths(7200, PACES, {"pretrain": 400, "finetune": 500}, True)
    assert both == Lengths(400, 500, 500)


def test_fine_tunings_of_equal_length():
    # 2 x (30 + 555 x 0.8) x 1.03 = 976.4
    assert plan_finetuning(977, PACES["finetune"], 10**9, True) == (555, 555)
    assert plan_finetuning(977, PACES["finetune"], 10**9, False) == (1148, 0)
    assert plan_finetuning(-5, PACES["finetune"], 10**9, True) == (0, 0)


@pytest.mark.parametrize("compare", [True, False])
def test_least_seconds_are_just_enough(compare):
    needed = least_seconds(PACES, compare)
    assert is_long_enough(plan_lengths(needed, PACES, NO_LIMITS, compare))
    assert not is_long_enough(plan_lengths(0.98 * needed, PACES, NO_LIMITS, compare))
    assert not is_long_enough(Lengths(LEAST_ITERATIONS, LEAST_ITERATIONS - 1, 0))


def test_hours_are_rounded_up():
    assert [in_hours(seconds) for seconds in (1, 36, 37, 3600, 3601)] == [0.01, 0.01, 0.02, 1, 1.01]
