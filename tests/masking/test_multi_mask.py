"""Several strategies at once: shares, masks and errors."""

import math

import hypothesis.strategies as st
import pytest
import torch
from hypothesis import given, settings

from mms_ocr.masking import BlockwiseMask, MultiMask, RandomPatchMask, SpanMask, remove_first
from mms_ocr.masking.base import host_uniform, uniform
from mms_ocr.masking.multi import assign_strategies
from mms_ocr.registry import TASK_UTILS

GRID = (8, 32)


def three(**changes):
    kinds = ("RandomPatchMask", "BlockwiseMask", "SpanMask")
    defaults = dict(
        strategies=[dict(type=f"mms_ocr.{kind}") for kind in kinds], ratio=0.75, grid=GRID
    )
    return MultiMask(**(defaults | changes))


def seeded(seed=0):
    return torch.Generator().manual_seed(seed)


NEXT_TO_ONE = 1 - 2**-24  # the largest number that torch.rand gives


@settings(max_examples=200, deadline=None)
@given(
    batch_size=st.integers(1, 300),
    weights=st.lists(st.integers(0, 9), min_size=1, max_size=5).filter(any),
    offset=st.one_of(st.floats(0, 0.999), st.just(NEXT_TO_ONE)),
)
def test_every_batch_holds_the_share_of_a_strategy(batch_size, weights, offset):
    weights = [weight / sum(weights) for weight in weights]
    noise = torch.rand(batch_size + 1)
    noise[-1] = offset
    counts = assign_strategies(noise, weights).bincount(minlength=len(weights)).tolist()
    for count, weight in zip(counts, weights):
        assert math.floor(weight * batch_size + 1e-4) >= count - 1
        assert (
            math.floor(weight * batch_size - 1e-4) <= count <= math.ceil(weight * batch_size + 1e-4)
        )
        assert count == 0 or weight > 0


def test_every_image_gets_a_strategy_by_its_weight():
    weights = (0.5, 0.3, 0.2)
    draws = torch.stack([assign_strategies(torch.rand(8), weights) for _ in range(6000)])
    for index, weight in enumerate(weights):
        share = (draws == index).float().mean(dim=0)
        deviation = math.sqrt(weight * (1 - weight) / len(draws))
        assert (share - weight).abs().max() < 4.5 * deviation


def test_mixed_masks_are_those_of_the_assigned_strategies():
    generator = three(weights=[1, 2, 1])
    views = generator.views(16, rng=seeded())
    rng = seeded()
    assigned = assign_strategies(uniform((17,), "cpu", rng), (0.25, 0.5, 0.25))
    each = [strategy(16, rng=rng) for strategy in generator.strategies]
    assert torch.equal(views.strategies[0], assigned)
    for image, index in enumerate(assigned.tolist()):
        assert torch.equal(views.masks[0][image], each[index][image])
    assert torch.equal(generator(16, rng=seeded()), views.masks[0])
    assert torch.equal(remove_first(generator.priority(16, "cpu", seeded()), 192), views.masks[0])


def test_mixed_rows_look_like_their_strategies():
    views = three().views(300, rng=seeded())
    masks, strategies = views.masks[0].view(-1, *GRID), views.strategies[0]
    assert strategies.bincount().tolist() == [100, 100, 100]
    assert (masks.flatten(1).sum(dim=1) == 192).all()
    whole = masks.all(dim=1).sum(dim=1).float()
    partly = masks.any(dim=1).sum(dim=1) - whole
    assert (partly[strategies == 2] <= 1).all()
    assert (whole[strategies == 2] == 24).all()
    assert whole[strategies == 1].mean() > whole[strategies == 0].mean() + 4


def test_metadata_of_mixed_views():
    views = three(weights=[8, 1, 1]).views(5, rng=seeded())
    assert views.names == ("random_patch", "blockwise", "span")
    assert views.weights == (1.0,)
    assert views.num_removed == (192,)
    # Half an image of a batch of five: not in every batch.
    assert views.guaranteed == ("random_patch",)
    assert three(weights=[8, 1, 1]).views(10).guaranteed == views.names


