"""Steps that are not finite."""

import pytest
import torch
from mmengine.optim import OptimWrapper
from small_runs import Job

from mms_ocr.engine import SkipNonFiniteHook
from mms_ocr.engine.failures import NonFiniteError
from mms_ocr.engine.hooks.non_finite_hook import all_finite, with_nan_gradient

BAD = {
    "NaN": lambda loss: loss * float("nan"),
    "infinite": lambda loss: loss * float("inf"),
    # Its gradients are finite.
    "shifted": lambda loss: loss + float("inf"),
    "lower": lambda loss: loss - float("inf"),
}


@pytest.mark.parametrize("kind", BAD)
def test_skipped_step_changes_nothing(kind):
    job = Job()
    job.step()
    before = job.state()
    job.step(BAD[kind])
    assert torch.equal(job.state(), before)
    job.step()
    assert not torch.equal(job.state(), before)
    assert (job.hook.skipped, job.hook.in_row) == (1, 0)
    assert job.message_hub.get_info("skipped_steps") == 1
    assert "step 2 was skipped" in job.logged[0]


def test_overflowing_gradients_with_a_finite_loss():
    job = Job()
    before = job.state()
    job.step(lambda loss: loss * 0 + (job.model[0].weight.sum() * 0 + 1e-60).sqrt())
    assert torch.equal(job.state(), before)
    assert job.hook.skipped == 1


def test_finite_losses_are_not_touched():
    watched, plain = Job(), Job()
    plain.optim_wrapper = OptimWrapper(torch.optim.AdamW(plain.model.parameters(), lr=0.01))
    plain.hook = SkipNonFiniteHook()
    for job in (watched, plain):
        for _ in range(3):
            job.step()
    assert torch.equal(watched.state(), plain.state())


def test_too_many_skipped_steps_in_a_row():
    job = Job(max_in_row=3)
    for change in ("NaN", "shifted", None, "NaN", "NaN"):
        job.step(BAD[change]) if change else job.step()
    with pytest.raises(
        NonFiniteError, match=r"3 steps in a row, up to iteration 6, .*\(loss nan\)"
    ):
        job.step(BAD["NaN"])


def test_counts_resume():
    job = Job()
    job.step(BAD["NaN"])
    again = Job()
    again.message_hub = job.message_hub
    again.hook.before_train(again)
    again.step(BAD["NaN"])
    assert (again.hook.skipped, again.hook.in_row) == (2, 2)


def test_a_cycle_of_accumulation_is_skipped_whole():
    job = Job(accumulative_counts=2)
    before = job.state()
    job.step(BAD["NaN"])
    assert job.hook.skipped == 0
    job.step()
    assert torch.equal(job.state(), before)
    assert job.hook.skipped == 1
    for _ in range(2):
        job.step()
    assert not torch.equal(job.state(), before)


def test_step_skipped_by_the_scaler_counts():
    job = Job()
    job.optim_wrapper.optimizer.step = lambda: None
    job.step()
    assert job.hook.skipped == 1


def test_all_finite():
    big, bad = torch.full((3,), 1e18), torch.ones(2)
    assert all_finite([])
    assert all_finite([big, bad])
    bad[1] = float("-inf")
    assert not all_finite([big, bad])


def test_gradients_of_losses_that_are_not_finite():
    value = torch.tensor(2.0, requires_grad=True)
    with_nan_gradient(value * 3).backward()
    assert value.grad == 3
    value.grad = None
    spoilt = with_nan_gradient(value + float("inf"))
    spoilt.backward()
    assert value.grad.isnan()


def test_settings():
    with pytest.raises(ValueError, match="max_in_row must be at least 1, got 0"):
        SkipNonFiniteHook(0)
