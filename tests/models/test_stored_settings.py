"""Models whose weights have the same names and shapes, and which compute something else."""

import pytest
import torch
from tiny_models import ARCH, BACKBONE, CROSS, PIXELS, SELF, mms_config

from mms_ocr.models import PretrainedTextViT, TextViT
from mms_ocr.models.weights import find_encoder, load_model, read_state_dict, write_checkpoint
from mms_ocr.registry import MODELS


def pixel_model(kind="TextSuperResolver", heads=3, decoder=None, **settings):
    return dict(
        type=f"mms_ocr.{kind}",
        backbone=dict(BACKBONE, arch=dict(ARCH, num_heads=heads)),
        decoder=PIXELS | (decoder or {}),
        **settings,
    )


PAIRS = [
    (pixel_model(), pixel_model(heads=4), "num_heads=3"),
    (pixel_model(), pixel_model(residual=False), "residual=True"),
    (pixel_model(), pixel_model(decoder=dict(decoder_num_heads=4)), "decoder_num_heads=2"),
    (
        pixel_model("TextSegmentor"),
        pixel_model("TextSegmentor", decoder=dict(with_positions=False)),
        "with_positions=True",
    ),
    *(
        (
            mms_config(neck=neck),
            mms_config(neck=dict(neck, decoder_num_heads=2)),
            "decoder_num_heads=4",
        )
        for neck in (CROSS, SELF)
    ),
]


@pytest.mark.parametrize("suffix", ["pth", "safetensors"])
@pytest.mark.parametrize(("config", "other", "stored"), PAIRS)
def test_another_setting_is_refused(tmp_path, config, other, stored, suffix):
    path = str(tmp_path / f"weights.{suffix}")
    write_checkpoint(path, MODELS.build(config).state_dict())
    load_model(MODELS.build(config), path)
    model = MODELS.build(other)
    before = {key: value.clone() for key, value in model.state_dict().items()}
    with pytest.raises(ValueError, match=rf"trained with {stored} and this model has"):
        load_model(model, path)
    assert all(torch.equal(value, before[key]) for key, value in model.state_dict().items())


def test_weights_without_stored_settings_are_loaded(tmp_path):
    path = str(tmp_path / "weights.pth")
    weights = dict(MODELS.build(pixel_model()).state_dict())
    torch.save(weights, path)
    model = MODELS.build(pixel_model(heads=4))
    load_model(model, path)
    assert all(torch.equal(value, weights[key]) for key, value in model.state_dict().items())


def test_the_encoder_of_a_model_stores_its_heads(tmp_path):
    path = str(tmp_path / "weights.pth")
    torch.save({"state_dict": MODELS.build(pixel_model()).state_dict()}, path)
    with pytest.raises(ValueError, match="num_heads=3 and this model has num_heads=4"):
        PretrainedTextViT(path)(TextViT(arch=dict(ARCH, num_heads=4), img_size=(16, 32)))
    weights = find_encoder(read_state_dict(path), path).weights
    assert weights._metadata[""]["num_heads"] == 3
    assert weights._metadata[""]["grid"] == [4, 8]
