"""Normalized images, and masks that depend on seed, rank and iteration, or on the image."""

import copy
import pickle

import pytest
import torch
from mmengine import dist
from mmengine.logging import MessageHub
from mmengine.structures import BaseDataElement

from mms_ocr.masking import MultiMask, RandomPatchMask, SpanMask
from mms_ocr.models import MaskedTextDataPreprocessor

GRID = (4, 8)


def preprocessor(**settings):
    generator = MultiMask([RandomPatchMask(0.5, GRID), SpanMask(0.5, GRID)], mode="joint")
    return MaskedTextDataPreprocessor(**(dict(mask_generator=generator, seed=3) | settings))


def batch(size=2):
    return {"inputs": torch.randint(0, 256, (size, 3, 16, 32), dtype=torch.uint8)}


@pytest.mark.parametrize("swap", [True, False])
def test_normalization(swap):
    mean, std = (10.0, 20.0, 30.0), (2.0, 4.0, 8.0)
    data = batch()
    outputs = preprocessor(mean=mean, std=std, bgr_to_rgb=swap)(data)["inputs"]
    assert outputs.dtype == torch.float32
    for channel in range(3):
        given = data["inputs"][:, 2 - channel if swap else channel].float()
        assert torch.allclose(outputs[:, channel], (given - mean[channel]) / std[channel])


def test_lists_and_tensors_are_the_same():
    data = batch(3)
    samples = [BaseDataElement() for _ in range(3)]
    prepared = preprocessor()
    whole = prepared(data | {"data_samples": samples})
    listed = prepared({"inputs": list(data["inputs"])})
    assert torch.equal(whole["inputs"], listed["inputs"])
    assert whole["data_samples"] is samples
    assert listed["data_samples"] is None


def test_images_of_different_sizes():
    images = [torch.zeros(3, 16, 32, dtype=torch.uint8), torch.zeros(3, 16, 40, dtype=torch.uint8)]
    with pytest.raises(ValueError, match="ResizeWordImage") as caught:
        preprocessor()({"inputs": images})
    assert "(3, 16, 40)" in str(caught.value)
    assert "\n" not in str(caught.value)


@pytest.mark.parametrize("swap", [True, False])
def test_denormalizing_gives_the_pixels_as_rgb(swap):
    prepared = preprocessor(mean=(10, 120, 200), std=(33, 55, 77), bgr_to_rgb=swap)
    data = batch()
    # Without the swap the model is fed BGR.
    assert torch.equal(prepared.denormalize(prepared(data)["inputs"]), data["inputs"].flip(1))
    extreme = torch.tensor([-1e4, 1e4, 0.0]).view(1, 3, 1, 1)
    assert prepared.denormalize(extreme).unique().tolist()[0] == 0


@pytest.fixture
def at(monkeypatch):
    """Training masks of a fresh preprocessor at an iteration and a rank."""

    def draw(iteration=None, rank=0, calls=1, seed=3, **settings):
        if iteration is not None:
            MessageHub.get_current_instance().update_info("iter", iteration)
        monkeypatch.setattr(dist, "get_rank", lambda: rank)
        prepared = preprocessor(seed=seed, **settings)
        for _ in range(calls):
            views = prepared(batch(), training=True)["masks"]
        return torch.stack(views.masks)

    return draw


def test_training_masks_are_those_of_their_iteration(at):
    first = at(7)
    assert torch.equal(at(7), first)
    for other in (at(8), at(7, rank=1), at(7, calls=2), at(7, seed=4), at(2**31 + 7)):
        assert not torch.equal(other, first)
    assert torch.equal(at(8, rank=1), at(8, rank=1))
    assert torch.equal(at(7, calls=2), at(7, calls=2))


