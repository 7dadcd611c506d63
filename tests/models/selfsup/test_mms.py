"""MMS against MMPretrain's MAE, and against hand-made sums of its views."""

import copy

import pytest
import torch
from mmengine.structures import BaseDataElement
from mmpretrain.models.selfsup.mae import MAE
from tiny_models import ARCH, CROSS, SELF, mms_config, one_view, random_mask, tiny_mms

from mms_ocr.compat.running import recompute
from mms_ocr.engine import Bf16OptimWrapper
from mms_ocr.masking import MaskViews
from mms_ocr.masking.multi import assign_strategies
from mms_ocr.models.backbones.patches import normalize_patches, patchify
from mms_ocr.models.selfsup.data_preprocessor import mixed_seed
from mms_ocr.registry import MODELS


def mae_with(model, mask):
    """MMPretrain's MAE with the weights of an MMS model, under a given mask."""
    decoder = dict(SELF, type="mmpretrain.MAEPretrainDecoder", num_patches=64, patch_size=4)
    mae = MAE(
        backbone=dict(type="mmpretrain.MAEViT", arch=ARCH, img_size=32, patch_size=4),
        neck=dict(decoder, embed_dim=ARCH["embed_dims"]),
        head=dict(
            type="mmpretrain.MAEPretrainHead",
            norm_pix=True,
            patch_size=4,
            loss=dict(type="mmpretrain.PixelReconstructionLoss", criterion="L2"),
        ),
    )
    mae.load_state_dict(model.state_dict())

    def given_masking(tokens, mask_ratio):
        order = mask.int().argsort(dim=1, stable=True)
        kept = order[:, : int((~mask[0]).sum()), None].expand(-1, -1, tokens.shape[-1])
        return tokens.gather(1, kept), mask.float(), order.argsort(dim=1)

    mae.backbone.random_masking = given_masking
    return mae


def test_loss_and_gradients_are_those_of_mae():
    model = tiny_mms(img_size=(32, 32), neck=SELF)
    images, mask = torch.randn(3, 3, 32, 32), random_mask(3, 64, 48)
    mae = mae_with(model, mask)
    ours = model(images, mode="loss", masks=one_view(mask))
    theirs = mae(images, mode="loss")
    assert torch.allclose(ours["loss_pixel"], theirs["loss"], atol=1e-5)
    assert torch.equal(ours["error_given"], ours["loss_pixel"].detach())
    ours["loss_pixel"].backward()
    theirs["loss"].backward()
    expected = {name: parameter.grad for name, parameter in mae.named_parameters()}
    for name, parameter in model.named_parameters():
        if parameter.requires_grad:
            assert torch.allclose(parameter.grad, expected[name], atol=1e-5), name


def join(views):
    """Views of one strategy each as one joint batch, with given weights."""
    return MaskViews(
        masks=tuple(mask for mask, _ in views),
        strategies=tuple(torch.full((len(mask),), i) for i, (mask, _) in enumerate(views)),
        names=tuple(f"s{i}" for i in range(len(views))),
        weights=tuple(weight for _, weight in views),
        num_removed=tuple(int(mask[0].sum()) for mask, _ in views),
        guaranteed=tuple(f"s{i}" for i in range(len(views))),
    )


@pytest.mark.parametrize("neck", [CROSS, SELF])
@pytest.mark.parametrize("counts", [(24, 24, 24), (24, 10, 24), (8, 16, 24)])
def test_joint_loss_is_the_weighted_mean_of_its_views(neck, counts):
    model = tiny_mms(neck=neck)
    images = torch.randn(2, 3, 16, 32)
    weights = (0.5, 0.3, 0.2)
    masks = [random_mask(2, 32, count) for count in counts]
    losses = model.loss(images, None, join(list(zip(masks, weights))))
    singles = [model.loss(images, None, one_view(mask))["loss_pixel"] for mask in masks]
    expected = sum(weight * single for weight, single in zip(weights, singles))
    assert torch.allclose(losses["loss_pixel"], expected, atol=1e-5)
    for i, single in enumerate(singles):
        assert torch.allclose(losses[f"error_s{i}"], single, atol=1e-5)
        assert not losses[f"error_s{i}"].requires_grad


def test_views_with_equal_counts_share_a_forward_pass():
    model = tiny_mms()
    seen = []
    model.backbone.register_forward_hook(lambda module, args, out: seen.append(len(args[0])))
    masks = [(random_mask(2, 32, count), 1 / 3) for count in (24, 10, 24)]
    model.loss(torch.randn(2, 3, 16, 32), None, join(masks))
    assert seen == [4, 2]


