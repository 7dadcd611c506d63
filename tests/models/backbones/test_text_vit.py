"""TextViT against MMPretrain's VisionTransformer, and against slow versions."""

import copy
import pickle

import pytest
import torch
import torch.nn.functional as F
from mmengine.config import ConfigDict
from mmengine.model import BaseModule
from mmengine.optim import build_optim_wrapper
from mmengine.runner.checkpoint import get_state_dict, load_state_dict, save_checkpoint
from mmpretrain.models.backbones import VisionTransformer
from tiny_models import mms_config, random_mask, shake

from mms_ocr.models import TextViT
from mms_ocr.models.backbones.patches import gather_tokens, split_mask
from mms_ocr.models.backbones.positions import sincos_positions
from mms_ocr.registry import MODELS

ARCH = dict(embed_dims=24, num_layers=3, num_heads=3, feedforward_channels=48)
# The same number of patches as (16, 64) pixels, laid out otherwise.
SMALL, SQUARE, WIDE = (16, 64), (32, 32), (16, 128)


def encoder(img_size=SMALL, **settings):
    return shake(TextViT(arch=ARCH, img_size=img_size, **settings)).eval()


def mmpretrain_vit(img_size=SMALL, **settings):
    defaults = dict(arch=ARCH, img_size=img_size, patch_size=4)
    model = VisionTransformer(**(defaults | settings))
    model.eval()
    return model


@pytest.mark.parametrize(("out_type", "theirs"), [("map", "featmap"), ("tokens", "raw")])
@pytest.mark.parametrize("out_indices", [-1, 1, (0, 2), (0, -2, -1), [-1]])
def test_features_are_those_of_mmpretrain(out_type, theirs, out_indices):
    model = encoder(out_type=out_type, out_indices=out_indices)
    indices = [out_indices] if isinstance(out_indices, int) else [i % 3 for i in out_indices]
    other = mmpretrain_vit(out_type=theirs, out_indices=indices)
    other.load_state_dict(model.state_dict())
    images = torch.randn(2, 3, *SMALL)
    ours, expected = model(images), other(images)
    if isinstance(out_indices, int):
        assert isinstance(ours, torch.Tensor)
        ours = (ours,)
    assert len(ours) == len(expected)
    for mine, other_ in zip(ours, expected):
        assert torch.allclose(mine, other_, atol=1e-5)
    shape = (2, 24, 4, 16) if out_type == "map" else (2, 65, 24)
    assert ours[0].shape == shape


@pytest.mark.parametrize("arch", ["tiny", "small", "base"])
def test_architectures_are_those_of_mmpretrain(arch):
    with torch.device("meta"):
        model = TextViT(arch=arch)
        other = VisionTransformer(arch=f"deit-{arch}", img_size=(32, 128), patch_size=4)
    shapes = {name: value.shape for name, value in model.state_dict().items()}
    assert shapes == {name: value.shape for name, value in other.state_dict().items()}
    assert model.grid == (8, 32)


@pytest.mark.parametrize("settings", [{}, {"pre_norm": True}, {"with_cls_token": False}])
def test_settings_of_mmpretrain_work(settings):
    model = encoder(**settings)
    other = mmpretrain_vit(out_type="featmap", **settings)
    other.load_state_dict(model.state_dict())
    images = torch.randn(2, 3, *SMALL)
    assert torch.allclose(model(images), other(images)[0], atol=1e-5)


def slow_visible_tokens(model, image, mask):
    """The visible patches one by one, in reading order, then the layers."""
    kernel = model.patch_embed.projection
    tokens = [model.cls_token[0, 0] + model.pos_embed[0, 0]]
    for patch in range(len(mask)):
        if mask[patch]:
            continue
        row, column = divmod(patch, model.grid[1])
        pixels = image[:, 4 * row : 4 * row + 4, 4 * column : 4 * column + 4]
        value = (kernel.weight * pixels).sum(dim=(1, 2, 3)) + kernel.bias
        tokens.append(value + model.pos_embed[0, 1 + patch])
    tokens = torch.stack(tokens)[None]
    for layer in model.layers:
        tokens = layer(tokens)
    return model.ln1(tokens)[0]


