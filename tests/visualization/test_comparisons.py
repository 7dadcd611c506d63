"""Sheets of input, prediction and truth."""

import numpy as np
import pytest
import torch
from mmengine.structures import PixelData

from mms_ocr.visualization import comparison_sheet, to_picture
from mms_ocr.visualization.sheets import GAP, HEADER


@pytest.mark.parametrize(
    "wrap", [torch.from_numpy, np.asarray, lambda v: PixelData(data=torch.from_numpy(v))]
)
def test_labels(wrap):
    picture = to_picture(wrap(np.array([[[0, 1, 255]]], np.uint8)))
    assert picture.tolist() == [[[0] * 3, [255] * 3, [128] * 3]]


def test_labels_without_a_channel():
    assert to_picture(torch.tensor([[True, False]])).tolist() == [[[255] * 3, [0] * 3]]


def test_images():
    whole = torch.arange(18, dtype=torch.uint8).reshape(3, 2, 3)
    np.testing.assert_array_equal(to_picture(whole), whole.permute(1, 2, 0).numpy())
    shares = torch.tensor([-0.5, 0.0, 0.5, 1.0, 2.0]).view(1, 1, 5).expand(3, 1, 5)
    assert to_picture(shares)[0, :, 0].tolist() == [0, 0, 128, 255, 255]


def test_neither():
    with pytest.raises(ValueError, match=r"a picture is \(3, H, W\).*got \(2, 4, 4\)"):
        to_picture(torch.zeros(2, 4, 4))


def test_pictures_of_any_size_fill_their_panels():
    colors = [[10, 20, 30], [40, 50, 60], [70, 80, 90], [1, 2, 3]]
    sizes = [(8, 16), (4, 4), (100, 300), (9, 20)]
    pictures = [np.full((*size, 3), color, np.uint8) for size, color in zip(sizes, colors)]
    sheet = comparison_sheet([pictures[:2], pictures[2:]], ["one", "two"], panel=(8, 16))
    assert sheet.shape == (HEADER + GAP + 2 * (8 + GAP), GAP + 2 * (16 + GAP), 3)
    for number, color in enumerate(colors):
        top = HEADER + GAP + number // 2 * (8 + GAP)
        left = GAP + number % 2 * (16 + GAP)
        assert (sheet[top : top + 8, left : left + 16] == color).all()


def test_sheets_that_cannot_be():
    with pytest.raises(ValueError, match="at least one row"):
        comparison_sheet([], ["one"])
    with pytest.raises(ValueError, match="a row has 1 pictures and there are 2 columns"):
        comparison_sheet([[np.zeros((2, 2, 3), np.uint8)]], ["one", "two"])
