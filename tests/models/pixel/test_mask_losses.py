"""Losses of masks, pixel by pixel."""

import math

import pytest
import torch

from mms_ocr.models.pixel.mask_losses import mask_cross_entropy, mask_dice, mask_squared_error
from mms_ocr.registry import MODELS

FUNCTIONS = {
    "mms_ocr.MaskCrossEntropy": (mask_cross_entropy, "loss_ce"),
    "mms_ocr.MaskDice": (mask_dice, "loss_dice"),
    "mms_ocr.MaskSquaredError": (mask_squared_error, "loss_mse"),
}


def batch(ignored=0.3):
    torch.manual_seed(1)
    logits = torch.randn(3, 1, 4, 5) * 2
    coverage = torch.rand(3, 1, 4, 5)
    return logits, coverage, (torch.rand(3, 1, 4, 5) > ignored).float()


def pixels(logits, coverage, valid):
    """Image, probability and truth of every pixel that counts."""
    for image in range(len(logits)):
        for place in range(logits[image].numel()):
            if valid[image].flatten()[place]:
                share = 1 / (1 + math.exp(-logits[image].flatten()[place].item()))
                yield image, share, coverage[image].flatten()[place].item()


def test_cross_entropy():
    values = [-t * math.log(p) - (1 - t) * math.log(1 - p) for _, p, t in pixels(*batch())]
    assert mask_cross_entropy(*batch()).item() == pytest.approx(sum(values) / len(values), rel=1e-5)


def test_squared_error():
    values = [(p - t) ** 2 for _, p, t in pixels(*batch())]
    assert mask_squared_error(*batch()).item() == pytest.approx(sum(values) / len(values), rel=1e-5)


def test_dice():
    images = []
    for number in range(3):
        own = [(p, t) for image, p, t in pixels(*batch()) if image == number]
        common = sum(min(p, t) for p, t in own)
        images.append(1 - (2 * common + 1) / (sum(p + t for p, t in own) + 1))
    assert mask_dice(*batch()).item() == pytest.approx(sum(images) / 3, rel=1e-5)


@pytest.mark.parametrize("function", [mask_dice, mask_squared_error])
def test_perfect_prediction_has_zero_loss(function):
    _, coverage, valid = batch()
    assert function(torch.logit(coverage), coverage, valid).item() == pytest.approx(0, abs=1e-5)


def test_dice_of_hard_masks_is_the_usual_one():
    truth = torch.tensor([[1.0, 1, 0, 0]]).view(1, 1, 2, 2)
    logits = torch.tensor([[50.0, -50, 50, -50]]).view(1, 1, 2, 2)
    # One of two found, one found wrongly: 2 * 1 / (2 + 2), smoothed by a pixel.
    assert mask_dice(logits, truth, torch.ones_like(truth)).item() == pytest.approx(1 - 3 / 5)


@pytest.mark.parametrize("function", [kind for kind, _ in FUNCTIONS.values()])
def test_pixels_that_do_not_count_have_no_gradient(function):
    logits, coverage, valid = batch()
    logits.requires_grad_()
    function(logits, coverage, valid).backward()
    assert not bool(logits.grad[valid == 0].any())
    assert bool(logits.grad[valid == 1].any())


@pytest.mark.parametrize("function", [kind for kind, _ in FUNCTIONS.values()])
def test_ignored_pixels_and_empty_masks_give_finite_losses(function):
    logits, coverage, valid = batch()
    assert torch.isfinite(function(logits, coverage, torch.zeros_like(valid)))
    empty = function(torch.full_like(logits, -30), torch.zeros_like(coverage), valid)
    assert empty.item() == pytest.approx(0, abs=1e-6)


@pytest.mark.parametrize("kind", FUNCTIONS)
def test_registered_losses_are_the_functions_with_a_weight(kind):
    function, name = FUNCTIONS[kind]
    loss = MODELS.build(dict(type=kind, weight=0.25))
    assert loss.name == name
    torch.testing.assert_close(loss(*batch()), 0.25 * function(*batch()))