def test_masked_features_are_those_of_the_visible_patches_one_by_one():
    model = encoder()
    images, mask = torch.randn(3, 3, *SMALL), random_mask(3, 64, 40)
    tokens, visible, removed = model(images, mask)
    assert tokens.shape == (3, 25, 24)
    for image in range(3):
        expected = slow_visible_tokens(model, images[image], mask[image])
        assert torch.allclose(tokens[image], expected, atol=1e-5)
        assert visible[image].tolist() == [p for p in range(64) if not mask[image, p]]
        assert removed[image].tolist() == [p for p in range(64) if mask[image, p]]


def test_given_number_of_removed_patches():
    model = encoder()
    images, mask = torch.randn(2, 3, *SMALL), random_mask(2, 64, 40)
    for counted, known in zip(model(images, mask), model(images, mask, num_removed=40)):
        assert torch.equal(counted, known)


def test_a_mask_that_removes_nothing_changes_nothing():
    model = encoder(out_type="tokens")
    images = torch.randn(2, 3, *SMALL)
    tokens, visible, removed = model(images, torch.zeros(2, 64, dtype=torch.bool))
    assert torch.allclose(tokens, model(images), atol=1e-5)
    assert visible.tolist() == [list(range(64))] * 2
    assert removed.shape == (2, 0)


def test_masked_forward_on_another_size():
    model = encoder()
    images, mask = torch.randn(2, 3, *WIDE), random_mask(2, 128, 100)
    tokens, visible, _ = model(images, mask)
    wide = encoder(WIDE)
    wide.load_state_dict(model.state_dict())
    assert torch.allclose(tokens, wide(images, mask)[0], atol=1e-5)
    assert visible.shape == (2, 28)


@pytest.mark.parametrize(
    ("mask", "message"),
    [
        (torch.tensor([[True] * 3 + [False] * 61, [True] * 5 + [False] * 59]), "between 3 and 5"),
        (torch.ones(2, 64, dtype=torch.bool), "leaves no visible patch of 64"),
        (torch.zeros(2, 32, dtype=torch.bool), r"the mask is \(2, 32\)"),
        (torch.zeros(1, 64, dtype=torch.bool), r"the mask is \(1, 64\)"),
    ],
)
def test_masks_that_do_not_fit(mask, message):
    with pytest.raises(ValueError, match=message):
        encoder()(torch.randn(2, 3, *SMALL), mask)


def test_split_and_gather_restore_the_order():
    mask = random_mask(4, 12, 5)
    tokens = torch.randn(4, 12, 3)
    restored = torch.zeros_like(tokens)
    for part in split_mask(mask):
        restored.scatter_(1, part[..., None].expand(-1, -1, 3), gather_tokens(tokens, part))
    assert torch.equal(restored, tokens)


def manual(positions, source, target):
    image = positions[:, 1:].reshape(1, *source, -1).permute(0, 3, 1, 2)
    resized = F.interpolate(image, size=target, mode="bicubic", align_corners=False)
    return torch.cat([positions[:, :1], resized.flatten(2).transpose(1, 2)], dim=1)


def through_torch_load(model, path):
    torch.save(model.state_dict(), path)
    return torch.load(path, weights_only=True)


def through_mmengine(model, path):
    save_checkpoint({"state_dict": get_state_dict(model)}, str(path))
    return torch.load(path, weights_only=True)["state_dict"]


WAYS = [
    lambda model, path: model.state_dict(),
    lambda model, path: get_state_dict(model),
    through_torch_load,
    through_mmengine,
]


