"""Sheets of word images, pixel by pixel."""

import numpy as np
import pytest

from mms_ocr.visualization import label_columns, reconstruction_sheet, stack_rows
from mms_ocr.visualization.sheets import GAP, HEADER


def image(value, size=(4, 6)):
    return np.full((*size, 3), value, np.uint8)


@pytest.mark.parametrize("scale", [1, 3])
def test_rows_are_laid_out_with_gaps(scale):
    generator = np.random.default_rng(0)
    rows = [[generator.integers(0, 255, (4, 6, 3), np.uint8) for _ in range(3)] for _ in range(2)]
    sheet = stack_rows(rows, scale)
    height, width = 4 * scale, 6 * scale
    assert sheet.shape == (2 * (height + GAP) + GAP, 3 * (width + GAP) + GAP, 3)
    left_over = np.ones(sheet.shape[:2], bool)
    for r, row in enumerate(rows):
        for c, part in enumerate(row):
            top, left = GAP + r * (height + GAP), GAP + c * (width + GAP)
            for y in range(height):
                for x in range(width):
                    expected = part[y // scale, x // scale]
                    assert np.array_equal(sheet[top + y, left + x], expected)
            left_over[top : top + height, left : left + width] = False
    assert (sheet[left_over] == 255).all()


def test_labels_stand_above_their_columns():
    sheet = stack_rows([[image(0, (8, 60)) for _ in range(3)]], 1)
    labelled = label_columns(sheet, ["a", "b", "c"])
    assert np.array_equal(labelled[HEADER:], sheet)
    dark = np.flatnonzero((labelled[:HEADER] < 128).any(axis=(0, 2)))
    columns = {int(x - GAP) // (60 + GAP) for x in dark}
    assert columns == {0, 1, 2}
    assert all((x - GAP) % (60 + GAP) < 15 for x in dark)


def test_reconstructions_stand_in_pairs():
    sheet = reconstruction_sheet(
        [image(10), image(20)],
        [{"a": image(11), "b": image(13)}, {"a": image(21), "b": image(23)}],
        [{"a": image(12), "b": image(14)}, {"a": image(22), "b": image(24)}],
        scale=1,
    )
    assert np.array_equal(
        sheet[HEADER + GAP + 1 :: 4 + GAP, GAP + 1 :: 6 + GAP, 0],
        [[10, 11, 12, 13, 14], [20, 21, 22, 23, 24]],
    )


def test_no_image():
    with pytest.raises(ValueError, match="needs at least one image"):
        reconstruction_sheet([], [], [])