def slow_step(model, images, masks, assigned):
    """Loss, log and gradients of a mixed batch whose rows all remove as much: one plain pass."""
    tokens, visible, removed = model.backbone(images, masks)
    share = model.neck.predict_share
    if share < 1:
        noise = torch.rand(removed.shape)
        removed = removed.gather(1, noise.topk(round(share * removed.shape[1]), dim=1).indices)
    pred = model.neck(tokens, visible, removed)
    targets = normalize_patches(patchify(images, 4))[0]
    targets = targets.gather(1, removed[..., None].expand(-1, -1, 48))
    errors = (pred - targets).square().flatten(1).mean(dim=1)
    loss = errors.mean()
    loss.backward()
    grads = {name: p.grad for name, p in model.named_parameters() if p.grad is not None}
    log = {f"error_{name}": errors[assigned == i].mean() for i, name in enumerate(NAMES)}
    return loss, log, grads


NAMES = ("random_patch", "blockwise", "span")


def test_a_mixed_step_of_one_ratio_is_bit_for_bit_one_plain_pass():
    model = tiny_mms(neck=dict(CROSS, predict_share=0.5))
    images = torch.randint(0, 256, (12, 3, 16, 32), dtype=torch.uint8)
    data = model.data_preprocessor({"inputs": images}, True)
    generator = model.data_preprocessor.mask_generator
    seed = torch.initial_seed()
    rng = torch.Generator().manual_seed(mixed_seed(seed, seed >> 32, 0, 0, 0))
    assigned = assign_strategies(torch.rand(13, generator=rng), generator.weights)
    each = [strategy(12, "cpu", rng) for strategy in generator.strategies]
    masks = torch.stack([each[index][row] for row, index in enumerate(assigned.tolist())])
    assert torch.equal(data["masks"].masks[0], masks)
    torch.manual_seed(3)
    losses = model(**data, mode="loss")
    losses["loss_pixel"].backward()
    grads = {name: p.grad.clone() for name, p in model.named_parameters() if p.grad is not None}
    model.zero_grad()
    torch.manual_seed(3)
    loss, log, expected = slow_step(model, data["inputs"], masks, assigned)
    assert torch.equal(losses["loss_pixel"], loss)
    assert grads.keys() == expected.keys()
    assert all(torch.equal(grads[name], expected[name]) for name in grads)
    for name, value in log.items():
        assert torch.allclose(losses[name], value, atol=1e-6)


OWN_RATIOS = [
    dict(type="mms_ocr.RandomPatchMask", ratio=0.75),
    dict(type="mms_ocr.BlockwiseMask", ratio=0.5),
    dict(type="mms_ocr.SpanMask", ratio=0.25),
]


@pytest.mark.parametrize("neck", [CROSS, SELF])
def test_ratios_per_strategy_run_in_groups_averaged_by_images(neck):
    model = tiny_mms(neck=neck, strategies=OWN_RATIOS, weights=[3, 2, 1])
    data = model.data_preprocessor({"inputs": torch.randint(0, 256, (12, 3, 16, 32))}, True)
    views = data["masks"]
    assert [len(mask) for mask in views.masks] == [6, 4, 2]
    losses = model(**data, mode="loss")
    losses["loss_pixel"].backward()
    grads = {name: p.grad.clone() for name, p in model.named_parameters() if p.grad is not None}
    model.zero_grad()
    total = 0
    for mask, places, name in zip(views.masks, views.images, NAMES):
        for row, place in zip(mask, places.tolist()):
            image = data["inputs"][place : place + 1]
            total = total + model.loss(image, None, one_view(row[None]))["loss_pixel"]
        alone = model.loss(data["inputs"][places], None, one_view(mask))["loss_pixel"]
        assert torch.allclose(losses[f"error_{name}"], alone, atol=1e-5)
    total = total / 12
    total.backward()
    assert torch.allclose(losses["loss_pixel"], total, atol=1e-5)
    for name, parameter in model.named_parameters():
        if name in grads:
            assert torch.allclose(grads[name], parameter.grad, atol=1e-5), name


def test_groups_work_with_recomputed_and_compiled_layers():
    model = tiny_mms(strategies=OWN_RATIOS)
    data = model.data_preprocessor({"inputs": torch.randint(0, 256, (7, 3, 16, 32))}, True)
    other = copy.deepcopy(model)
    recompute(other, ["backbone.layers.0", "backbone.layers.1"])
    for layer in other.backbone.layers:
        layer.compile(backend="eager")
    for each in (model, other):
        each(**data, mode="loss")["loss_pixel"].backward()
    for (name, expected), parameter in zip(model.named_parameters(), other.parameters()):
        if expected.grad is not None:
            torch.testing.assert_close(parameter.grad, expected.grad, msg=name)