@pytest.mark.parametrize("way", WAYS)
@pytest.mark.parametrize(
    ("img_size", "grid"), [(WIDE, (4, 32)), (SQUARE, (8, 8)), ((64, 16), (16, 4))]
)
@pytest.mark.parametrize("trained", [False, True])
def test_positions_are_resized_from_the_true_grid(tmp_path, way, img_size, grid, trained):
    source = encoder()
    if trained:
        source.pos_embed.data.normal_()
    target = TextViT(arch=ARCH, img_size=img_size)
    target.load_state_dict(way(source, tmp_path / "weights.pth"))
    expected = manual(source.pos_embed, (4, 16), grid)
    assert torch.allclose(target.pos_embed, expected, atol=1e-6)
    assert torch.equal(target.layers[1].ffn.layers[1].weight, source.layers[1].ffn.layers[1].weight)


@pytest.mark.parametrize("load", [lambda m, s: m.load_state_dict(s), load_state_dict])
def test_positions_inside_a_model_are_resized(tmp_path, load):
    source = encoder()
    source.pos_embed.data.normal_()
    holder, target = BaseModule(), BaseModule()
    holder.backbone, target.backbone = source, TextViT(arch=ARCH, img_size=SQUARE)
    load(target, through_mmengine(holder, tmp_path / "weights.pth"))
    expected = manual(source.pos_embed, (4, 16), (8, 8))
    assert torch.allclose(target.backbone.pos_embed, expected, atol=1e-6)


def test_loading_leaves_the_state_dict_alone():
    state_dict = encoder().state_dict()
    before = {key: value.clone() for key, value in state_dict.items()}
    TextViT(arch=ARCH, img_size=WIDE).load_state_dict(state_dict)
    assert all(torch.equal(state_dict[key], value) for key, value in before.items())


def bare(state_dict):
    """Without metadata, as other libraries write their weights."""
    return {key: value.clone() for key, value in state_dict.items()}


def test_fixed_positions_without_metadata_are_recognized():
    source = encoder()
    target = TextViT(arch=ARCH, img_size=WIDE)
    target.load_state_dict(bare(source.state_dict()))
    assert torch.allclose(target.pos_embed, manual(source.pos_embed, (4, 16), (4, 32)), atol=1e-6)


def test_trained_positions_of_an_unknown_grid():
    state_dict = bare(encoder().state_dict())
    state_dict["pos_embed"].normal_()
    target = TextViT(arch=ARCH, img_size=WIDE)
    before = target.patch_embed.projection.weight.clone()
    with pytest.raises(ValueError, match=r"checkpoint_grid=\(rows, columns\)") as caught:
        target.load_state_dict(state_dict)
    assert "65 positions" in str(caught.value)
    assert torch.equal(target.patch_embed.projection.weight, before)
    model = TextViT(arch=ARCH, img_size=WIDE, checkpoint_grid=(8, 8))
    model.load_state_dict(state_dict)
    expected = manual(state_dict["pos_embed"], (8, 8), (4, 32))
    assert torch.allclose(model.pos_embed, expected, atol=1e-6)


def test_as_many_positions_as_patches_are_taken_as_they_are():
    state_dict = bare(encoder().state_dict())
    state_dict["pos_embed"].normal_()
    target = TextViT(arch=ARCH, img_size=SMALL)
    target.load_state_dict(state_dict)
    assert torch.equal(target.pos_embed, state_dict["pos_embed"])


def test_stored_grid_overrides_checkpoint_grid():
    """A model that took foreign weights of another grid must resume from its own checkpoints."""
    model = TextViT(arch=ARCH, img_size=SMALL, checkpoint_grid=(8, 8))
    model.pos_embed.data.normal_()
    again = TextViT(arch=ARCH, img_size=SMALL, checkpoint_grid=(8, 8))
    again.load_state_dict(model.state_dict())
    assert torch.equal(again.pos_embed, model.pos_embed)


def test_a_wrong_checkpoint_grid():
    model = TextViT(arch=ARCH, img_size=WIDE, checkpoint_grid=(8, 9))
    with pytest.raises(ValueError, match="do not belong to a grid of 8×9"):
        model.load_state_dict(bare(encoder().state_dict()))


def test_weights_with_a_class_token_fit_a_model_without():
    source = encoder()
    target = TextViT(arch=ARCH, img_size=WIDE, with_cls_token=False)
    state_dict = source.state_dict()
    del state_dict["cls_token"]
    target.load_state_dict(state_dict)
    expected = manual(source.pos_embed, (4, 16), (4, 32))[:, 1:]
    assert torch.allclose(target.pos_embed, expected, atol=1e-6)


