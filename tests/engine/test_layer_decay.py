"""Layer-wise learning rates, against MMPretrain's constructor and by hand."""

import math

import mmengine.registry
import pytest
import torch
from mmengine.optim import build_optim_wrapper
from torch import nn

from mms_ocr.models import TextViT
from mms_ocr.registry import MODELS

LR, DECAY = 1e-3, 0.05
ARCH = dict(embed_dims=24, num_layers=3, num_heads=3, feedforward_channels=48)
CONSTRUCTOR = "mms_ocr.LayerDecayOptimWrapperConstructor"
NO_DECAY = dict(
    norm_decay_mult=0.0,
    bias_decay_mult=0.0,
    flat_decay_mult=0.0,
    custom_keys={"cls_token": dict(decay_mult=0.0)},
)


def settings_of(model, constructor=CONSTRUCTOR, **paramwise):
    """Learning rate and weight decay of every parameter by its name, and the number of groups."""
    wrapper = build_optim_wrapper(
        model,
        dict(
            type="OptimWrapper",
            constructor=constructor,
            optimizer=dict(type="AdamW", lr=LR, weight_decay=DECAY),
            paramwise_cfg=paramwise,
        ),
    )
    names = {id(value): name for name, value in model.named_parameters()}
    groups = wrapper.optimizer.param_groups
    settings = {
        names[id(value)]: (group["lr"], group["weight_decay"])
        for group in groups
        for value in group["params"]
    }
    assert len(settings) == sum(len(group["params"]) for group in groups)
    return settings, len(groups)


@pytest.fixture
def classifier():
    mmengine.registry.init_default_scope("mmpretrain")
    backbone = dict(
        type="VisionTransformer", arch=ARCH | dict(num_layers=4), img_size=16, patch_size=4
    )
    head = dict(type="VisionTransformerClsHead", num_classes=5, in_channels=24)
    return MODELS.build(dict(type="mmpretrain.ImageClassifier", backbone=backbone, head=head))


@pytest.mark.parametrize("rate", [0.5, 0.75, 1.0])
def test_a_classifier_has_the_settings_of_mmpretrain_s_constructor(classifier, rate):
    paramwise = dict(layer_decay_rate=rate, **NO_DECAY)
    theirs, their_groups = settings_of(
        classifier, "mmpretrain.LearningRateDecayOptimWrapperConstructor", **paramwise
    )
    ours, our_groups = settings_of(classifier, **paramwise)
    assert ours.keys() == theirs.keys()
    assert len(ours) > 50
    for name, (lr, decay) in ours.items():
        assert lr == pytest.approx(theirs[name][0], rel=1e-9), name
        assert decay == theirs[name][1], name
    assert our_groups < their_groups / 3


class Head(nn.Module):
    def __init__(self):
        super().__init__()
        self.norm, self.linear = nn.LayerNorm(24), nn.Linear(24, 3)
        self.scale = nn.Parameter(torch.ones(3))


class Model(nn.Module):
    """As recognizers, segmentation and super-resolution models are: a backbone, and more."""

    def __init__(self, **backbone):
        super().__init__()
        self.backbone = TextViT(arch=ARCH, img_size=(16, 32), **backbone)
        self.decoder = Head()


def depth_of(name):
    """Of 3 blocks: the embedding is 0, the blocks are 1 to 3, all else is 4."""
    part = name.removeprefix("backbone.").split(".")
    if part[0] in ("cls_token", "patch_embed"):
        return 0
    return 1 + int(part[1]) if part[0] == "layers" else 4


def test_models_with_the_encoder_as_backbone():
    model = Model()
    settings, groups = settings_of(model, layer_decay_rate=0.5, **NO_DECAY)
    learning = {name: p for name, p in model.named_parameters() if name != "backbone.pos_embed"}
    assert settings.keys() == learning.keys()
    for name, (lr, decay) in settings.items():
        assert lr == pytest.approx(LR * 0.5 ** (4 - depth_of(name))), name
        is_exempt = learning[name].dim() == 1 or name.endswith("cls_token")
        assert decay == (0 if is_exempt else DECAY), name
    # Of every layer those with and without decay, and the class token, which has a rule of its own.
    assert groups == 5 * 2 + 1


def test_text_vit_in_a_classifier_has_the_settings_of_mmpretrain_s_constructor():
    mmengine.registry.init_default_scope("mmpretrain")
    backbone = dict(type="mms_ocr.TextViT", arch=ARCH, img_size=(16, 32))
    head = dict(type="LinearClsHead", num_classes=5, in_channels=24)
    model = MODELS.build(dict(type="mmpretrain.ImageClassifier", backbone=backbone, head=head))
    paramwise = dict(layer_decay_rate=0.7, **NO_DECAY)
    ours, _ = settings_of(model, **paramwise)
    theirs, _ = settings_of(
        model, "mmpretrain.LearningRateDecayOptimWrapperConstructor", **paramwise
    )
    assert ours.keys() == theirs.keys()
    assert all(ours[name] == pytest.approx(theirs[name]) for name in ours)


