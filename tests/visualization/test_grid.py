"""Grids of pictures, pixel by pixel."""

import numpy as np
import pytest
import torch
from mmengine.structures import PixelData

from mms_ocr.visualization import GAP, HEADER, draw_text, fit_picture, picture_grid, to_picture


def picture(value, size=(4, 6)):
    return np.full((*size, 3), value, np.uint8)


@pytest.mark.parametrize("scale", [1, 3])
def test_rows_are_laid_out_with_gaps(scale):
    generator = np.random.default_rng(0)
    rows = [[generator.integers(0, 255, (4, 6, 3), np.uint8) for _ in range(3)] for _ in range(2)]
    sheet = picture_grid(rows, scale=scale)
    height, width = 4 * scale, 6 * scale
    assert sheet.shape == (2 * (height + GAP) + GAP, 3 * (width + GAP) + GAP, 3)
    rest = np.ones(sheet.shape[:2], bool)
    for r, row in enumerate(rows):
        for c, part in enumerate(row):
            top, left = GAP + r * (height + GAP), GAP + c * (width + GAP)
            for y in range(height):
                for x in range(width):
                    assert np.array_equal(sheet[top + y, left + x], part[y // scale, x // scale])
            rest[top : top + height, left : left + width] = False
    assert (sheet[rest] == 255).all()


def test_rows_of_different_lengths_and_sizes():
    sheet = picture_grid([[picture(1, (4, 6)), picture(2, (8, 10))], [picture(3, (2, 5))]])
    assert sheet.shape == (8 + 2 + 3 * GAP, 6 + 10 + 3 * GAP, 3)
    assert (sheet[GAP : GAP + 8, 2 * GAP + 6 : 2 * GAP + 16] == 2).all()
    assert (sheet[2 * GAP + 8 : 2 * GAP + 10, GAP : GAP + 5] == 3).all()
    assert (sheet[2 * GAP + 8 :, GAP + 5 :] == 255).all()


def test_labels_are_drawn_above_their_columns():
    rows = [[picture(0, (8, 60)) for _ in range(3)]]
    labelled = picture_grid(rows, ["a", "b", "c"])
    assert np.array_equal(labelled[HEADER:], picture_grid(rows))
    dark = np.flatnonzero((labelled[:HEADER] < 128).any(axis=(0, 2)))
    assert {int(x - GAP) // (60 + GAP) for x in dark} == {0, 1, 2}
    assert all((x - GAP) % (60 + GAP) < 15 for x in dark)


def test_pictures_of_any_size_fill_their_cells():
    colors = [[10, 20, 30], [40, 50, 60], [70, 80, 90], [1, 2, 3]]
    sizes = [(8, 16), (4, 4), (100, 300), (9, 20)]
    pictures = [picture(color, size) for size, color in zip(sizes, colors)]
    sheet = picture_grid([pictures[:2], pictures[2:]], ["one", "two"], cell=(8, 16))
    assert sheet.shape == (HEADER + GAP + 2 * (8 + GAP), GAP + 2 * (16 + GAP), 3)
    for number, color in enumerate(colors):
        top = HEADER + GAP + number // 2 * (8 + GAP)
        left = GAP + number % 2 * (16 + GAP)
        assert (sheet[top : top + 8, left : left + 16] == color).all()


def test_impossible_grids():
    for rows in ([], [[]]):
        with pytest.raises(ValueError, match="at least one picture"):
            picture_grid(rows)
    with pytest.raises(ValueError, match="1 pictures and there are 2 columns"):
        picture_grid([[picture(0)]], ["one", "two"])


@pytest.mark.parametrize(
    ("size", "filled"), [((10, 20), (40, 80)), ((10, 50), (20, 100)), ((80, 20), (40, 10))]
)
def test_fitted_pictures_keep_their_aspect_ratio(size, filled):
    for width in (None, 110):
        fitted = fit_picture(picture(7, size), 40, 100, width)
        assert fitted.shape == (40, width or filled[1], 3)
        assert (fitted[: filled[0], : filled[1]] == 7).all()
        assert (fitted[filled[0] :] == 255).all()
        assert (fitted[:, filled[1] :] == 255).all()


def test_text_fits():
    for text in ("word", "m" * 60):
        drawn = draw_text(text)
        assert drawn.shape == (64, 256, 3)
        assert drawn.min() < 100
        assert (drawn[:, -6:] == 255).all()
    assert draw_text("m" * 60, 30, None).shape[1] > 600


@pytest.mark.parametrize(
    "wrap", [torch.from_numpy, np.asarray, lambda v: PixelData(data=torch.from_numpy(v))]
)
def test_labels_as_pictures(wrap):
    shown = to_picture(wrap(np.array([[[0, 1, 255]]], np.uint8)))
    assert shown.tolist() == [[[0] * 3, [255] * 3, [128] * 3]]


def test_labels_without_a_channel():
    assert to_picture(torch.tensor([[True, False]])).tolist() == [[[255] * 3, [0] * 3]]


def test_images_as_pictures():
    whole = torch.arange(18, dtype=torch.uint8).reshape(3, 2, 3)
    np.testing.assert_array_equal(to_picture(whole), whole.permute(1, 2, 0).numpy())
    shares = torch.tensor([-0.5, 0.0, 0.5, 1.0, 2.0]).view(1, 1, 5).expand(3, 1, 5)
    assert to_picture(shares)[0, :, 0].tolist() == [0, 0, 128, 255, 255]
    with pytest.raises(ValueError, match=r"got \(2, 4, 4\)"):
        to_picture(torch.zeros(2, 4, 4))
