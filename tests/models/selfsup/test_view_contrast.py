"""The contrastive term against a double loop, in one process and in two."""

import math
import socket

import pytest
import torch
import torch.multiprocessing as mp
from mmengine import dist
from tiny_models import shake, tiny_mms

from mms_ocr.models import ViewContrast
from mms_ocr.models.selfsup import view_contrast
from mms_ocr.models.selfsup.view_contrast import view_contrast_loss


def slow_loss(vectors, images, temperature, anchors):
    """Mean over anchors and their positives of -log of the positive's share of the softmax."""
    total = 0.0
    for a in anchors:
        weights = {
            c: math.exp(float(vectors[a] @ vectors[c]) / temperature)
            for c in range(len(vectors))
            if c != a
        }
        positives = [c for c in weights if images[c] == images[a]]
        share = [math.log(weights[c] / sum(weights.values())) for c in positives]
        total -= sum(share) / len(share)
    return total / len(anchors)


def unit_vectors(count):
    return torch.nn.functional.normalize(torch.randn(count, 6), dim=1)


@pytest.mark.parametrize("temperature", [0.1, 1.0])
@pytest.mark.parametrize("views", [2, 3])
def test_loss_equals_a_double_loop(views, temperature):
    vectors, images = unit_vectors(5 * views), torch.arange(5).repeat(views)
    loss = view_contrast_loss(vectors, vectors, images, 0, temperature)
    expected = slow_loss(vectors, images.tolist(), temperature, range(5 * views))
    assert loss.item() == pytest.approx(expected, rel=1e-4)


def test_anchors_at_any_offset():
    vectors, images = unit_vectors(12), torch.tensor([0, 1, 0, 1, 2, 3, 4, 2, 3, 4, 5, 5])
    loss = view_contrast_loss(vectors[4:10], vectors, images, 4, 0.3)
    assert loss.item() == pytest.approx(slow_loss(vectors, images, 0.3, range(4, 10)), rel=1e-4)


def test_equal_views_of_different_images_lose_least():
    vectors, images = torch.eye(4).repeat(2, 1), torch.arange(4).repeat(2)
    assert view_contrast_loss(vectors, vectors, images, 0, 0.01) < 1e-6
    mixed_up = torch.arange(4).repeat_interleave(2)
    assert view_contrast_loss(vectors, vectors, mixed_up, 0, 0.01) > 10


def term(**settings):
    return shake(ViewContrast(embed_dim=6, dim=4, **settings))


def test_contrast_averages_patches_without_the_class_token():
    contrast = term(temperature=0.5, weight=0.25)
    views = [torch.randn(3, 1 + n, 6) for n in (4, 4, 7)]
    vectors = torch.cat([contrast.projector(view[:, 1:].mean(dim=1)) for view in views])
    vectors = torch.nn.functional.normalize(vectors, dim=1)
    expected = slow_loss(vectors, [0, 1, 2] * 3, 0.5, range(9))
    assert contrast(views).item() == pytest.approx(0.25 * expected, rel=1e-4)
    for view in views:
        view[:, 0] = 100.0
    assert contrast(views).item() == pytest.approx(0.25 * expected, rel=1e-4)


def test_gradients_reach_every_view():
    contrast = term()
    views = [torch.randn(3, 5, 6, requires_grad=True) for _ in range(3)]
    contrast(views).backward()
    for view in views:
        assert view.grad[:, 0].abs().sum() == 0
        assert torch.isfinite(view.grad).all()
        assert (view.grad[:, 1:].abs().sum(dim=(1, 2)) > 0).all()


def test_similarities_are_computed_in_float32():
    contrast = term(temperature=0.05, weight=1.0)
    views = [torch.randn(8, 5, 6) for _ in range(2)]
    with torch.autocast("cpu", dtype=torch.bfloat16):
        loss = contrast(views)
        vectors = [contrast.projector(view[:, 1:].mean(dim=1)).float() for view in views]
    vectors = torch.nn.functional.normalize(torch.cat(vectors), dim=1)
    expected = slow_loss(vectors, list(range(8)) * 2, 0.05, range(16))
    assert loss.item() == pytest.approx(expected, rel=1e-5)


