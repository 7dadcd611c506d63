"""Names of weights of all trainers and wrappers are read in the same way everywhere."""

from collections import OrderedDict

import pytest
import torch
from tiny_models import mms_config, shake, tiny_mms
from tiny_models import same_weights as equal
from tiny_models import tiny_encoder as encoder
from torch import nn

from mms_ocr.models import PretrainedModel, PretrainedTextViT
from mms_ocr.models.weights import load_model, read_checkpoint, read_state_dict, timm_names
from mms_ocr.models.weights.naming import find_weights
from mms_ocr.registry import MODELS

PREFIXES = [
    "module.",
    "_orig_mod.",
    "module._orig_mod.",
    "_orig_mod.module.",
    "model.",
    "net.",
    "model.module.",
    "model._orig_mod.",
    "ema_model.module.",
    "student.",
    "teacher.",
    "_fsdp_wrapped_module.",
    "lightning.network.",
]
CONTAINERS = [
    "state_dict", "model", "model_state_dict", "net", "network", "params", "weights", "module",
    "state_dict_ema", "model_ema", "ema_state_dict", "ema", "params_ema", "teacher", "student",
]  # fmt: skip


def named(weights, prefix, inside=""):
    """Weights under a prefix, with something put in after ``backbone.``, and their metadata."""
    renamed = OrderedDict(
        (prefix + key.replace("backbone.", f"backbone.{inside}", 1), value)
        for key, value in weights.items()
    )
    renamed._metadata = {
        f"{prefix}{name}".rstrip("."): stored for name, stored in weights._metadata.items()
    }
    return renamed


def loaders(path, source):
    """Each way in which a checkpoint gets into a model; (module, what it should have) of each."""
    model = tiny_mms()
    load_model(model, path)
    yield model, source.state_dict()
    model = MODELS.build(mms_config(init_cfg=dict(type="Pretrained", checkpoint=path)))
    model.init_weights()
    yield model, source.state_dict()
    for init in (PretrainedTextViT, PretrainedModel):
        backbone = encoder()
        init(path)(backbone)
        yield backbone, source.backbone.state_dict()


@pytest.mark.parametrize("inside", ["", "_orig_mod.", "module."])
@pytest.mark.parametrize("prefix", PREFIXES)
def test_every_prefix_loads_everywhere(tmp_path, prefix, inside):
    source, path = tiny_mms(), str(tmp_path / "weights.pth")
    torch.save({"state_dict": named(source.state_dict(), prefix, inside)}, path)
    for module, expected in loaders(path, source):
        assert equal(module, expected)


@pytest.mark.parametrize(
    "prefix",
    ["encoder.", "vit.", "backbone.", "module.encoder.", "module.backbone.", "model.visual.", ""],
)
@pytest.mark.parametrize("names", ["ours", "timm"])
def test_an_encoder_under_any_name(tmp_path, prefix, names):
    source, target = encoder(), encoder()
    weights = source.state_dict() if names == "ours" else timm_names(source.state_dict())
    torch.save({f"{prefix}{key}": value for key, value in weights.items()}, tmp_path / "e.pth")
    PretrainedTextViT(str(tmp_path / "e.pth"))(target)
    assert equal(target, source.state_dict())


@pytest.mark.parametrize("container", CONTAINERS)
def test_every_container_is_opened(tmp_path, container):
    source, path = tiny_mms(), str(tmp_path / "weights.pth")
    for content in (
        {container: source.state_dict(), "epoch": 3},
        {"state_dict": {container: named(source.state_dict(), "module.")}},
    ):
        torch.save(content, path)
        for module, expected in loaders(path, source):
            assert equal(module, expected)


def averages(weights, plain):
    """Checkpoints that hold both a model and its average, and which of them is taken."""
    average = named(weights, "module.") | {"steps": torch.tensor(4)}
    yield {"meta": {}, "state_dict": weights, "ema_state_dict": named(plain, "module.")}
    yield {"state_dict": plain, "state_dict_ema": weights}
    yield {"model": plain, "model_ema": average}
    yield {"student": plain, "teacher": average}
    yield {"params": plain, "params_ema": weights}
    yield {"state_dict": {**named(plain, "student."), **named(weights, "teacher.")}}
    yield {"state_dict": {**named(plain, "model."), **named(weights, "ema_model.module.")}}
    yield {"state_dict": {**named(plain, "net."), **named(weights, "net_ema.")}}


def test_an_average_is_preferred(tmp_path):
    source, path = tiny_mms(), str(tmp_path / "weights.pth")
    for content in averages(source.state_dict(), tiny_mms().state_dict()):
        torch.save(content, path)
        for module, expected in loaders(path, source):
            assert equal(module, expected), content.keys()


def test_averages_of_mmengine_and_torch_without_their_model(tmp_path):
    source, path = tiny_mms(), str(tmp_path / "weights.pth")
    averaged = torch.optim.swa_utils.AveragedModel(source)
    for content in (averaged.state_dict(), {"ema_state_dict": averaged.state_dict(), "meta": {}}):
        torch.save(content, path)
        for module, expected in loaders(path, source):
            assert equal(module, expected)


def test_a_grid_is_stored_under_any_prefix(tmp_path):
    source = encoder()
    source.pos_embed.data.normal_()
    model = tiny_mms()
    model.backbone = source
    expected = encoder((32, 16))
    expected.load_state_dict(source.state_dict())
    for prefix in ("", "module.", "model.", "module.model._orig_mod."):
        torch.save({"state_dict": named(model.state_dict(), prefix)}, tmp_path / "weights.pth")
        target = encoder((32, 16))
        PretrainedTextViT(str(tmp_path / "weights.pth"))(target)
        assert equal(target, expected.state_dict()), prefix


