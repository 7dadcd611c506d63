"""Weights that init_cfg loads are those of the model afterwards, bit for bit, for every model."""

import copy

import pytest
import torch
from mmengine.model import PretrainedInit
from tiny_models import (
    BACKBONE,
    CROSS,
    CTC,
    PIXELS,
    SELF,
    TEXT,
    mms_config,
    recognizer_config,
    shake,
    tiny_mms,
)
from torch.nn import ModuleDict

from mms_ocr.models.strict_init import use_strict_loading
from mms_ocr.registry import MODELS


def configs(kind, tmp_path):
    if kind == "segmentor" or kind == "super_resolver":
        name = dict(segmentor="TextSegmentor", super_resolver="TextSuperResolver")[kind]
        return dict(type=f"mms_ocr.{name}", backbone=BACKBONE, decoder=PIXELS)
    if kind == "autoregressive":
        return recognizer_config(tmp_path, **TEXT)
    if kind == "ctc":
        return recognizer_config(tmp_path, **CTC, pooling="conv", num_rows=4, channels=16)
    contrast = dict(type="mms_ocr.ViewContrast", dim=8)
    return mms_config(neck=CROSS if kind == "cross" else SELF, contrast=contrast, mode="joint")


KINDS = ("cross", "self", "segmentor", "super_resolver", "autoregressive", "ctc")
OTHERS = [
    dict(type="Constant", layer=["Linear", "Conv2d"], val=0.5),
    dict(type="TruncNormal", layer="LayerNorm"),
]


def pretrained(path, **more):
    return dict(type="Pretrained", checkpoint=path, **more)


def differing(model, trained, part=""):
    own, values = model.state_dict(), trained.state_dict()
    assert own.keys() == values.keys()
    return [key for key in own if key.startswith(part) and not torch.equal(own[key], values[key])]


@pytest.fixture(params=KINDS)
def task(request, tmp_path):
    """Config of a model, one that was trained, and its checkpoint."""
    config = configs(request.param, tmp_path)
    trained = shake(MODELS.build(copy.deepcopy(config)))
    path = str(tmp_path / "trained.pth")
    torch.save({"state_dict": trained.state_dict(), "meta": {}}, path)
    return config, trained, path


@pytest.mark.parametrize("form", ["dict", "first", "last", "class", "named", "twice"])
def test_a_whole_model(task, form):
    config, trained, path = task
    init_cfg = {
        "first": [pretrained(path), *OTHERS],
        "last": [*OTHERS, pretrained(path)],
        "class": dict(type=PretrainedInit, checkpoint=path),
        "named": dict(type="mms_ocr.PretrainedModel", checkpoint=path),
    }.get(form, pretrained(path))
    model = MODELS.build(dict(copy.deepcopy(config), init_cfg=init_cfg))
    use_strict_loading(model)
    model.init_weights()
    if form == "twice":
        model.init_weights()
    assert differing(model, trained) == []


def test_parts_with_their_own_init_cfg(task):
    config, trained, path = copy.deepcopy(task[0]), *task[1:]
    head = "neck" if "neck" in config else "decoder"
    for part in ("backbone", head):
        config[part] = dict(config[part], init_cfg=[pretrained(path, prefix=f"{part}."), *OTHERS])
    model = MODELS.build(config)
    model.init_weights()
    assert differing(model, trained, "backbone.") == differing(model, trained, head) == []


def test_encoder_of_a_whole_model_needs_no_prefix(task):
    config, trained, path = copy.deepcopy(task[0]), *task[1:]
    config["backbone"] = dict(config["backbone"], init_cfg=pretrained(path))
    model = MODELS.build(config)
    model.init_weights()
    assert differing(model, trained, "backbone.") == []


@pytest.mark.parametrize("form", ["model", "distributed", "encoder"])
def test_a_pretrained_encoder_in_every_model(task, tmp_path, form):
    config, path = copy.deepcopy(task[0]), str(tmp_path / "mms.pth")
    pretrained = tiny_mms()
    saved = {"distributed": ModuleDict({"module": pretrained}), "encoder": pretrained.backbone}
    torch.save({"state_dict": saved.get(form, pretrained).state_dict()}, path)
    init_cfg = dict(type="mms_ocr.PretrainedTextViT", checkpoint=path)
    config["backbone"] = dict(config["backbone"], init_cfg=init_cfg)
    model = MODELS.build(config)
    model.init_weights()
    assert differing(model.backbone, pretrained.backbone) == []
    if config["type"] == "mms_ocr.TextSuperResolver":
        assert not model.decoder.pred.weight.any()


@pytest.mark.parametrize("where", ["whole", "backbone"])
def test_weights_that_do_not_fit_raise(task, tmp_path, where):
    config, trained, path = copy.deepcopy(task[0]), *task[1:]
    weights = trained.state_dict()
    del weights["backbone.ln1.bias"]
    weights["backbone.cls_token"] = torch.ones(1, 1, 7)
    torch.save(weights, path)
    owner = config if where == "whole" else config["backbone"]
    owner["init_cfg"] = pretrained(path, **({} if where == "whole" else {"prefix": "backbone"}))
    model = MODELS.build(config)
    use_strict_loading(model)
    with pytest.raises(ValueError, match=r"1 missing .*ln1\.bias.*1 of another shape .*cls_token"):
        model.init_weights()


def test_super_resolution_without_a_checkpoint_starts_as_the_enlarged_image(tmp_path):
    config = configs("super_resolver", tmp_path)
    for residual in (True, False):
        model = MODELS.build(dict(config, residual=residual))
        model.init_weights()
        assert (float(model.decoder.pred.weight.detach().abs().sum()) == 0) is residual


def test_a_decoder_that_was_built_before_starts_at_zero_as_well(tmp_path):
    config = configs("super_resolver", tmp_path)
    decoder = dict(PIXELS, embed_dim=24, out_channels=3, grid=(4, 8))
    model = MODELS.build(dict(config, decoder=MODELS.build(decoder)))
    model.init_weights()
    assert not model.decoder.pred.weight.detach().any()
