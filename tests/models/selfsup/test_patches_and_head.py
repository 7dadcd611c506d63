"""Patches, targets and pictures on any grid."""

import pytest
import torch
from mmpretrain.models.heads import MAEPretrainHead

from mms_ocr.models import MaskedPixelHead
from mms_ocr.models.backbones.patches import (
    hide_patches,
    normalize_patches,
    patchify,
    unpatchify,
)


def mae_head(patch_size, norm_pix=True, criterion="L2"):
    loss = dict(type="PixelReconstructionLoss", criterion=criterion)
    return MAEPretrainHead(loss=loss, norm_pix=norm_pix, patch_size=patch_size)


@pytest.mark.parametrize("patch_size", [1, 4, 8])
def test_squares_are_cut_as_in_mmpretrain(patch_size):
    images = torch.randn(2, 3, 16, 16)
    assert torch.equal(patchify(images, patch_size), mae_head(patch_size).patchify(images))


@pytest.mark.parametrize(("size", "patch_size"), [((8, 24), 4), ((24, 8), 4), ((4, 6), 2)])
def test_rectangles_are_cut_in_reading_order(size, patch_size):
    images = torch.randn(2, 3, *size)
    patches = patchify(images, patch_size)
    index = 0
    for top in range(0, size[0], patch_size):
        for left in range(0, size[1], patch_size):
            window = images[:, :, top : top + patch_size, left : left + patch_size]
            assert torch.equal(patches[:, index], window.permute(0, 2, 3, 1).flatten(1))
            index += 1
    grid = (size[0] // patch_size, size[1] // patch_size)
    assert torch.equal(unpatchify(patches, grid, patch_size), images)


def test_normalized_patches():
    patches = torch.rand(2, 5, 48) * 3 + 1
    normalized, mean, std = normalize_patches(patches)
    assert torch.allclose(normalized.mean(dim=-1), torch.zeros(2, 5), atol=1e-5)
    assert torch.allclose(normalized.std(dim=-1), torch.ones(2, 5), atol=1e-4)
    assert torch.allclose(normalized * std + mean, patches, atol=1e-5)


def test_flat_patches_stay_finite():
    normalized, mean, std = normalize_patches(torch.full((1, 1, 48), 0.3))
    assert normalized.abs().max() < 1e-3
    assert torch.allclose(normalized * std + mean, torch.full((1, 1, 48), 0.3))


def test_targets_are_those_of_mmpretrain():
    images = torch.randn(2, 3, 16, 16)
    ours = normalize_patches(patchify(images, 4))[0]
    assert torch.allclose(ours, mae_head(4).construct_target(images), atol=1e-6)


@pytest.mark.parametrize("norm_pix", [True, False])
@pytest.mark.parametrize("criterion", ["L1", "L2"])
def test_errors_are_those_of_mmpretrain(norm_pix, criterion):
    images, pred = torch.randn(3, 3, 16, 16), torch.randn(3, 16, 48)
    predicted = torch.stack([torch.randperm(16)[:7] for _ in range(3)])
    chosen = pred.gather(1, predicted[..., None].expand(-1, -1, 48))
    head = MaskedPixelHead(4, norm_pix, criterion)
    errors = head.errors(chosen, images, predicted)
    mask = torch.zeros(3, 16).scatter_(1, predicted, 1)
    reference = mae_head(4, norm_pix, criterion)
    for image in range(3):
        row = slice(image, image + 1)
        expected = reference.loss(pred[row], images[row], mask[row])
        assert torch.allclose(errors[image], expected, atol=1e-6)


def test_true_targets_give_back_the_image():
    images = torch.randn(2, 3, 8, 24)
    predicted = torch.stack([torch.randperm(12)[:9] for _ in range(2)])
    targets = normalize_patches(patchify(images, 4))[0]
    pred = targets.gather(1, predicted[..., None].expand(-1, -1, 48))
    filled = MaskedPixelHead(4, norm_pix=True).reconstruct(pred, images, predicted)
    assert torch.allclose(filled, images, atol=1e-5)


@pytest.mark.parametrize("norm_pix", [True, False])
def test_only_predicted_patches_change(norm_pix):
    images, predicted = torch.randn(1, 3, 8, 24), torch.tensor([[5, 2, 11]])
    pred = torch.randn(1, 3, 48)
    filled = patchify(MaskedPixelHead(4, norm_pix).reconstruct(pred, images, predicted), 4)[0]
    patches = patchify(images, 4)[0]
    for patch in range(12):
        if patch not in (5, 2, 11):
            assert torch.equal(filled[patch], patches[patch])
            continue
        expected = pred[0, [5, 2, 11].index(patch)]
        if norm_pix:
            expected = expected * (patches[patch].var() + 1e-6).sqrt() + patches[patch].mean()
        assert torch.allclose(filled[patch], expected, atol=1e-5)


def test_hidden_patches_have_the_value():
    images = torch.randn(2, 3, 8, 24)
    mask = torch.rand(2, 12) < 0.5
    hidden = patchify(hide_patches(images, mask, (4, 4), value=7.0), 4)
    patches = patchify(images, 4)
    assert (hidden[mask] == 7).all()
    assert torch.equal(hidden[~mask], patches[~mask])


def test_unknown_criterion():
    with pytest.raises(ValueError, match="criterion must be 'L1' or 'L2', got 'MSE'"):
        MaskedPixelHead(criterion="MSE")


def test_rectangular_patches():
    images = torch.randn(2, 3, 8, 12)
    patches = patchify(images, (4, 2))
    assert patches.shape == (2, 12, 24)
    # The patch of row 1, column 4: its pixels in reading order, channels side by side.
    assert torch.equal(patches[1, 10], images[1, :, 4:8, 8:10].permute(1, 2, 0).flatten())
    assert torch.equal(unpatchify(patches, (2, 6), (4, 2)), images)
