"""fp16 with a loss scale, on CPU: the path that GPUs take."""

import pytest
import torch
from small_runs import Job

from mms_ocr.engine.failures import NonFiniteError


def fp16_job(**settings):
    return Job(wrapper="mms_ocr.Fp16OptimWrapper", dtype=torch.float16, **settings)


def test_trains_nearly_as_float32_does():
    job, reference = fp16_job(), Job()
    losses = [job.step() for _ in range(40)]
    assert losses == pytest.approx([reference.step() for _ in range(40)], abs=0.01)
    assert losses[-1] < 0.5 * losses[0]
    assert all(p.dtype == torch.float32 for p in job.model.parameters())
    assert job.counts == (0, 0, 0)


def test_overflows_lower_the_scale_and_do_not_count():
    # 2 * outputs / 32 * 2**24 does not fit into fp16, whose largest number is 65504.
    job = fp16_job(max_in_row=1, loss_scale=dict(init_scale=2.0**24))
    before, steps = job.state(), 0
    while torch.equal(job.state(), before):
        scale = job.scale
        job.step()
        steps += 1
        assert steps < 20
        if torch.equal(job.state(), before):
            assert job.scale == scale / 2
            assert job.counts == (steps, 0, 0)
    assert job.scale == 2.0 ** (24 - steps + 1) == scale
    assert job.message_hub.get_info("overflowed_steps") == steps - 1 > 3
    assert "step 1 was skipped" in job.logged[0]
    assert "8.38861e+06; 1 such steps in all" in job.logged[0]


@pytest.mark.parametrize("value", ["nan", "inf"])
def test_losses_that_are_not_finite_are_faults(value):
    job = fp16_job(max_in_row=2)
    job.step()
    before = job.state()
    job.step(lambda loss: loss + float(value))
    assert torch.equal(job.state(), before)
    assert job.counts == (0, 1, 1)
    job.step()
    assert job.counts == (0, 1, 0)
    job.step(lambda loss: loss * float(value))
    with pytest.raises(NonFiniteError, match=r"2 steps in a row, up to iteration 5"):
        job.step(lambda loss: loss * float(value))


def test_permanent_overflow_ends_the_run():
    job = fp16_job(max_in_row=3, loss_scale=dict(init_scale=8.0))

    def spoilt(loss):
        return loss + (job.model[0].weight.sum() * 0).sqrt()  # finite, with a gradient that is not

    # At scales of 4, 2 and 1 they may have overflowed, and below they have not.
    for _ in range(5):
        job.step(spoilt)
    assert job.counts == (3, 2, 2)
    with pytest.raises(NonFiniteError, match=r"3 steps in a row, up to iteration 6"):
        job.step(spoilt)


def test_overflows_count_if_the_scale_is_fixed():
    job = fp16_job(max_in_row=2, loss_scale=2.0**24)
    job.step()
    assert job.scale == 2.0**24
    with pytest.raises(NonFiniteError, match="2 steps in a row"):
        job.step()


@pytest.mark.parametrize("scale", [1.0, 1024.0])
def test_clipping_applies_to_the_unscaled_gradient(scale):
    job = fp16_job(optimizer="SGD", lr=1.0, loss_scale=scale, clip_grad=dict(max_norm=0.01))
    before = job.state()
    job.step()
    assert torch.linalg.vector_norm(job.state() - before).item() == pytest.approx(0.01, rel=1e-3)


def test_a_cycle_of_accumulation_with_one_infinite_loss_is_a_fault():
    job = fp16_job(accumulative_counts=2)
    before = job.state()
    job.step(lambda loss: loss + float("inf"))
    job.step()
    assert torch.equal(job.state(), before)
    assert job.counts == (0, 1, 1)
    for _ in range(2):
        job.step()
    assert job.counts == (0, 1, 0)
    assert not torch.equal(job.state(), before)


def test_scale_and_growth_resume():
    settings = dict(loss_scale=dict(init_scale=64.0, growth_interval=3))
    whole = fp16_job(**settings)
    for _ in range(10):
        whole.step()
    assert whole.scale == 64 * 2**3
    part = fp16_job(**settings)
    for _ in range(5):
        part.step()
    saved = part.optim_wrapper.state_dict()
    assert (saved["loss_scaler"]["scale"], saved["loss_scaler"]["_growth_tracker"]) == (128, 2)
    again = fp16_job(**settings)
    again.model.load_state_dict(part.model.state_dict())
    again.optim_wrapper.load_state_dict(saved)
    for _ in range(5):
        again.step()
    assert again.scale == whole.scale
    assert torch.equal(again.state(), whole.state())


@pytest.mark.parametrize("scale", ["static", True, None])
def test_invalid_loss_scale_raises(scale):
    with pytest.raises(ValueError, match=r"loss_scale must be 'dynamic', a number or arguments"):
        fp16_job(loss_scale=scale)