def test_two_equal_models_raise(tmp_path):
    first, second = tiny_mms().state_dict(), tiny_mms().state_dict()
    path = str(tmp_path / "weights.pth")
    torch.save({**named(first, "left."), **named(second, "right.")}, path)
    for load in (lambda: load_model(tiny_mms(), path), lambda: PretrainedTextViT(path)(encoder())):
        with pytest.raises(ValueError, match=r"2 times, under left\..*, right\."):
            load()


def test_one_name_with_and_without_a_wrapper(tmp_path):
    weights = tiny_mms().state_dict()
    torch.save({**weights, **named(weights, "module.")}, tmp_path / "weights.pth")
    with pytest.raises(ValueError, match=r"both with and without .*backbone\."):
        read_checkpoint(tmp_path / "weights.pth")


@pytest.mark.parametrize("dtype", [torch.float16, torch.bfloat16, torch.float64])
def test_other_precisions_are_cast(tmp_path, dtype):
    source, path = tiny_mms(), str(tmp_path / "weights.pth")
    torch.save({key: value.to(dtype) for key, value in source.state_dict().items()}, path)
    cast = {key: value.to(dtype).float() for key, value in source.state_dict().items()}
    model = tiny_mms()
    load_model(model, path)
    assert equal(model, cast)
    assert all(value.dtype == torch.float32 for value in model.state_dict().values())


def with_first(weight, value):
    weight = weight.clone()
    weight[0] = value
    return weight


def test_weights_of_other_kinds_are_refused_and_float8_is_cast(tmp_path):
    path, key = str(tmp_path / "weights.pth"), "backbone.ln1.bias"
    weights = tiny_mms().state_dict()
    for other, message in (
        (with_first(weights[key], float("nan")), r"1 not finite .*backbone\.ln1\.bias"),
        (with_first(weights[key], float("inf")), r"1 not finite .*backbone\.ln1\.bias"),
        (weights[key].to(torch.int8), r"1 of another type \(backbone\.ln1\.bias int8 instead"),
        (weights[key].to_sparse(), "sparse_coo float32 instead of float32"),
        (torch.quantize_per_tensor(weights[key], 0.1, 0, torch.qint8), "qint8 instead of float32"),
    ):
        torch.save(weights | {key: other}, path)
        with pytest.raises(ValueError, match=message):
            load_model(tiny_mms(), path)
    torch.save(weights | {key: weights[key].to(torch.float8_e4m3fn)}, path)
    model = tiny_mms()
    load_model(model, path)
    expected = weights | {key: weights[key].to(torch.float8_e4m3fn).float()}
    assert equal(model, expected)


def test_a_mask_may_hide_the_places_that_the_models_own_hides(tmp_path):
    path = str(tmp_path / "weights.pth")
    module = nn.Linear(2, 2)
    module.register_buffer("mask", torch.tensor([0.0, float("-inf")]))
    torch.save(module.state_dict(), path)
    load_model(module, path)
    for mask in ([float("-inf"), 0.0], [float("nan"), float("-inf")], [0.0, float("inf")]):
        torch.save(module.state_dict() | dict(mask=torch.tensor(mask)), path)
        with pytest.raises(ValueError, match=r"1 not finite .*\(mask\)"):
            load_model(module, path)


@pytest.mark.parametrize(
    ("content", "message"),
    [
        ({1: torch.ones(2)}, "names are not text"),
        ({"state_dict": {b"weight": torch.ones(2)}}, "names are not text"),
        ({"weight": torch.empty(2, device="meta")}, "without values .*weight"),
    ],
)
def test_invalid_names_and_missing_values_raise(tmp_path, content, message):
    torch.save(content, tmp_path / "weights.pth")
    with pytest.raises(ValueError, match=message):
        read_state_dict(tmp_path / "weights.pth")


def test_empty_average_is_skipped(tmp_path):
    weights, path = tiny_mms().state_dict(), str(tmp_path / "weights.pth")
    model = tiny_mms()
    for empty in ({}, None):
        torch.save({"model_ema": empty, "state_dict": {}, "model": weights}, path)
        load_model(model, path)
        assert equal(model, weights)


def test_a_checkpoint_of_mmengine_without_its_weights_is_not_read_as_its_average():
    checkpoint = dict(meta=dict(), message_hub=dict(), ema_state_dict={"a": torch.ones(1)})
    with pytest.raises(ValueError, match=r"a\.pth holds no state_dict"):
        find_weights(checkpoint, "a.pth")


@pytest.mark.parametrize("prefix", ["", "module.", "model."])
def test_a_part_of_a_model_may_be_called_as_wrappers_call_theirs(tmp_path, prefix):
    source, target = (nn.Sequential(nn.Module(), encoder()) for _ in range(2))
    for model, size in ((source, (16, 32)), (target, (32, 32))):
        model[0].module = shake(nn.BatchNorm1d(3))
        model[0].module.encoder = encoder(size)
    torch.save({"state_dict": named(source.state_dict(), prefix)}, tmp_path / "m.pth")
    load_model(target, str(tmp_path / "m.pth"))
    first, second = source.state_dict(), target.state_dict()
    resized = {"0.module.encoder.pos_embed"}
    assert {key for key in first if not torch.equal(first[key], second[key])} == resized


def test_counters_of_batches_may_be_left_out(tmp_path):
    source, target = (shake(nn.Sequential(nn.BatchNorm1d(3), nn.Linear(3, 2))) for _ in range(2))
    weights = source.state_dict()
    del weights["0.num_batches_tracked"]
    torch.save(weights, tmp_path / "w.pth")
    load_model(target, str(tmp_path / "w.pth"))
    assert equal(target, source.state_dict())
