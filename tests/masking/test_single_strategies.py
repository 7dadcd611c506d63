"""Random patch, blockwise and span masks, against slow and obvious versions of themselves."""

import hypothesis.strategies as st
import pytest
import torch
from hypothesis import given, settings

from mms_ocr.masking import (
    BlockwiseMask,
    RandomPatchMask,
    SpanMask,
    blockwise,
    count_removed,
    remove_first,
    span,
)
from mms_ocr.masking.blockwise import block_sizes
from mms_ocr.masking.span import span_lengths
from mms_ocr.registry import TASK_UTILS

GRIDS = [(1, 2), (2, 1), (1, 32), (32, 1), (7, 3), (8, 32), (16, 16), (8, 64)]
RATIOS = [0.1, 0.5, 0.6, 0.75, 0.9]


def make(strategy, ratio, grid):
    if strategy is BlockwiseMask:
        return BlockwiseMask(ratio, grid, min_patches=min(16, grid[0] * grid[1]))
    return strategy(ratio, grid)


def seeded(seed=0):
    return torch.Generator().manual_seed(seed)


strategies = pytest.mark.parametrize("strategy", [RandomPatchMask, BlockwiseMask, SpanMask])
rectangular = pytest.mark.parametrize("strategy", [BlockwiseMask, SpanMask])


@strategies
@settings(max_examples=60, deadline=None)
@given(
    rows=st.integers(1, 17),
    columns=st.integers(1, 65),
    share=st.floats(0, 1),
    seed=st.integers(0, 99),
)
def test_every_row_removes_exactly_the_ratio(strategy, rows, columns, share, seed):
    length = rows * columns
    if length < 2:
        return
    removed = 1 + int(share * (length - 2))
    masks = make(strategy, removed / length, (rows, columns))(5, rng=seeded(seed))
    assert masks.shape == (5, length)
    assert masks.dtype == torch.bool
    assert masks.sum(dim=1).tolist() == [removed] * 5


@strategies
@pytest.mark.parametrize("grid", GRIDS)
@pytest.mark.parametrize("ratio", RATIOS)
def test_counts_on_the_usual_grids(strategy, grid, ratio):
    length = grid[0] * grid[1]
    expected = round(ratio * length)
    if not 0 < expected < length:
        with pytest.raises(ValueError, match="choose another ratio"):
            make(strategy, ratio, grid)
        return
    assert make(strategy, ratio, grid)(16).sum(dim=1).tolist() == [expected] * 16


def record_rectangles(monkeypatch, module):
    """Record the rectangles and sweeps that a generator samples."""
    seen = {}
    original_cover, original_sweep = module.first_cover, module.sweep_orders

    def first_cover(top, height, left, width, grid):
        seen["rectangles"] = torch.stack([top, height, left, width], dim=-1)
        return original_cover(top, height, left, width, grid)

    def sweep_orders(*args, **kwargs):
        seen["sweep"] = original_sweep(*args, **kwargs)
        return seen["sweep"]

    monkeypatch.setattr(module, "first_cover", first_cover)
    monkeypatch.setattr(module, "sweep_orders", sweep_orders)
    return seen


def slow_mask(rectangles, sweep, grid, count):
    """Remove whole rectangles in turn; of the last, patch by patch along the sweep.

    Also returns the part of the last rectangle that the sweep ran through.
    """
    removed, cut = set(), []
    whole_grid = (0, grid[0], 0, grid[1])
    for top, height, left, width in [*rectangles, whole_grid]:
        patches = [
            row * grid[1] + column
            for row in range(top, top + height)
            for column in range(left, left + width)
        ]
        cut = []
        for patch in sorted(patches, key=lambda patch: sweep[patch]):
            if len(removed) == count and patch not in removed:
                return removed, cut
            removed.add(patch)
            cut.append(patch)
        if len(removed) == count:
            return removed, cut
    raise AssertionError("the grid holds fewer patches than are to be removed")


def in_one_piece(patches, grid):
    left, todo = set(patches), [patches[0]]
    left.discard(patches[0])
    while todo:
        row, column = divmod(todo.pop(), grid[1])
        for r, c in ((row - 1, column), (row + 1, column), (row, column - 1), (row, column + 1)):
            inside = 0 <= r < grid[0] and 0 <= c < grid[1]
            if inside and r * grid[1] + c in left:
                left.discard(r * grid[1] + c)
                todo.append(r * grid[1] + c)
    return not left


@rectangular
@pytest.mark.parametrize("grid", [(1, 4), (1, 32), (32, 1), (7, 3), (8, 32), (16, 16), (8, 64)])
@pytest.mark.parametrize("ratio", [0.5, 0.75])
def test_masks_are_whole_rectangles_and_one_cut_in_one_piece(monkeypatch, strategy, grid, ratio):
    module = {BlockwiseMask: blockwise, SpanMask: span}[strategy]
    seen = record_rectangles(monkeypatch, module)
    generator = make(strategy, ratio, grid)
    masks = generator(12, rng=seeded())
    for mask, rectangles, sweep in zip(masks, seen["rectangles"], seen["sweep"]):
        removed, cut = slow_mask(rectangles.tolist(), sweep.tolist(), grid, generator.num_removed)
        assert set(mask.nonzero().flatten().tolist()) == removed
        assert in_one_piece(cut, grid)


