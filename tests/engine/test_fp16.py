"""fp16 with a loss scale, on CPU: the path that GPUs take."""

from types import SimpleNamespace

import pytest
import torch
from mmengine.logging import MessageHub
from torch import nn

from mms_ocr.engine import SkipNonFiniteHook
from mms_ocr.engine.failures import NonFiniteError
from mms_ocr.registry import OPTIM_WRAPPERS


class Job(SimpleNamespace):
    """A runner that trains two layers in fp16 to give the difference of two inputs."""

    def __init__(self, max_in_row=3, optimizer="AdamW", lr=0.01, **settings):
        torch.manual_seed(0)
        self.logged = []
        model = nn.Sequential(nn.Linear(8, 16), nn.GELU(), nn.Linear(16, 1))
        steps = getattr(torch.optim, optimizer)(model.parameters(), lr=lr)
        super().__init__(
            model=model,
            iter=0,
            message_hub=MessageHub.get_instance(f"fp16 {id(self)}"),
            optim_wrapper=OPTIM_WRAPPERS.build(
                dict(type="mms_ocr.Fp16OptimWrapper", optimizer=steps, **settings)
            ),
            logger=SimpleNamespace(warning=self.logged.append, info=self.logged.append),
        )
        self.inputs = torch.randn(32, 8)
        self.hook = SkipNonFiniteHook(max_in_row)
        self.hook.before_train(self)

    def step(self, change=lambda loss: loss):
        with self.optim_wrapper.optim_context(self.model):
            outputs = self.model(self.inputs)
        assert outputs.dtype == torch.float16
        targets = self.inputs[:, :1] - self.inputs[:, 1:2]
        loss = change((outputs.float() - targets).square().mean())
        self.optim_wrapper.update_params(loss)
        self.hook.after_train_iter(self, self.iter, outputs={"loss": loss.detach()})
        self.iter += 1
        return loss.item()

    def state(self):
        optimizer = self.optim_wrapper.optimizer.state_dict()["state"]
        moments = [value for state in optimizer.values() for value in state.values()]
        return torch.cat([p.detach().flatten() for p in [*self.model.parameters(), *moments]])

    @property
    def scale(self):
        return self.optim_wrapper.loss_scaler.get_scale()

    @property
    def counts(self):
        return self.hook.overflowed, self.hook.skipped, self.hook.in_row


def test_trains_nearly_as_float32_does():
    job = Job()
    reference = Job()
    losses, expected = [], []
    for _ in range(40):
        losses.append(job.step())
        loss = (
            (reference.model(reference.inputs) - (job.inputs[:, :1] - job.inputs[:, 1:2]))
            .square()
            .mean()
        )
        reference.optim_wrapper.optimizer.zero_grad()
        loss.backward()
        reference.optim_wrapper.optimizer.step()
        expected.append(loss.item())
    assert losses == pytest.approx(expected, abs=0.01)
    assert losses[-1] < 0.5 * losses[0]
    assert all(p.dtype == torch.float32 for p in job.model.parameters())
    assert job.counts == (0, 0, 0)


def test_overflows_lower_the_scale_and_are_no_faults():
    # 2 * outputs / 32 * 2**24 does not fit into fp16, whose largest number is 65504.
    job = Job(max_in_row=1, loss_scale=dict(init_scale=2.0**24))
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
    job = Job(max_in_row=2)
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


def test_gradients_that_overflow_for_good_end_the_run():
    job = Job(max_in_row=3, loss_scale=dict(init_scale=8.0))

    def spoilt(loss):
        return loss + (job.model[0].weight.sum() * 0).sqrt()  # finite, with a gradient that is not

    # At scales of 4, 2 and 1 they may have overflowed, and below they have not.
    for _ in range(5):
        job.step(spoilt)
    assert job.counts == (3, 2, 2)
    with pytest.raises(NonFiniteError, match=r"3 steps in a row, up to iteration 6"):
        job.step(spoilt)


def test_a_scale_that_stays_is_no_excuse():
    job = Job(max_in_row=2, loss_scale=2.0**24)
    job.step()
    assert job.scale == 2.0**24
    with pytest.raises(NonFiniteError, match="2 steps in a row"):
        job.step()


@pytest.mark.parametrize("scale", [1.0, 1024.0])
def test_what_is_clipped_is_the_gradient_without_its_scale(scale):
    job = Job(optimizer="SGD", lr=1.0, loss_scale=scale, clip_grad=dict(max_norm=0.01))
    before = job.state()
    job.step()
    assert torch.linalg.vector_norm(job.state() - before).item() == pytest.approx(0.01, rel=1e-3)


def test_a_cycle_of_accumulation_with_one_infinite_loss_is_a_fault():
    job = Job(accumulative_counts=2)
    before = job.state()
    job.step(lambda loss: loss + float("inf"))
    job.step()
    assert torch.equal(job.state(), before)
    assert job.counts == (0, 1, 1)
    for _ in range(2):
        job.step()
    assert job.counts == (0, 1, 0)
    assert not torch.equal(job.state(), before)


def test_scale_and_its_growth_go_on_where_they_were():
    settings = dict(loss_scale=dict(init_scale=64.0, growth_interval=3))
    whole = Job(**settings)
    for _ in range(10):
        whole.step()
    assert whole.scale == 64 * 2**3
    part = Job(**settings)
    for _ in range(5):
        part.step()
    saved = part.optim_wrapper.state_dict()
    assert (saved["loss_scaler"]["scale"], saved["loss_scaler"]["_growth_tracker"]) == (128, 2)
    again = Job(**settings)
    again.model.load_state_dict(part.model.state_dict())
    again.optim_wrapper.load_state_dict(saved)
    for _ in range(5):
        again.step()
    assert again.scale == whole.scale
    assert torch.equal(again.state(), whole.state())


@pytest.mark.parametrize("scale", ["static", True, None])
def test_a_scale_that_is_none(scale):
    with pytest.raises(ValueError, match=r"loss_scale must be 'dynamic', a number or arguments"):
        Job(loss_scale=scale)