def test_another_input_size_has_resized_positions():
    model, images = encoder(), torch.randn(2, 3, *WIDE)
    wide = TextViT(arch=ARCH, img_size=WIDE).eval()
    wide.load_state_dict(model.state_dict())
    assert model(images).shape == (2, 24, 4, 32)
    assert torch.allclose(model(images), wide(images), atol=1e-5)


def test_init_weights():
    model = TextViT(arch=ARCH, img_size=SMALL)
    shake(model).pos_embed.data.normal_()
    model.init_weights()
    assert torch.equal(model.pos_embed[0, 1:], sincos_positions((4, 16), 24))
    assert (model.pos_embed[0, 0] == 0).all()
    bound = (6 / (24 + 3 * 4 * 4)) ** 0.5
    kernel = model.patch_embed.projection.weight
    assert kernel.abs().max() <= bound
    assert kernel.std().item() == pytest.approx(bound / 3**0.5, rel=0.1)
    assert 0.01 < model.cls_token.std() < 0.03
    assert not model.pos_embed.requires_grad


def test_a_checkpoint_is_applied_last(tmp_path):
    source = encoder()
    path = tmp_path / "encoder.pth"
    save_checkpoint({"state_dict": get_state_dict(source)}, str(path))
    model = TextViT(
        arch=ARCH,
        img_size=SMALL,
        init_cfg=[
            dict(type="Constant", layer="Linear", val=3.0),
            dict(type="Pretrained", checkpoint=str(path)),
        ],
    )
    before = copy.deepcopy(model.init_cfg)
    model.init_weights()
    for name, value in source.state_dict().items():
        assert torch.equal(model.state_dict()[name], value), name
    assert model.init_cfg == before


def test_init_weights_runs_once():
    model = TextViT(arch=ARCH, img_size=SMALL)
    model.init_weights()
    kernel = model.patch_embed.projection.weight.clone()
    model.init_weights()
    assert torch.equal(model.patch_embed.projection.weight, kernel)


def test_drop_path_grows_with_depth():
    model = TextViT(arch=ARCH, img_size=SMALL, drop_path_rate=0.2)
    rates = [getattr(layer.attn.out_drop, "drop_prob", 0.0) for layer in model.layers]
    assert rates == pytest.approx([0, 0.1, 0.2])
    images = torch.randn(8, 3, *SMALL)
    model.train()
    assert not torch.equal(model(images), model(images))
    model.eval()
    assert torch.equal(model(images), model(images))


def test_layer_depth_of_every_parameter():
    model = encoder()
    depths = {name: model.get_layer_depth(name) for name, _ in model.named_parameters()}
    assert all(count == 5 for _, count in depths.values())
    expected = {"cls_token": 0, "pos_embed": 0, "patch_embed": 0, "layers": None, "ln1": 4}
    for name, (depth, _) in depths.items():
        first, *rest = name.split(".")
        assert depth == (int(rest[0]) + 1 if first == "layers" else expected[first])


def test_layer_wise_learning_rates():
    config = mms_config(SMALL)
    model = MODELS.build(config | dict(backbone=dict(config["backbone"], arch=ARCH)))
    wrapper = build_optim_wrapper(
        model,
        ConfigDict(
            optimizer=dict(type="AdamW", lr=1.0, weight_decay=0.05),
            constructor="mmpretrain.LearningRateDecayOptimWrapperConstructor",
            paramwise_cfg=dict(layer_decay_rate=0.5),
        ),
    )
    rates = {group["param_name"]: group["lr"] for group in wrapper.optimizer.param_groups}
    assert set(rates) == {name for name, p in model.named_parameters() if p.requires_grad}
    assert rates["backbone.cls_token"] == rates["backbone.patch_embed.projection.bias"] == 0.5**4
    assert rates["backbone.layers.0.ln1.weight"] == 0.5**3
    assert rates["backbone.layers.2.ffn.layers.1.bias"] == 0.5
    assert rates["backbone.ln1.weight"] == rates["neck.mask_token"] == rates["neck.pred.bias"] == 1


