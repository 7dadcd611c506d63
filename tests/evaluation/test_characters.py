import json

import cv2
import numpy as np
import pytest
import torch

from mms_ocr.evaluation.characters import (
    character_patches,
    fit_linear_probe,
    pool_characters,
    read_characters,
)


def touched_slowly(box, image_size, grid):
    """Find every patch that shares area with the box, by testing all patches."""
    x, y, w, h = box
    patch_h, patch_w = image_size[0] / grid[0], image_size[1] / grid[1]
    touched = torch.zeros(grid, dtype=torch.bool)
    for row in range(grid[0]):
        for column in range(grid[1]):
            overlaps_y = y < (row + 1) * patch_h and y + h > row * patch_h
            overlaps_x = x < (column + 1) * patch_w and x + w > column * patch_w
            touched[row, column] = bool(overlaps_x and overlaps_y)
    return touched.flatten()


def test_character_patches_are_those_that_share_area_with_the_box():
    rng = np.random.default_rng(0)
    for _ in range(200):
        size = rng.integers(10, 80, 2)
        corner = rng.uniform(0, 0.9, 2) * size
        extent = rng.uniform(0.02, 1, 2) * (size - corner)
        box = [corner[1], corner[0], extent[1], extent[0]]
        expected = touched_slowly(box, size, (8, 32))
        assert torch.equal(character_patches(box, size, (8, 32)), expected)


@pytest.mark.parametrize("box", [[-5, -5, 3, 3], [200, 90, 10, 10], [10, 10, 0, 0]])
def test_a_box_outside_or_without_area_still_touches_one_patch(box):
    assert character_patches(box, (64, 128), (8, 32)).sum() == 1


def test_pool_characters_averages_each_cell_of_a_box():
    tokens = torch.randn(5, 4, 6)
    patches = torch.zeros(2, 4, 6, dtype=torch.bool)
    patches[0, 1:3, 2:6] = True
    patches[1] = True
    pooled = pool_characters(tokens, patches.flatten(1), cells=(2, 2)).view(2, 5, 2, 2)
    for cell_row in range(2):
        for cell_column in range(2):
            small = tokens[:, 1 + cell_row, 2 + 2 * cell_column : 4 + 2 * cell_column]
            torch.testing.assert_close(pooled[0, :, cell_row, cell_column], small.mean(dim=1))
            rows = slice(2 * cell_row, 2 * cell_row + 2)
            columns = slice(3 * cell_column, 3 * cell_column + 3)
            large = tokens[:, rows, columns].mean(dim=(1, 2))
            torch.testing.assert_close(pooled[1, :, cell_row, cell_column], large)


def test_linear_probe_on_separable_and_random_features():
    torch.manual_seed(0)
    centers = 4 * torch.eye(3, 6)
    classes = torch.arange(3).repeat(60)
    features = centers[classes] + 0.3 * torch.randn(180, 6)
    apart = fit_linear_probe((features[:120], classes[:120]), (features[120:], classes[120:]))
    assert apart == 1
    noise = torch.randn(180, 6)
    chance = fit_linear_probe((noise[:120], classes[:120]), (noise[120:], classes[120:]))
    assert chance < 0.6


def test_read_characters_finds_images_beside_the_file(tmp_path):
    cv2.imwrite(str(tmp_path / "a.png"), np.zeros((32, 128, 3), np.uint8))
    line = {"filename": "a.png", "text": "a\u2028", "char_boxes": [[0, 0, 64, 32], [64, 0, 64, 32]]}
    text = json.dumps(line, ensure_ascii=False) + "\n"
    (tmp_path / "words.jsonl").write_text(text, encoding="utf-8")
    (word,) = read_characters(str(tmp_path / "words.jsonl"), (8, 32))
    assert word.text == "a\u2028"
    halves = torch.zeros(2, 8, 32, dtype=torch.bool)
    halves[0, :, :16] = True
    halves[1, :, 16:] = True
    assert torch.equal(word.patches, halves.flatten(1))


@pytest.mark.parametrize(
    ("line", "message"),
    [
        ({"filename": "a.png", "text": "a"}, r"a\.png has no char_boxes"),
        ({"filename": "b.png", "text": "a", "char_boxes": [[0, 0, 1, 1]]}, r"b\.png"),
        ({"filename": "a.png", "text": "a\u2028\x85"}, r"a\.png has no char_boxes"),
        ([1], r"words\.jsonl, line 1"),
        ("{", r"words\.jsonl, line 1: not JSON"),
    ],
)
def test_invalid_lines_are_named(tmp_path, line, message):
    cv2.imwrite(str(tmp_path / "a.png"), np.zeros((32, 128, 3), np.uint8))
    text = line if line == "{" else json.dumps(line, ensure_ascii=False)
    (tmp_path / "words.jsonl").write_text(text, encoding="utf-8")
    with pytest.raises(ValueError, match=message):
        read_characters(str(tmp_path / "words.jsonl"), (8, 32))


def test_a_missing_annotation_file_is_named():
    with pytest.raises(FileNotFoundError, match=r"nowhere\.jsonl"):
        read_characters("nowhere.jsonl", (8, 32))