def test_joint_gives_every_image_one_view_of_each():
    generator = three(mode="joint", weights=[2, 1, 1])
    views = generator.views(6, rng=seeded())
    rng = seeded()
    expected = [strategy(6, rng=rng) for strategy in generator.strategies]
    assert len(views.masks) == 3
    for index, mask in enumerate(views.masks):
        assert torch.equal(mask, expected[index])
        assert views.strategies[index].tolist() == [index] * 6
    assert views.weights == (0.5, 0.25, 0.25)
    assert views.guaranteed == views.names
    assert torch.equal(generator(6, rng=seeded()), torch.stack(expected))


def test_joint_takes_different_ratios():
    strategies = [RandomPatchMask(0.75, GRID), SpanMask(0.5, GRID)]
    views = MultiMask(strategies, mode="joint").views(3)
    assert views.num_removed == (192, 128)
    assert [mask.sum(dim=1).tolist() for mask in views.masks] == [[192] * 3, [128] * 3]
    assert views.images is None


OWN_RATIOS = [RandomPatchMask(0.75, GRID), BlockwiseMask(0.5, GRID), SpanMask(0.5, GRID)]


@settings(max_examples=60, deadline=None)
@given(
    batch_size=st.integers(1, 40),
    weights=st.tuples(st.integers(1, 9), st.integers(0, 9), st.integers(1, 9)),
    seed=st.integers(0, 2**32),
)
def test_mixed_masks_of_own_ratios_are_those_of_each_strategy(batch_size, weights, seed):
    generator = MultiMask(OWN_RATIOS, weights)
    views = generator.views(batch_size, rng=seeded(seed))
    rng = seeded(seed)
    assigned = assign_strategies(torch.rand(batch_size + 1, generator=rng), generator.weights)
    expected = torch.zeros(batch_size, 256, dtype=torch.bool)
    for index, strategy in enumerate(OWN_RATIOS):
        rows = [row for row, chosen in enumerate(assigned.tolist()) if chosen == index]
        if rows:
            expected[rows] = strategy(len(rows), rng=rng)
    assert torch.equal(generator(batch_size, rng=seeded(seed)), expected)
    assert sorted(torch.cat(views.images).tolist()) == list(range(batch_size))
    assert sum(views.weights) == pytest.approx(1)
    for view, (mask, places) in enumerate(zip(views.masks, views.images)):
        assert torch.equal(mask, expected[places])
        assert (mask.sum(dim=1) == views.num_removed[view]).all()
        assert torch.equal(views.strategies[view], assigned[places])
        assert torch.equal(views.select(view, assigned), assigned[places])
        assert views.weights[view] == len(places) / batch_size
    drawn = {name for name, index in zip(views.names, range(3)) if (assigned == index).any()}
    assert set(views.guaranteed) <= drawn


def test_strategies_of_one_ratio_share_a_view():
    views = MultiMask(OWN_RATIOS).views(9, rng=seeded())
    assert views.num_removed == (192, 128)
    assert [len(mask) for mask in views.masks] == [3, 6]
    assert views.strategies[1].tolist() == [1] * 3 + [2] * 3
    assert views.guaranteed == views.names


@pytest.mark.parametrize("used", [0, 1, 2])
def test_ratios_of_unused_strategies_do_not_matter(used):
    weights = [int(index == used) for index in range(3)]
    ratio = OWN_RATIOS[used].ratio
    views = MultiMask(OWN_RATIOS, weights).views(9, rng=seeded())
    expected = three(weights=weights, ratio=ratio).views(9, rng=seeded())
    assert torch.equal(views.masks[0], expected.masks[0])
    assert views.num_removed == expected.num_removed == (round(256 * ratio),)
    assert views.images is None


def test_a_list_has_a_ratio_for_each_strategy():
    generator = three(ratio=[0.75, 0.5, 0.6])
    assert [strategy.ratio for strategy in generator.strategies] == [0.75, 0.5, 0.6]
    own = dict(type="mms_ocr.SpanMask", ratio=0.25)
    assert MultiMask([own], ratio=(0.5,), grid=GRID).strategies[0].ratio == 0.25