def test_one_view_is_an_error():
    with pytest.raises(ValueError, match="MultiMask with mode='joint'"):
        term()([torch.randn(2, 5, 6)])


@pytest.mark.parametrize("settings", [dict(temperature=0), dict(weight=-1)])
def test_impossible_settings(settings):
    with pytest.raises(ValueError, match="temperature and weight must be positive"):
        term(**settings)


def test_config_turns_the_contrastive_term_on():
    model = tiny_mms(mode="joint", contrast=dict(type="mms_ocr.ViewContrast"))
    data = model.data_preprocessor({"inputs": torch.randint(0, 256, (3, 3, 16, 32))}, True)
    losses = model(**data, mode="loss")
    total, _ = model.parse_losses(losses)
    assert torch.allclose(total, losses["loss_pixel"] + losses["loss_contrast"])
    views = [
        model.backbone(data["inputs"], mask, num_removed=24)[0] for mask in data["masks"].masks
    ]
    assert torch.allclose(losses["loss_contrast"], model.contrast(views), atol=1e-6)
    total.backward()
    assert all(p.grad is not None for p in model.contrast.parameters())


OWN_RATIOS = [
    dict(type="mms_ocr.RandomPatchMask", ratio=0.75),
    dict(type="mms_ocr.SpanMask", ratio=0.5),
]


@pytest.mark.parametrize("masks", [{}, dict(strategies=OWN_RATIOS)])
def test_single_view_raises(masks):
    model = tiny_mms(mode="mixed", contrast=dict(type="mms_ocr.ViewContrast"), **masks)
    data = model.data_preprocessor({"inputs": torch.randint(0, 256, (3, 3, 16, 32))}, True)
    with pytest.raises(ValueError, match="MultiMask with mode='joint'"):
        model(**data, mode="loss")


def test_ranks_see_the_candidates_of_all(monkeypatch):
    contrast = term()
    views = [torch.randn(6, 5, 6) for _ in range(3)]
    whole = contrast(views)
    parts = [[view.chunk(2)[rank] for view in views] for rank in range(2)]
    gathered = [
        torch.nn.functional.normalize(
            torch.cat([contrast.projector(view[:, 1:].mean(dim=1)) for view in part]), dim=1
        )
        for part in parts
    ]
    monkeypatch.setattr(dist, "get_world_size", lambda: 2)
    monkeypatch.setattr(view_contrast.distributed, "all_gather", lambda anchors: gathered)
    losses = []
    for rank in range(2):
        monkeypatch.setattr(dist, "get_rank", lambda rank=rank: rank)
        losses.append(contrast(parts[rank]))
    assert torch.allclose(sum(losses) / 2, whole, atol=1e-6)


def run_rank(rank, world_size, port, views, weights, results):
    torch.set_num_threads(1)
    torch.distributed.init_process_group(
        "gloo", init_method=f"tcp://127.0.0.1:{port}", rank=rank, world_size=world_size
    )
    contrast = ViewContrast(embed_dim=6, dim=4)
    contrast.load_state_dict(weights)
    part = [view.chunk(world_size)[rank] for view in views]
    loss = contrast(part)
    loss.backward()
    gradient = contrast.projector[0].weight.grad
    for value in (loss, gradient):
        torch.distributed.all_reduce(value.detach())
    if rank == 0:
        torch.save((loss.detach() / world_size, gradient / world_size), results)
    torch.distributed.destroy_process_group()


@pytest.mark.slow
def test_two_processes_use_the_global_batch(tmp_path):
    contrast = term()
    views = [torch.randn(6, 5, 6) for _ in range(3)]
    with socket.socket() as free:
        free.bind(("127.0.0.1", 0))
        port = free.getsockname()[1]
    results = tmp_path / "results.pt"
    mp.spawn(run_rank, (2, port, views, contrast.state_dict(), results), nprocs=2)
    loss, gradient = torch.load(results)
    whole = contrast(views)
    whole.backward()
    assert torch.allclose(loss, whole, atol=1e-6)
    # A distributed run steps with the mean of the gradients of its processes.
    assert torch.allclose(gradient, contrast.projector[0].weight.grad, atol=1e-6)