def test_more_frozen_stages_than_layers_are_refused():
    depth = ARCH["num_layers"]
    with pytest.raises(ValueError, match=f"{depth + 1}, and the encoder has {depth} layers"):
        TextViT(arch=ARCH, img_size=SMALL, frozen_stages=depth + 1)


def test_frozen_stages():
    model = TextViT(arch=ARCH, img_size=SMALL, frozen_stages=2)
    trained = {name.split(".")[0] for name, p in model.named_parameters() if p.requires_grad}
    assert trained == {"layers", "ln1"}
    assert not any(p.requires_grad for p in model.layers[:2].parameters())
    assert all(p.requires_grad for p in model.layers[2].parameters())
    model.train()
    assert [layer.training for layer in model.layers] == [False, False, True]
    assert not model.patch_embed.training


@pytest.mark.parametrize("clone", [copy.deepcopy, lambda m: pickle.loads(pickle.dumps(m))])
def test_copies_work_as_the_original(clone):
    model = encoder()
    other = clone(model)
    images = torch.randn(1, 3, *SMALL)
    assert torch.equal(other(images), model(images))
    assert other.state_dict()._metadata[""]["grid"] == [4, 16]
    wide = TextViT(arch=ARCH, img_size=WIDE)
    clone(wide).load_state_dict(model.state_dict())
    assert wide.grid == (4, 32)


@pytest.mark.parametrize("size", [(30, 128), (32, 126), (2, 128)])
def test_sizes_that_the_patch_does_not_divide(size):
    with pytest.raises(ValueError, match="is not divisible by the patch size 4"):
        TextViT(arch=ARCH, img_size=size)
    with pytest.raises(ValueError, match="is not divisible by the patch size 4"):
        encoder()(torch.randn(1, 3, *size))


@pytest.mark.parametrize(
    ("settings", "message"),
    [
        (dict(arch="huge"), "unknown arch 'huge'; choose from nano, tiny, small, base"),
        (dict(arch=dict(embed_dims=24)), "arch needs the keys"),
        (dict(out_type="featmap"), "out_type must be one of map, row, tokens, cls_token, got"),
        (dict(out_indices=3), r"out_indices must lie in \[-3, 2\], got 3"),
        (dict(out_indices=[]), "out_indices must lie in"),
        (dict(out_indices=(0, -4)), "out_indices must lie in"),
        (dict(img_size=32), "img_size must be two numbers"),
        (dict(img_size=(32, 128, 3)), "img_size must be two numbers"),
    ],
)
def test_impossible_settings(settings, message):
    with pytest.raises(ValueError, match=message):
        TextViT(**(dict(arch=ARCH) | settings))


def test_one_row_is_the_mean_of_the_rows():
    model, images = encoder(out_indices=(0, -1)), torch.randn(2, 3, *SMALL)
    row = TextViT(arch=ARCH, img_size=SMALL, out_type="row", out_indices=(0, -1)).eval()
    row.load_state_dict(model.state_dict())
    for row_map, feature_map in zip(row(images), model(images)):
        assert row_map.shape == (2, ARCH["embed_dims"], 1, 16)
        for column in range(16):
            rows = [feature_map[:, :, i, column] for i in range(4)]
            torch.testing.assert_close(row_map[:, :, 0, column], sum(rows) / 4)


def conv_encoder(**settings):
    arch = dict(embed_dims=24, num_layers=2, num_heads=2, feedforward_channels=48)
    settings = dict(arch=arch, img_size=(16, 64), patch_size=(8, 4), stem="conv") | settings
    model = TextViT(**settings)
    model.init_weights()
    return model.eval()