@rectangular
@settings(max_examples=25, deadline=None)
@given(
    rows=st.integers(1, 9),
    columns=st.integers(1, 20),
    share=st.floats(0.05, 0.97),
    seed=st.integers(0, 99),
)
def test_masks_are_those_of_a_loop_on_any_grid(strategy, rows, columns, share, seed):
    grid, length = (rows, columns), rows * columns
    if not 0 < round(share * length) < length:
        return
    module = {BlockwiseMask: blockwise, SpanMask: span}[strategy]
    with pytest.MonkeyPatch.context() as patching:
        seen = record_rectangles(patching, module)
        generator = make(strategy, share, grid)
        masks = generator(3, rng=seeded(seed))
    for mask, rectangles, sweep in zip(masks, seen["rectangles"], seen["sweep"]):
        removed, _ = slow_mask(rectangles.tolist(), sweep.tolist(), grid, generator.num_removed)
        assert set(mask.nonzero().flatten().tolist()) == removed


def test_sweep_fills_the_grid_after_the_rectangles(monkeypatch):
    grid = (4, 8)
    generator = BlockwiseMask(31 / 32, grid, min_patches=1, max_patches=1)
    generator.num_blocks = 5
    seen = record_rectangles(monkeypatch, blockwise)
    masks = generator(8, rng=seeded())
    for mask, rectangles, sweep in zip(masks, seen["rectangles"], seen["sweep"]):
        removed, _ = slow_mask(rectangles.tolist(), sweep.tolist(), grid, 31)
        assert set(mask.nonzero().flatten().tolist()) == removed


