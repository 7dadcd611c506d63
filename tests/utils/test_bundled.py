"""Bundled weights by name, wherever a checkpoint is taken."""

import pytest
import torch
from mmengine.runner import CheckpointLoader

from mms_ocr.models import TextViT
from mms_ocr.models.weights import (
    PretrainedModel,
    PretrainedTextViT,
    load_model,
    read_state_dict,
    write_checkpoint,
)
from mms_ocr.utils import bundled

ARCH = dict(embed_dims=24, num_layers=2, num_heads=3, feedforward_channels=48)


def encoder(**settings):
    return TextViT(arch=ARCH, img_size=(16, 32), **settings)


@pytest.fixture
def weights(tmp_path, monkeypatch):
    """The weights of ``mms_ocr://tiny``; ``mms_ocr://other`` exists as well."""
    monkeypatch.setattr(bundled, "FOLDER", tmp_path)
    with torch.random.fork_rng():
        model = encoder()
        model.init_weights()
    for name in ("tiny", "other"):
        write_checkpoint(tmp_path / f"{name}.safetensors", model.state_dict(), half=True)
    return {key: value.half().float() for key, value in model.state_dict().items()}


def by_init_cfg():
    cfg = dict(type="mms_ocr.PretrainedTextViT", checkpoint="mms_ocr://tiny")
    model = encoder(init_cfg=cfg)
    model.init_weights()
    return model.state_dict()


def by_mmengine_s_init_cfg():
    model = encoder(init_cfg=dict(type="Pretrained", checkpoint="mms_ocr://tiny"))
    model.init_weights()
    return model.state_dict()


def by_initializer(kind):
    def load():
        model = encoder()
        kind("mms_ocr://tiny")(model)
        return model.state_dict()

    return load


def by_load_model():
    model = encoder()
    load_model(model, "mms_ocr://tiny")
    return model.state_dict()


def by_mmengine():
    return CheckpointLoader.load_checkpoint("mms_ocr://tiny", map_location="cpu")["state_dict"]


@pytest.mark.parametrize(
    "load",
    [
        by_init_cfg,
        by_mmengine_s_init_cfg,
        by_initializer(PretrainedTextViT),
        by_initializer(PretrainedModel),
        by_load_model,
        by_mmengine,
        lambda: read_state_dict("mms_ocr://tiny"),
    ],
)
def test_weights_are_loaded_by_name(weights, load):
    loaded = load()
    assert loaded.keys() == weights.keys()
    assert all(torch.equal(loaded[key].float(), weights[key]) for key in weights)


@pytest.mark.parametrize("read", [read_state_dict, PretrainedTextViT("mms_ocr://tinny")])
def test_unknown_name_lists_the_known_names(weights, read):
    with pytest.raises(FileNotFoundError, match=r"'tinny': did you mean tiny\? .* other, tiny$"):
        read("mms_ocr://tinny")


def test_names_and_files_of_checkpoints(weights, tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    for given in ("tiny", "mms_ocr://tiny"):
        assert bundled.name_checkpoint(given) == "mms_ocr://tiny"
    (tmp_path / "tiny").write_bytes(b"a file comes first")
    for given in ("tiny", "tiny.pth", "folder/tiny", str(tmp_path / "absent.safetensors")):
        assert bundled.name_checkpoint(given) == given
    with pytest.raises(FileNotFoundError, match="'absent'"):
        bundled.name_checkpoint("absent")


def test_an_installation_without_weights(tmp_path, monkeypatch):
    monkeypatch.setattr(bundled, "FOLDER", tmp_path / "none")
    assert bundled.bundled_names() == []
    with pytest.raises(FileNotFoundError, match="'tiny': this version bundles none"):
        bundled.bundled_file("tiny")