@pytest.mark.parametrize("stem", ["patch", "conv"])
@pytest.mark.parametrize("training", [False, True])
def test_removed_patches_do_not_leak_through_the_stem(training, stem):
    model = conv_encoder(stem=stem).train(training)
    images = torch.randn(3, 3, 16, 64)
    mask = random_mask(3, 32, 20)
    pixels = mask.view(3, 1, 2, 16).repeat_interleave(8, 2).repeat_interleave(4, 3)
    changed = torch.where(pixels, torch.randn(images.shape), images)
    tokens, visible, _ = model(images, mask)
    assert torch.equal(model(changed, mask)[0], tokens)
    kept = (~mask).nonzero()[:, 1].view(3, 12)
    assert torch.equal(visible, kept)
    # What is visible does count.
    assert not torch.allclose(model(torch.where(pixels, images, images + 1), mask)[0], tokens)


def test_a_token_of_the_stem_sees_its_own_patch():
    model = conv_encoder()
    images = torch.randn(1, 3, 16, 64)
    tokens = model.patch_embed(images)[0].unflatten(1, (2, 16))
    images[..., 8:, 40:44] += 1  # the patch of row 1, column 10
    changed = (model.patch_embed(images)[0].unflatten(1, (2, 16)) - tokens).abs().amax(-1)[0]
    assert changed[1, 10] > 0
    assert changed[:, :7].max() == 0
    assert changed[:, 14:].max() == 0


@pytest.mark.parametrize(
    ("patch_size", "strides"),
    [
        ((8, 4), [(2, 2), (2, 2), (2, 1)]),
        (4, [(2, 2), (2, 2), (1, 1)]),
        (16, [(2, 2)] * 4),
        ((2, 8), [(2, 2), (1, 2), (1, 2)]),
    ],
)
def test_stem_has_the_grid_of_the_patches(patch_size, strides):
    model = conv_encoder(patch_size=patch_size)
    convolutions = [layer for layer in model.patch_embed.convs if hasattr(layer, "stride")]
    assert [layer.stride for layer in convolutions] == strides
    height, width = (patch_size, patch_size) if isinstance(patch_size, int) else patch_size
    assert model.grid == (16 // height, 64 // width)
    assert model(torch.randn(2, 3, 32, 64)).shape == (2, 24, 32 // height, 64 // width)


@pytest.mark.parametrize("patch_size", [(8, 4), (4, 8)])
def test_rectangular_patches_are_cut_in_reading_order(patch_size):
    model = encoder(patch_size=patch_size)
    rows, columns = model.grid
    image = torch.randn(3, *SMALL)
    height, width = patch_size
    assert model.grid == (SMALL[0] // height, SMALL[1] // width)
    kernel = model.patch_embed.projection
    tokens = model.patch_embed(image[None])[0][0]
    for index in (0, columns + 1, rows * columns - 1):
        row, column = divmod(index, columns)
        patch = image[:, row * height : (row + 1) * height, column * width : (column + 1) * width]
        expected = (kernel.weight * patch).sum((1, 2, 3)) + kernel.bias
        assert torch.allclose(tokens[index], expected, atol=1e-5)


def test_a_stem_keeps_its_patch_size():
    weights = conv_encoder(patch_size=(4, 4)).state_dict()
    other = conv_encoder(img_size=(16, 32), patch_size=(4, 2))
    with pytest.raises(ValueError, match=r"trained with patch_size=\[4, 4\]"):
        other.load_state_dict(weights)


@pytest.mark.parametrize(
    ("settings", "message"),
    [
        (dict(stem="convs"), "stem must be one of patch, conv, got 'convs'"),
        (dict(patch_size=(6, 4), img_size=(12, 64)), r"powers of 2, got \(6, 4\)"),
        (dict(patch_size=(8, 6)), "16×64 is not divisible by the patch size 8×6"),
    ],
)
def test_impossible_stems(settings, message):
    with pytest.raises(ValueError, match=message):
        conv_encoder(**settings)


def test_rates_of_stochastic_depth_rise_and_can_be_compiled():
    layers = encoder(drop_path_rate=0.4).layers
    rates = [layer.attn.out_drop.drop_prob for layer in layers]
    assert rates == pytest.approx([0, 0.2, 0.4])
    assert {type(rate) for rate in rates} == {float}
