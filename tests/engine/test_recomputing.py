"""Activation checkpointing: the gradients of a model without it, whatever is frozen."""

import copy

import pytest
import torch
from mmengine.runner import runner as mmengine_runner
from torch import nn

from mms_ocr.compat.running import recompute, use_recompute
from mms_ocr.models import TextViT

ARCH = dict(embed_dims=24, num_layers=3, num_heads=3, feedforward_channels=48)
LAYERS = [f"backbone.layers.{layer}" for layer in range(3)]


class Model(nn.Module):
    def __init__(self, frozen_stages):
        super().__init__()
        self.backbone = TextViT(arch=ARCH, img_size=(16, 32), frozen_stages=frozen_stages)


def built(frozen_stages=-1):
    torch.manual_seed(0)
    model = Model(frozen_stages).train()
    images = torch.randn(2, 3, 16, 32)
    return model, images


def gradients(model, images, bf16=False):
    with torch.autocast("cpu", torch.bfloat16, enabled=bf16):
        model.backbone(images).float().square().sum().backward()
    return {name: p.grad for name, p in model.named_parameters() if p.grad is not None}


@pytest.mark.parametrize("frozen_stages", [-1, 1, 2])
@pytest.mark.parametrize("bf16", [False, True])
def test_gradients_equal_those_without_recomputing(frozen_stages, bf16):
    model, images = built(frozen_stages)
    plain = gradients(copy.deepcopy(model), images, bf16)
    runs = []
    model.backbone.layers[2].attn.register_forward_hook(lambda *args: runs.append(1))
    recompute(model, LAYERS)
    recomputed = gradients(model, images, bf16)
    assert len(runs) == 2, "computed, and computed again"
    assert recomputed.keys() == plain.keys()
    assert "backbone.layers.2.attn.qkv.weight" in recomputed
    for name, gradient in plain.items():
        assert torch.equal(recomputed[name], gradient), name


def test_copies_recompute_their_own_layers():
    model, images = built()
    recompute(model, LAYERS[0])
    average = copy.deepcopy(model)
    before = average.backbone(images)
    with torch.no_grad():
        for parameter in model.parameters():
            parameter.zero_()
    assert torch.equal(average.backbone(images), before)


def test_compiled_layers():
    model, images = built(1)
    plain = gradients(copy.deepcopy(model), images)
    recompute(model, LAYERS)
    for layer in model.backbone.layers:
        layer.compile(backend="eager")
    recomputed = gradients(model, images)
    assert recomputed.keys() == plain.keys()
    for name, gradient in plain.items():
        torch.testing.assert_close(recomputed[name], gradient, msg=name)


def test_missing_part_is_named():
    with pytest.raises(ValueError, match=r"names 'backbone.layers.7', which Model does not have"):
        recompute(built()[0], ["backbone.layers.0", "backbone.layers.7"])


def test_runs_use_it(monkeypatch):
    monkeypatch.setattr(mmengine_runner, "turn_on_activation_checkpointing", None)
    use_recompute()
    assert mmengine_runner.turn_on_activation_checkpointing is recompute
