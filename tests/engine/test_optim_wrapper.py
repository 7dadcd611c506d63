"""bf16 training on CPU."""

import pytest
import torch
from small_runs import Job
from torch import nn

from mms_ocr.engine import Bf16OptimWrapper, optim_wrapper
from mms_ocr.engine.optim_wrapper import computes_bf16

BF16 = "mms_ocr.Bf16OptimWrapper"


def test_bf16_trains_nearly_as_float32_does():
    job, exact = (
        Job(wrapper=BF16, dtype=torch.bfloat16, enabled=True),
        Job(wrapper=BF16, enabled=False),
    )
    losses = [job.step() for _ in range(40)]
    assert losses[-1] < 0.5 * losses[0]
    assert losses == pytest.approx([exact.step() for _ in range(40)], abs=0.05)
    assert all(parameter.dtype == torch.float32 for parameter in job.model.parameters())


@pytest.mark.parametrize("dtype", [torch.bfloat16, torch.float32])
def test_autocast_depends_on_the_device(monkeypatch, dtype):
    monkeypatch.setattr(optim_wrapper, "computes_bf16", lambda device: dtype == torch.bfloat16)
    Job(wrapper=BF16, dtype=dtype).step()


def test_native_bf16(monkeypatch):
    for name in ("_is_avx512_bf16_supported", "_is_amx_tile_supported"):
        monkeypatch.delattr(torch.cpu, name, raising=False)
    assert not computes_bf16("cpu")
    monkeypatch.setattr(torch.cpu, "_is_amx_tile_supported", lambda: True, raising=False)
    assert computes_bf16("cpu")
    assert not computes_bf16("meta")


def test_autocast_ends_with_the_context():
    model = nn.Linear(2, 2)
    wrapper = Bf16OptimWrapper(optimizer=torch.optim.SGD(model.parameters(), lr=1), enabled=True)
    with wrapper.optim_context(model):
        assert torch.is_autocast_enabled("cpu")
    assert not torch.is_autocast_enabled("cpu")
