"""Positions on a rectangular grid."""

import math

import pytest
import torch
import torch.nn.functional as F
from mmpretrain.models.utils import build_2d_sincos_position_embedding

from mms_ocr.models.backbones.positions import (
    find_sincos_grid,
    resize_positions,
    sincos_positions,
)


@pytest.mark.parametrize("side", [1, 4, 16])
@pytest.mark.parametrize("dim", [4, 192])
def test_squares_are_those_of_mmpretrain(side, dim):
    expected = build_2d_sincos_position_embedding(side, dim)[0]
    assert torch.allclose(sincos_positions((side, side), dim), expected, atol=1e-5)


@pytest.mark.parametrize("grid", [(1, 5), (3, 2), (8, 32)])
def test_rectangles_are_those_of_a_double_loop(grid):
    dim = 16
    expected = []
    for row in range(grid[0]):
        for column in range(grid[1]):
            parts = []
            for place in (row, column):
                angles = [place / 10000 ** (k / 4) for k in range(4)]
                parts += [math.sin(a) for a in angles] + [math.cos(a) for a in angles]
            expected.append(parts)
    assert torch.allclose(sincos_positions(grid, dim), torch.tensor(expected), atol=1e-5)


def test_width_must_be_a_multiple_of_four():
    with pytest.raises(ValueError, match="multiple of 4 channels, got 6"):
        sincos_positions((2, 2), 6)


@pytest.mark.parametrize("extra", [0, 1, 2])
def test_resizing_interpolates_on_the_true_grid(extra):
    positions = torch.randn(1, extra + 24, 8)
    resized = resize_positions(positions, (4, 6), (3, 11), extra)
    assert torch.equal(resized[:, :extra], positions[:, :extra])
    image = positions[0, extra:].view(4, 6, 8).permute(2, 0, 1)[None]
    expected = F.interpolate(image, size=(3, 11), mode="bicubic", align_corners=False)
    for row in range(3):
        for column in range(11):
            patch = resized[0, extra + 11 * row + column]
            assert torch.allclose(patch, expected[0, :, row, column], atol=1e-6)


def test_resizing_keeps_the_type_and_the_same_grid():
    positions = torch.randn(1, 7, 8)
    assert resize_positions(positions, (2, 3), (2, 3)) is positions
    assert resize_positions(positions.half(), (2, 3), (4, 3)).dtype == torch.float16


def test_resizing_from_a_wrong_grid():
    with pytest.raises(ValueError, match="length 7 do not belong to a grid of 3×3"):
        resize_positions(torch.randn(1, 7, 8), (3, 3), (2, 3))


@pytest.mark.parametrize("grid", [(8, 32), (4, 64), (16, 16), (7, 5), (1, 12)])
def test_grid_of_fixed_positions_is_found(grid):
    positions = sincos_positions(grid, 48)
    assert find_sincos_grid(positions) == grid
    assert find_sincos_grid(positions.half()) == grid


def test_swapped_halves_of_official_mae_are_recognized():
    positions = sincos_positions((14, 14), 32)
    assert find_sincos_grid(torch.cat([positions[:, 16:], positions[:, :16]], dim=1)) == (14, 14)


def test_trained_positions_have_no_grid():
    assert find_sincos_grid(torch.randn(256, 48)) is None
    assert find_sincos_grid(torch.randn(256, 6)) is None