def test_predictions_of_groups_go_to_their_images():
    model = tiny_mms(strategies=OWN_RATIOS).eval()
    data = model.data_preprocessor({"inputs": torch.randint(0, 256, (9, 3, 16, 32))}, True)
    views = data["masks"]
    samples = model.predict(data["inputs"], None, views)
    for mask, places, name in zip(views.masks, views.images, NAMES):
        for row, place in zip(mask, places.tolist()):
            image = data["inputs"][place : place + 1]
            expected = model.loss(image, None, one_view(row[None]))["loss_pixel"].item()
            assert samples[place].masked_error == {name: pytest.approx(expected, abs=1e-5)}


def test_mixed_errors_average_to_the_loss_by_counts():
    model = tiny_mms(weights=[3, 2, 1])
    data = model.data_preprocessor({"inputs": torch.randint(0, 256, (12, 3, 16, 32))}, True)
    losses = model(**data, mode="loss")
    counts = data["masks"].strategies[0].bincount(minlength=3).tolist()
    assert counts == [6, 4, 2]
    total = sum(
        count * losses[f"error_{name}"]
        for count, name in zip(counts, ("random_patch", "blockwise", "span"))
    )
    assert torch.allclose(losses["loss_pixel"], total / 12, atol=1e-5)


def test_only_strategies_sure_to_be_in_a_batch_are_logged():
    model = tiny_mms(weights=[6, 1, 1])
    data = model.data_preprocessor({"inputs": torch.randint(0, 256, (2, 3, 16, 32))}, True)
    losses = model(**data, mode="loss")
    assert set(losses) == {"loss_pixel", "error_random_patch"}


def test_what_is_optimized_is_the_loss_and_not_the_log():
    model = tiny_mms()
    data = model.data_preprocessor({"inputs": torch.randint(0, 256, (3, 3, 16, 32))}, True)
    losses = model(**data, mode="loss")
    total, log = model.parse_losses(losses)
    assert torch.equal(total, losses["loss_pixel"])
    assert set(log) >= {"error_random_patch", "error_blockwise", "error_span", "loss"}


def test_a_share_of_the_removed_patches_is_predicted():
    model = tiny_mms(neck=dict(CROSS, predict_share=0.25))
    images, mask = torch.randn(2, 3, 16, 32), random_mask(2, 32, 24)
    seen = []
    model.neck.register_forward_hook(lambda module, args, out: seen.append(args[2]))
    torch.manual_seed(5)
    loss = model.loss(images, None, one_view(mask))["loss_pixel"]
    (predicted,) = seen
    assert predicted.shape == (2, 6)
    for row, chosen in zip(mask, predicted):
        assert len(set(chosen.tolist())) == 6
        assert row[chosen].all()
    tokens, visible, removed = model.backbone(images, mask)
    full = model.neck(tokens, visible, removed)
    place = (removed[:, None] == predicted[..., None]).float().argmax(dim=-1)
    chosen = full.gather(1, place[..., None].expand(-1, -1, 48))
    expected = model.head.errors(chosen, images, predicted).mean()
    assert torch.allclose(loss, expected, atol=1e-5)
    model.loss(images, None, one_view(mask))
    assert not torch.equal(seen[-1], predicted)


def test_predicting_scores_all_removed_patches():
    model = tiny_mms(neck=dict(CROSS, predict_share=0.25)).eval()
    data = model.data_preprocessor({"inputs": torch.randint(0, 256, (3, 3, 16, 32))})
    samples = model(**data, mode="predict")
    model.neck.predict_share = 1.0
    for mask, name in zip(data["masks"].masks, data["masks"].names):
        for image in range(3):
            row = slice(image, image + 1)
            expected = model.loss(data["inputs"][row], None, one_view(mask[row]))["loss_pixel"]
            assert samples[image].masked_error[name] == pytest.approx(expected.item(), abs=1e-5)


def windows(image, grid):
    return {
        row * grid[1] + column: image[:, 4 * row : 4 * row + 4, 4 * column : 4 * column + 4]
        for row in range(grid[0])
        for column in range(grid[1])
    }


