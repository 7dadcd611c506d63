"""Coverage by rectangles against loops that need no thought."""

import hypothesis.strategies as st
import pytest
import torch
from hypothesis import given, settings

from mms_ocr.masking.coverage import (
    first_cover,
    num_rectangles,
    place,
    removal_order,
    sweep_orders,
)


def slow_first_cover(top, height, left, width, grid):
    batch, count = top.shape
    first = torch.full((batch, *grid), count)
    for image in range(batch):
        for row in range(grid[0]):
            for column in range(grid[1]):
                for k in range(count):
                    t, le = int(top[image, k]), int(left[image, k])
                    inside_rows = t <= row < t + int(height[image, k])
                    if inside_rows and le <= column < le + int(width[image, k]):
                        first[image, row, column] = k
                        break
    return first


def random_rectangles(batch, count, grid):
    rows, columns = grid
    height = torch.randint(1, rows + 1, (batch, count))
    width = torch.randint(1, columns + 1, (batch, count))
    top = (torch.rand(batch, count) * (rows - height + 1)).long()
    left = (torch.rand(batch, count) * (columns - width + 1)).long()
    return top, height, left, width


# 62 rectangles fill one word of bits; around that number words are added.
@pytest.mark.parametrize("count", [1, 5, 61, 62, 63, 124, 125, 190])
@pytest.mark.parametrize("grid", [(1, 1), (1, 9), (9, 1), (3, 7)])
def test_first_cover_is_that_of_a_triple_loop(count, grid):
    rectangles = random_rectangles(2, count, grid)
    assert torch.equal(first_cover(*rectangles, grid), slow_first_cover(*rectangles, grid))


def test_first_cover_where_only_late_rectangles_cover():
    # Every rectangle covers one patch of its own, so that each bit of every word is looked at.
    count = 150
    left = torch.randperm(count)[None]
    ones = torch.ones_like(left)
    first = first_cover(torch.zeros_like(left), ones, left, ones, (1, count + 1))
    expected = torch.full((count + 1,), count)
    expected[left[0]] = torch.arange(count)
    assert torch.equal(first.flatten(), expected)


def slow_sweeps(grid, by_columns_only):
    rows, columns = range(grid[0]), range(grid[1])
    ways = []
    for down in (rows, rows[::-1]):
        for along in (columns, columns[::-1]):
            ways.append([(r, c) for c in along for r in down])
            if not by_columns_only:
                ways.append([(r, c) for r in down for c in along])
    return {tuple(way.index((r, c)) for r in rows for c in columns) for way in ways}


@pytest.mark.parametrize("by_columns_only", [True, False])
@pytest.mark.parametrize("grid", [(1, 4), (4, 1), (2, 3), (3, 3)])
def test_sweeps_start_in_all_corners(grid, by_columns_only):
    drawn = sweep_orders(torch.linspace(0, 0.999, 64), grid, by_columns_only=by_columns_only)
    assert {tuple(way.tolist()) for way in drawn} == slow_sweeps(grid, by_columns_only)


def test_sweeps_are_drawn_equally_often():
    drawn = sweep_orders(torch.rand(8000), (2, 3))
    _, counts = drawn.unique(dim=0, return_counts=True)
    assert len(counts) == 8
    assert counts.min() > 850


def test_removal_order_by_hand():
    first = torch.tensor([[[1, 0], [2, 0]]])
    sweep = torch.tensor([[3, 1, 2, 0]])
    assert removal_order(first, sweep).argsort().tolist() == [[3, 1, 0, 2]]


@settings(max_examples=60, deadline=None)
@given(size=st.integers(1, 64), data=st.data())
def test_starts_cover_the_axis(size, data):
    length = data.draw(st.integers(1, size))
    noise = torch.arange(4096) / 4096
    start = place(noise, torch.full((4096,), length), size)
    assert start.unique().tolist() == list(range(size - length + 1))


def test_noise_close_to_one_stays_inside():
    noise = torch.full((64,), 1 - 2**-24)
    for length in range(1, 33):
        assert (place(noise, torch.full((64,), length), 32) == 32 - length).all()


def test_enough_rectangles_are_sampled():
    for ratio in (0.1, 0.5, 0.75, 0.9):
        for share in (0.01, 0.1, 0.9):
            count = num_rectangles(ratio, share)
            covered = 1 - (1 - min(share, 0.5)) ** (count / 2)
            assert covered > ratio
