"""bf16 training on CPU."""

import pytest
import torch
from torch import nn

from mms_ocr.engine import Bf16OptimWrapper, optim_wrapper
from mms_ocr.engine.optim_wrapper import computes_bf16
from mms_ocr.registry import OPTIM_WRAPPERS


def wrapper(model, enabled):
    return OPTIM_WRAPPERS.build(
        dict(type="mms_ocr.Bf16OptimWrapper", enabled=enabled),
        default_args=dict(optimizer=torch.optim.AdamW(model.parameters(), lr=1e-2)),
    )


def train(enabled, steps=40):
    torch.manual_seed(0)
    model = nn.Sequential(nn.Linear(8, 16), nn.GELU(), nn.Linear(16, 1))
    wrapped, dtypes, losses = wrapper(model, enabled), set(), []
    model[0].register_forward_hook(lambda module, args, out: dtypes.add(out.dtype))
    inputs = torch.randn(32, 8)
    targets = inputs[:, :1] - inputs[:, 1:2]
    for _ in range(steps):
        with wrapped.optim_context(model):
            loss = nn.functional.mse_loss(model(inputs).float(), targets)
        wrapped.update_params(loss)
        losses.append(loss.item())
    return model, dtypes, losses


def test_bf16_trains_and_parameters_stay_float32():
    model, dtypes, losses = train(enabled=True)
    assert dtypes == {torch.bfloat16}
    assert losses[-1] < 0.5 * losses[0]
    assert all(parameter.dtype == torch.float32 for parameter in model.parameters())


def test_bf16_comes_close_to_float32():
    _, dtypes, exact = train(enabled=False)
    assert dtypes == {torch.float32}
    assert train(enabled=True)[2] == pytest.approx(exact, abs=0.05)


@pytest.mark.parametrize("native", [True, False])
def test_the_device_decides(monkeypatch, native):
    monkeypatch.setattr(optim_wrapper, "computes_bf16", lambda device_type: native)
    _, dtypes, _ = train(enabled=None, steps=2)
    assert dtypes == {torch.bfloat16 if native else torch.float32}


def test_what_is_asked_of_the_device(monkeypatch):
    for name in ("_is_avx512_bf16_supported", "_is_amx_tile_supported"):
        monkeypatch.delattr(torch.cpu, name, raising=False)
    assert not computes_bf16("cpu")
    monkeypatch.setattr(torch.cpu, "_is_amx_tile_supported", lambda: True, raising=False)
    assert computes_bf16("cpu")
    assert not computes_bf16("meta")


def test_autocast_ends_with_the_context():
    model = nn.Linear(2, 2)
    with wrapper(model, True).optim_context(model):
        assert torch.is_autocast_enabled("cpu")
    assert not torch.is_autocast_enabled("cpu")
    assert isinstance(wrapper(model, None), Bf16OptimWrapper)