def test_other_multipliers_are_multiplied_with_the_layers():
    settings, _ = settings_of(
        Model(),
        layer_decay_rate=0.5,
        custom_keys={"decoder.linear": dict(lr_mult=10.0), "layers.0.attn": dict(lr_mult=3.0)},
    )
    assert settings["decoder.linear.weight"][0] == pytest.approx(10 * LR)
    assert settings["backbone.layers.0.attn.qkv.weight"][0] == pytest.approx(3 * LR / 8)
    assert settings["backbone.layers.0.ffn.layers.1.weight"][0] == pytest.approx(LR / 8)


@pytest.mark.parametrize("frozen", [-1, 2, 3])
def test_frozen_parameters_are_left_out_and_do_not_move(frozen):
    model = Model(frozen_stages=frozen).train()
    wrapper = build_optim_wrapper(
        model,
        dict(
            constructor=CONSTRUCTOR,
            optimizer=dict(type="AdamW", lr=LR, weight_decay=DECAY),
            paramwise_cfg=dict(layer_decay_rate=0.75),
        ),
    )
    held = {id(value) for group in wrapper.optimizer.param_groups for value in group["params"]}
    before = {name: value.detach().clone() for name, value in model.named_parameters()}
    for _ in range(2):
        features = model.backbone(torch.randn(2, 3, 16, 32)).mean(dim=(2, 3))
        head = model.decoder
        wrapper.update_params((head.linear(head.norm(features)) * head.scale).square().mean())
    for name, value in model.named_parameters():
        inside = name.startswith("backbone.") and frozen > 0
        stays = name == "backbone.pos_embed" or (inside and depth_of(name) <= frozen)
        stays |= name.startswith("backbone.ln1") and frozen == 3
        assert (id(value) in held) == value.requires_grad == (not stays), name
        assert torch.equal(value, before[name]) == stays, name


@pytest.mark.parametrize("pretrained", [None, "encoder", "model"])
def test_random_encoders_train_at_the_full_rate_with_pretrained_only(pretrained):
    init = [dict(type="Xavier", layer="Linear"), dict(type="x", checkpoint="a.pth")]
    model = Model(init_cfg=init if pretrained == "encoder" else None)
    model.init_cfg = init[1] if pretrained == "model" else None
    settings, _ = settings_of(model, layer_decay_rate=0.5, pretrained_only=True)
    rates = {lr for lr, _ in settings.values()}
    assert rates == ({LR / 2**k for k in range(5)} if pretrained else {LR})


def test_without_settings_all_parameters_share_one_group():
    settings, groups = settings_of(Model(frozen_stages=1))
    assert groups == 1
    assert set(settings.values()) == {(LR, DECAY)}
    assert not any(name.startswith(("backbone.layers.0.", "backbone.patch")) for name in settings)


@pytest.mark.parametrize(("optimizer", "decay"), [("SGD", 0), ("AdamW", 0.01)])
def test_default_weight_decay_of_the_optimizer(optimizer, decay):
    wrapper = build_optim_wrapper(
        Model(), dict(constructor=CONSTRUCTOR, optimizer=dict(type=optimizer, lr=LR))
    )
    (group,) = wrapper.optimizer.param_groups
    assert (group["lr"], group["weight_decay"]) == (LR, decay)


@pytest.mark.parametrize("rate", [0, -1.0, 1.5, math.nan])
def test_invalid_learning_rate_gives_one_line(rate):
    with pytest.raises(ValueError, match=f"layer_decay_rate.* got {rate}"):
        settings_of(Model(), layer_decay_rate=rate)


@pytest.mark.parametrize(
    "key", ["layer_decay", "bias_lr_mult", "dwconv_decay_mult", "bypass_duplicate"]
)
def test_unknown_settings_and_those_that_mmpretrain_ignores_are_refused(key):
    with pytest.raises(ValueError, match=f"no {key};"):
        settings_of(Model(), layer_decay_rate=0.5, **{key: 1.0})


def test_a_model_without_layers_gives_one_line():
    with pytest.raises(ValueError, match="Head"):
        settings_of(Head(), layer_decay_rate=0.5)
    assert settings_of(Head())[1] == 1


def test_the_constructor_is_available_in_any_scope():
    mmengine.registry.init_default_scope("mmocr")
    model = MODELS.build(dict(type="mms_ocr.TextViT", arch=ARCH, img_size=(16, 32)))
    settings, _ = settings_of(model, layer_decay_rate=0.5)
    assert settings["layers.0.ln1.weight"][0] == pytest.approx(LR / 8)