def test_pictures_of_a_prediction():
    model = tiny_mms().eval()
    pixels = torch.randint(0, 256, (2, 3, 16, 32), dtype=torch.uint8)
    data = model.data_preprocessor({"inputs": pixels})
    given = [BaseDataElement(metainfo=dict(sample_idx=i)) for i in range(2)]
    samples = model.predict(data["inputs"], given, data["masks"])
    assert samples is given
    for image, sample in enumerate(samples):
        rgb = pixels[image].flip(0)
        assert torch.equal(sample.image, rgb)
        assert set(sample.masked_image) == set(sample.reconstruction) == set(data["masks"].names)
        for mask, name in zip(data["masks"].masks, data["masks"].names):
            original = windows(rgb, (4, 8))
            hidden = windows(sample.masked_image[name], (4, 8))
            filled = windows(sample.reconstruction[name], (4, 8))
            for patch in range(32):
                if mask[image, patch]:
                    assert (hidden[patch] == 128).all()
                else:
                    assert torch.equal(hidden[patch], original[patch])
                    assert torch.equal(filled[patch], original[patch])
            assert filled[0].dtype == torch.uint8


def test_perfect_predictions_give_back_the_image():
    model = tiny_mms().eval()
    pixels = torch.randint(0, 256, (2, 3, 16, 32), dtype=torch.uint8)
    data = model.data_preprocessor({"inputs": pixels})
    targets = normalize_patches(patchify(data["inputs"], 4))[0]

    class Oracle(torch.nn.Module):
        predict_share = 1.0

        def forward(self, tokens, visible, predicted):
            rows = targets.repeat(len(predicted) // len(targets), 1, 1)
            return rows.gather(1, predicted[..., None].expand(-1, -1, 48))

    model.neck = Oracle()
    for image, sample in enumerate(model.predict(data["inputs"], None, data["masks"])):
        for name in data["masks"].names:
            assert sample.masked_error[name] < 1e-10
            # A gray level may be lost in rounding.
            difference = sample.reconstruction[name].int() - pixels[image].flip(0).int()
            assert difference.abs().max() <= 1


def test_images_without_masks_give_features():
    model = tiny_mms().eval()
    images = torch.randn(2, 3, 16, 32)
    assert torch.equal(model(images), model.backbone(images))
    assert torch.equal(model.extract_feat(images), model.backbone(images))


@pytest.mark.parametrize("bf16", [False, True])
@pytest.mark.parametrize("neck", [CROSS, SELF])
def test_training_steps_make_the_loss_fall(bf16, neck):
    model = tiny_mms(
        neck=neck, init_cfg=[dict(type="Xavier", layer="Linear", distribution="uniform")]
    )
    model.init_weights()
    optimizer = torch.optim.AdamW(model.parameters(), lr=3e-3)
    wrapper = Bf16OptimWrapper(enabled=bf16, optimizer=optimizer)
    image = torch.linspace(0, 255, 32).expand(3, 16, 32).to(torch.uint8)
    losses = []
    for _ in range(40):
        log = model.train_step({"inputs": image.expand(4, -1, -1, -1)}, wrapper)
        losses.append(log["loss_pixel"].item())
    assert sum(losses[-5:]) < 0.6 * sum(losses[:5])
    assert all(parameter.dtype == torch.float32 for parameter in model.parameters())


def test_decoder_and_head_take_their_sizes_from_the_encoder():
    model = tiny_mms(img_size=(8, 64))
    assert model.neck.grid == (2, 16)
    assert model.neck.embed.in_features == 24
    assert model.head.patch_size == (4, 4)


def test_configs_are_not_changed():
    config = mms_config(contrast=dict(type="mms_ocr.ViewContrast"), mode="joint")
    before = repr(config)
    MODELS.build(config)
    assert repr(config) == before


def test_without_masks():
    model = tiny_mms()
    for mode in ("loss", "predict"):
        with pytest.raises(ValueError, match=r"must be .*MaskedTextDataPreprocessor"):
            model(torch.randn(1, 3, 16, 32), mode=mode)


def test_masks_of_another_grid():
    with pytest.raises(ValueError, match="grid of 8×32 patches and the encoder's is 4×8"):
        MODELS.build(mms_config(grid=(8, 32)))


def test_images_of_another_size():
    model = tiny_mms()
    data = model.data_preprocessor({"inputs": torch.randint(0, 256, (2, 3, 16, 64))}, True)
    with pytest.raises(ValueError, match=r"the mask is \(2, 32\) and the images .* \(2, 64\)"):
        model(**data, mode="loss")


def test_an_encoder_without_class_token():
    config = mms_config()
    config["backbone"]["with_cls_token"] = False
    with pytest.raises(ValueError, match="class token"):
        MODELS.build(config)