@pytest.mark.parametrize("ratio", RATIOS)
def test_spans_are_columns_of_full_height_but_one(ratio):
    masks = SpanMask(ratio, (8, 32))(256, rng=seeded()).view(-1, 8, 32)
    per_column = masks.sum(dim=1)
    partly = ((per_column > 0) & (per_column < 8)).sum(dim=1)
    assert partly.max() <= 1
    assert (per_column == 8).sum(dim=1).tolist() == [round(ratio * 256) // 8] * 256


def test_span_lengths_follow_their_probabilities():
    drawn = span_lengths(torch.rand(20000), (1, 4, 9), (0.5, 0.0, 0.5))
    assert drawn.unique().tolist() == [1, 9]
    assert abs((drawn == 1).float().mean() - 0.5) < 0.02
    assert span_lengths(torch.tensor([0.0, 0.199, 0.2, 0.999]), (1, 2), (0.2, 0.8)).tolist() == [
        1,
        1,
        2,
        2,
    ]


def test_spans_longer_than_the_grid_count_as_the_grid():
    assert SpanMask(0.5, (2, 3), lengths=(2, 7), probabilities=(0.5, 0.5)).lengths == (2, 3)


@pytest.mark.parametrize("grid", GRIDS)
def test_block_sizes_stay_near_their_bounds(grid):
    length = grid[0] * grid[1]
    low, high = min(4, length), max(min(4, length), length // 4)
    noise = torch.rand(2, 4000)
    height, width = block_sizes(noise, grid, low, high, (0.3, 1 / 0.3))
    assert height.min() >= 1
    assert width.min() >= 1
    assert height.max() <= grid[0]
    assert width.max() <= grid[1]
    area = low + noise[0] * (high - low)
    # Sides are whole numbers: rounding changes them by at most half a column or row.
    slack = 0.5 * torch.maximum(height, width) + 1e-4
    assert ((height * width - area).abs() <= slack).all()


def test_block_sizes_by_hand():
    noise = torch.tensor([[0.0, 1.0, 0.5], [0.5, 0.5, 1.0]])
    height, width = block_sizes(noise, (8, 32), 16, 64, (0.25, 4.0))
    # 16 and 64 patches as squares; 40 patches four times as high as wide do not fit 8 rows.
    assert height.tolist() == [4, 8, 8]
    assert width.tolist() == [4, 8, 5]


@strategies
@pytest.mark.parametrize("grid", [(8, 32), (16, 16), (1, 32), (7, 3)])
def test_every_patch_is_reached(strategy, grid):
    """Edges and corners too: BEiT's published generator never masks the last row and column."""
    masks = make(strategy, 0.5, grid)(4000, rng=seeded()).float().mean(dim=0)
    assert masks.min() > 0.15
    assert masks.max() < 0.9


@rectangular
def test_blocks_and_spans_remove_whole_columns(strategy):
    """Random patches hardly ever remove a whole character."""

    def columns(kind):
        masks = make(kind, 0.75, (8, 32))(1000, rng=seeded()).view(-1, 8, 32)
        return masks.all(dim=1).float().sum(dim=1).mean()

    assert columns(RandomPatchMask) < 5
    assert columns(strategy) > 10
    reached = make(strategy, 0.75, (8, 32))(1000, rng=seeded()).view(-1, 8, 32).all(dim=1)
    assert reached.any(dim=0).all()


@strategies
def test_same_generator_state_gives_same_masks(strategy):
    generator = make(strategy, 0.6, (8, 32))
    rng = seeded(3)
    state = rng.get_state()
    first, second = generator(8, rng=rng), generator(8, rng=rng)
    rng.set_state(state)
    assert torch.equal(generator(8, rng=rng), first)
    assert torch.equal(generator(8, rng=rng), second)
    assert not torch.equal(first, second)
    assert not torch.equal(generator(8, rng=seeded(4)), first)


@strategies
def test_without_a_generator_torchs_default_one_is_drawn_from(strategy):
    generator = make(strategy, 0.6, (8, 32))
    torch.manual_seed(11)
    masks = generator(8)
    assert torch.equal(masks, generator(8, rng=seeded(11)))
    assert not torch.equal(masks, generator(8))


@strategies
def test_images_of_a_batch_differ(strategy):
    masks = make(strategy, 0.6, (8, 32))(64, rng=seeded())
    assert len(masks.unique(dim=0)) == 64


@strategies
def test_views_of_one_strategy(strategy):
    generator = make(strategy, 0.6, (8, 32))
    views = generator.views(4, rng=seeded())
    assert torch.equal(views.masks[0], generator(4, rng=seeded()))
    assert views.strategies[0].tolist() == [0, 0, 0, 0]
    assert views.names == views.guaranteed == (generator.name,)
    assert views.weights == (1.0,)
    assert views.num_removed == (round(0.6 * 256),)
    assert generator.each_strategy() == (generator,)


def test_remove_first_takes_the_smallest():
    priority = torch.tensor([[5, 1, 4, 2], [0, 3, 2, 1]])
    assert remove_first(priority, 2).tolist() == [
        [False, True, False, True],
        [True, False, False, True],
    ]


@strategies
def test_built_from_a_config(strategy):
    kind = f"mms_ocr.{strategy.__name__}"
    generator = TASK_UTILS.build(dict(type=kind, ratio=0.5, grid=[8, 32]))
    assert type(generator) is strategy
    assert generator.grid == (8, 32)
    assert "0.5" in repr(generator)


@strategies
@pytest.mark.parametrize("ratio", [0, 1, -0.5, 1.5, float("nan")])
def test_ratio_outside_of_its_range(strategy, ratio):
    with pytest.raises(ValueError, match="mask ratio must lie between 0 and 1"):
        strategy(ratio, (8, 32))


def test_ratios_that_remove_nothing_or_all():
    assert count_removed(0.5, 2) == 1
    with pytest.raises(ValueError, match="leaves no visible patch of 4"):
        count_removed(0.9, 4)
    with pytest.raises(ValueError, match="removes no patch of 4"):
        count_removed(0.1, 4)


@strategies
@pytest.mark.parametrize("grid", [(0, 32), (8,), (8, -1), (1, 2, 3)])
def test_impossible_grids(strategy, grid):
    with pytest.raises(ValueError, match="grid must be two positive numbers"):
        strategy(0.5, grid)


@pytest.mark.parametrize(
    ("settings_", "message"),
    [
        (dict(min_patches=0), "1 <= min_patches <= max_patches"),
        (dict(min_patches=9, max_patches=8), "1 <= min_patches <= max_patches"),
        (dict(min_patches=257), "more than the 256 patches"),
        (dict(aspect=(0, 1)), "aspect must be two positive numbers in order"),
        (dict(aspect=(2, 1)), "aspect must be two positive numbers in order"),
    ],
)
def test_impossible_blocks(settings_, message):
    with pytest.raises(ValueError, match=message):
        BlockwiseMask(0.5, (8, 32), **settings_)


@pytest.mark.parametrize(
    ("settings_", "message"),
    [
        (dict(lengths=(1, 2), probabilities=(1.0,)), "as many lengths as probabilities"),
        (dict(lengths=(), probabilities=()), "as many lengths as probabilities"),
        (dict(lengths=(0,), probabilities=(1.0,)), "at least 1 column"),
        (dict(lengths=(1, 2), probabilities=(0.5, 0.4)), "must sum to 1"),
        (dict(lengths=(1, 2), probabilities=(1.5, -0.5)), "must sum to 1"),
    ],
)
def test_impossible_spans(settings_, message):
    with pytest.raises(ValueError, match=message):
        SpanMask(0.5, (8, 32), **settings_)