def test_cpu_noise_depends_on_the_device_generator():
    class Elsewhere:
        device = torch.device("cuda")

        def __init__(self, seed):
            self.get_state = seeded(seed).get_state

    first, again, other = (host_uniform(9, Elsewhere(seed)) for seed in (1, 1, 2))
    assert torch.equal(first, again)
    assert not torch.equal(first, other)
    assert torch.equal(host_uniform(9, seeded(4)), torch.rand(9, generator=seeded(4)))


def test_weights_are_normalized_and_may_be_zero():
    assert three().weights == pytest.approx((1 / 3, 1 / 3, 1 / 3))
    assert three(weights=[1, 3, 0]).weights == (0.25, 0.75, 0)
    only_spans = three(weights=[0, 0, 1]).views(64)
    assert only_spans.strategies[0].tolist() == [2] * 64
    assert only_spans.guaranteed == ("span",)


def test_strategies_of_one_kind_have_different_names():
    strategies = [SpanMask(0.5, GRID), RandomPatchMask(0.5, GRID), SpanMask(0.5, GRID, [9], [1.0])]
    assert MultiMask(strategies).names == ("span_1", "random_patch", "span_2")


def test_own_settings_of_a_strategy_come_first():
    generator = MultiMask(
        [dict(type="mms_ocr.SpanMask", ratio=0.25), dict(type="mms_ocr.BlockwiseMask")],
        mode="joint",
        ratio=0.5,
        grid=[8, 32],
    )
    assert [strategy.ratio for strategy in generator.each_strategy()] == [0.25, 0.5]


def test_configs_are_not_changed():
    config = dict(type="mms_ocr.SpanMask")
    MultiMask([config], ratio=0.5, grid=GRID)
    assert config == dict(type="mms_ocr.SpanMask")


def test_built_from_a_config():
    generator = TASK_UTILS.build(
        dict(
            type="mms_ocr.MultiMask",
            strategies=[dict(type="mms_ocr.SpanMask"), dict(type="mms_ocr.BlockwiseMask")],
            mode="joint",
            ratio=0.5,
            grid=[4, 16],
        )
    )
    assert [type(strategy) for strategy in generator.strategies] == [SpanMask, BlockwiseMask]
    assert "joint" in repr(generator)
    assert generator.grid == (4, 16)


@pytest.mark.parametrize("mode", ["mixed", "joint"])
def test_deterministic(mode):
    generator = three(mode=mode)
    assert torch.equal(generator(8, rng=seeded(1)), generator(8, rng=seeded(1)))
    assert not torch.equal(generator(8, rng=seeded(1)), generator(8, rng=seeded(2)))


@pytest.mark.parametrize(
    ("changes", "message"),
    [
        (dict(mode="both"), "mode must be 'mixed' or 'joint', got 'both'"),
        (dict(strategies=[]), "at least one strategy"),
        (dict(strategies=[dict(type="mms_ocr.StripeMask")]), "unknown masking strategy"),
        (dict(strategies=[dict(lengths=[1])]), "unknown masking strategy None"),
        (dict(ratio=None), "has no ratio, nor has MultiMask"),
        (dict(ratio=None, grid=None), "has no ratio and no grid, nor has MultiMask"),
        (dict(ratio=1.0), "mask ratio must lie between 0 and 1"),
        (dict(ratio=0.999), "leaves no visible patch"),
        (dict(ratio=[0.75, 0.6]), r"3 strategies need 3 ratios or one, got \[0.75, 0.6\]"),
        (dict(ratio=[0.75, 0.6, None]), "has no ratio, nor has MultiMask"),
        (dict(weights=[1, 1]), "3 strategies need 3 weights"),
        (dict(weights=[1, 1, -1]), "must not be negative nor all zero"),
        (dict(weights=[0, 0, 0]), "must not be negative nor all zero"),
        (
            dict(strategies=[RandomPatchMask(0.5, (8, 32)), SpanMask(0.5, (16, 16))]),
            "need the same grid",
        ),
        (dict(strategies=[three()]), "holds single strategies"),
    ],
)
def test_impossible_settings(changes, message):
    with pytest.raises(ValueError, match=message) as caught:
        three(**changes)
    assert "\n" not in str(caught.value)