def test_a_resumed_run_draws_the_masks_it_would_have_drawn():
    hub, running = MessageHub.get_current_instance(), preprocessor()
    drawn = []
    for iteration in range(5):
        hub.update_info("iter", iteration)
        drawn.append(running(batch(), training=True)["masks"].masks[0])
    resumed = preprocessor()
    hub.update_info("iter", 4)
    assert torch.equal(resumed(batch(), training=True)["masks"].masks[0], drawn[4])


def test_without_a_runner_every_call_draws_other_masks(at):
    assert torch.equal(at(calls=3), at(calls=3))
    assert not torch.equal(at(calls=3), at(calls=2))


def test_evaluation_in_between_changes_no_training_mask():
    first, second = preprocessor(), preprocessor()
    second(batch())
    expected = first(batch(), training=True)["masks"].masks[0]
    assert torch.equal(second(batch(), training=True)["masks"].masks[0], expected)


def test_seed_of_the_run_is_the_default(at):
    torch.manual_seed(21)
    first = at(7, seed=None)
    torch.rand(5)
    assert torch.equal(at(7, seed=None), first)
    assert torch.equal(at(7, seed=21), first)
    torch.manual_seed(22)
    assert not torch.equal(at(7, seed=None), first)


def evaluate(indices, prepared=None):
    samples = [BaseDataElement(metainfo=dict(sample_idx=index)) for index in indices]
    prepared = prepared or preprocessor()
    views = prepared(batch(len(indices)) | {"data_samples": samples})["masks"]
    return dict(zip(indices, torch.stack(views.masks, dim=1)))


def test_evaluation_masks_depend_on_the_image_only():
    indices = [0, 5, 255, 256, 300, 70_000]
    expected = evaluate(indices)
    shared = preprocessor()
    for order in (indices[::-1], [300], [5, 70_000], indices):
        for index, masks in evaluate(order, shared).items():
            assert torch.equal(masks, expected[index])
    assert len({tuple(masks.flatten().tolist()) for masks in expected.values()}) == 6


def test_evaluation_masks_do_not_change_in_training():
    prepared = preprocessor()
    first = evaluate([1, 2], prepared)
    MessageHub.get_current_instance().update_info("iter", 99)
    prepared(batch(), training=True)
    for index, masks in evaluate([1, 2], prepared).items():
        assert torch.equal(masks, first[index])


def test_blocks_of_many_images_do_not_pile_up():
    prepared = preprocessor()
    first = evaluate([0], prepared)
    for block in range(90):
        evaluate([256 * block], prepared)
    assert len(prepared._evaluation_blocks) <= 66
    assert torch.equal(evaluate([0], prepared)[0], first[0])


def test_evaluation_has_one_view_per_strategy_even_in_mixed_mode():
    mixed = MultiMask(
        [RandomPatchMask(0.5, GRID), SpanMask(0.5, GRID)], mode="mixed", weights=[1, 0]
    )
    views = preprocessor(mask_generator=mixed)(batch(3))["masks"]
    assert views.names == ("random_patch", "span")
    assert [strategy.tolist() for strategy in views.strategies] == [[0] * 3, [1] * 3]
    assert views.weights == (0.5, 0.5)
    assert [mask.sum(dim=1).tolist() for mask in views.masks] == [[16] * 3, [16] * 3]
    columns = views.masks[1].view(3, *GRID).all(dim=1).sum(dim=1)
    assert columns.tolist() == [4] * 3


def test_a_single_strategy():
    views = preprocessor(mask_generator=SpanMask(0.5, GRID))(batch(3))["masks"]
    assert views.names == ("span",)
    assert len(views.masks) == 1


@pytest.mark.parametrize("clone", [copy.deepcopy, lambda m: pickle.loads(pickle.dumps(m))])
def test_copies_draw_the_same_masks(clone):
    prepared = preprocessor()
    prepared(batch(), training=True)
    prepared(batch())
    other = clone(prepared)
    expected = prepared(batch(), training=True)["masks"].masks[0]
    assert torch.equal(other(batch(), training=True)["masks"].masks[0], expected)
    assert torch.equal(evaluate([5], other)[5], evaluate([5])[5])
