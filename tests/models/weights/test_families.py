"""Encoders of other libraries: their outputs, by value, and what does not fit."""

import argparse
import re

import pytest
import torch
from mmengine.runner.checkpoint import get_state_dict, save_checkpoint
from mmpretrain.models.backbones import VisionTransformer
from timm_reference import ARCH, DIM, GRID, TimmStyle, mae_checkpoint, mae_positions

from mms_ocr.models import PretrainedTextViT, TextViT
from mms_ocr.models.backbones.positions import resize_positions
from mms_ocr.models.weights import FAMILIES, find_encoder, read_checkpoint, timm_names

IMAGES = (2, 3, 32, 128)


def encoder(**settings):
    settings = dict(arch=ARCH, img_size=(32, 128), out_type="tokens") | settings
    return TextViT(**settings).eval()


def saved(content, path):
    torch.save(content, path)
    return str(path)


def loaded(content, tmp_path, family=None, **settings):
    model = encoder(**settings)
    PretrainedTextViT(saved(content, tmp_path / "weights.pth"), family)(model)
    return model


def under(weights, prefix):
    return {prefix + key: value for key, value in weights.items()}


@torch.no_grad()
def same_outputs(ours, theirs):
    images = torch.randn(IMAGES)
    expected = theirs(images)
    torch.testing.assert_close(ours(images), expected, rtol=1e-4, atol=1e-5)
    return expected


CONTENTS = {
    "timm": lambda model: model.state_dict(),
    "mae": mae_checkpoint,
    "maerec": lambda model: {
        "state_dict": {
            **under(model.state_dict(), "backbone."),
            "decoder.trg_word_emb.weight": torch.randn(9, DIM),
        },
        "meta": {},
    },
}


@pytest.mark.parametrize("family", CONTENTS)
@pytest.mark.parametrize("given", [True, False])
def test_outputs_are_those_of_the_family(tmp_path, family, given):
    theirs = TimmStyle(classes=7 if family == "timm" else 0, positions=mae_positions())
    content = CONTENTS[family](theirs)
    ours = loaded(content, tmp_path, family if given else None)
    expected = same_outputs(ours, theirs)
    assert expected.std() > 0.1
    weights = content.get("model", content.get("state_dict", content))
    assert find_encoder(weights, "here").family == family


@pytest.mark.parametrize("trained", [True, False])
def test_mmpretrain(tmp_path, trained):
    theirs = VisionTransformer(
        arch=ARCH, img_size=IMAGES[2:], patch_size=4, out_type="raw", init_cfg=None
    )
    theirs.eval()  # which does not return it
    with torch.no_grad():
        for parameter in theirs.parameters():
            parameter.copy_(torch.randn_like(parameter) * 0.2)
        if not trained:
            theirs.pos_embed.copy_(mae_positions())
    model = torch.nn.ModuleDict({"backbone": theirs, "neck": torch.nn.Linear(2, 2)})
    path = tmp_path / "mae.pth"
    save_checkpoint({"state_dict": get_state_dict(model)}, str(path))
    ours = encoder()
    PretrainedTextViT(str(path))(ours)
    same_outputs(ours, lambda images: theirs(images)[0])
    part = find_encoder(model.state_dict(), "here")
    assert part.family == "mmpretrain"
    assert part.left_out == ["neck.weight", "neck.bias"]


def test_encoder_round_trip_through_timm_names(tmp_path):
    source = encoder()
    names = timm_names(source.state_dict())
    assert sorted(names) == sorted(TimmStyle().state_dict())
    reference = TimmStyle()
    reference.load_state_dict(names)
    same_outputs(source, reference)
    same_outputs(loaded(names, tmp_path), reference)


# Positions


def test_positions_of_a_square_grid_are_not_reordered(tmp_path):
    """As many positions as patches: whatever grid they were made for, each belongs to its patch."""
    theirs = TimmStyle(positions=mae_positions())
    for family in ("mae", "maerec"):
        ours = loaded(CONTENTS[family](theirs), tmp_path)
        assert torch.equal(ours.pos_embed, mae_positions())
        assert ours.state_dict()._metadata[""]["grid"] == list(GRID)


def test_positions_of_maerec_are_resized_from_its_grid(tmp_path):
    theirs = TimmStyle(positions=mae_positions())
    ours = loaded(CONTENTS["maerec"](theirs), tmp_path, img_size=(32, 256))
    expected = resize_positions(mae_positions(), GRID, (8, 64))
    torch.testing.assert_close(ours.pos_embed.data, expected)
    # The columns of a row of patches, the first half of the old square's row.
    torch.testing.assert_close(
        ours.pos_embed[0, 1:].view(8, 64, DIM)[2, 8:24:2].mean(0),
        mae_positions()[0, 1:].view(8, 32, DIM)[2, 4:12].mean(0),
        atol=0.1,
        rtol=0,
    )


@pytest.mark.parametrize("family", ["mae", "timm", "mmpretrain"])
def test_positions_of_a_square_are_not_resized_by_guess(tmp_path, family):
    theirs = TimmStyle(positions=mae_positions())
    # A run of MAE is distinguished from timm's models by its decoder, which may have been left out.
    content = mae_checkpoint(theirs) if family == "mae" else theirs.state_dict()
    if family == "mmpretrain":
        content = dict(encoder().state_dict())
        content["pos_embed"] = mae_positions()
    with pytest.raises(ValueError, match=r"a square of 16×16.*checkpoint_grid=\(rows, columns\)"):
        loaded(content, tmp_path, img_size=(32, 256))
    ours = loaded(content, tmp_path, img_size=(32, 256), checkpoint_grid=GRID)
    expected = resize_positions(mae_positions(), GRID, (8, 64))
    torch.testing.assert_close(ours.pos_embed.data, expected)


def test_own_checkpoints_without_a_grid(tmp_path):
    """Some tools write weights without metadata; naming the family suffices."""
    source = encoder(img_size=(64, 64))
    content = {key: value.clone() for key, value in source.state_dict().items()}
    with pytest.raises(ValueError, match="a square of 16×16"):
        loaded(content, tmp_path, img_size=(32, 256))
    ours = loaded(content, tmp_path, "mms", img_size=(32, 256))
    expected = resize_positions(source.pos_embed, (16, 16), (8, 64))
    torch.testing.assert_close(ours.pos_embed.data, expected.data)


def broken(content):
    del content["blocks.1.attn.qkv.bias"]
    content["blocks.0.ls1.gamma"] = torch.ones(DIM)
    content["reg_token"] = torch.ones(1, 4, DIM)
    content["norm.weight"] = torch.ones(DIM + 1)
    return content


def test_every_key_that_does_not_fit_is_named(tmp_path):
    with pytest.raises(ValueError, match=r"weights\.pth \(family timm\) does not fit") as caught:
        loaded(broken(TimmStyle().state_dict()), tmp_path)
    message = str(caught.value)
    assert "1 missing (layers.1.attn.qkv.bias)" in message
    assert "2 unknown (blocks.0.ls1.gamma, reg_token)" in message
    assert f"1 of another shape (ln1.weight ({DIM + 1},) instead of ({DIM},))" in message
    assert "\n" not in message


# What does not fit


def test_another_patch_size(tmp_path):
    content = TimmStyle().state_dict()
    content["patch_embed.proj.weight"] = torch.randn(DIM, 3, 16, 16)
    with pytest.raises(ValueError, match=r"projection\.weight \(24, 3, 16, 16\) instead of"):
        loaded(content, tmp_path)


def test_an_unknown_family_and_one_that_the_keys_contradict():
    with pytest.raises(ValueError, match=re.escape(f"choose from {', '.join(FAMILIES)}")):
        PretrainedTextViT("a.pth", "moco")
    with pytest.raises(ValueError, match="of family timm, and family='mms' was asked for"):
        find_encoder(TimmStyle().state_dict(), "weights.pth", "mms")


# Files


def test_the_options_of_a_run_of_mae_are_read(tmp_path):
    path = saved(mae_checkpoint(TimmStyle()), tmp_path / "checkpoint-19.pth")
    read = read_checkpoint(path)
    assert read["epoch"] == 19
    assert read["args"] == argparse.Namespace(model="mae_vit_small", blr=1.5e-4, norm_pix_loss=True)


class Carrying:
    def __reduce__(self):
        return eval, ("1 + 1",)


@pytest.mark.parametrize("where", ["options", "beside"])
def test_code_in_a_file_of_another_family_is_refused(tmp_path, where):
    content = mae_checkpoint(TimmStyle())
    if where == "options":
        content["args"].model = Carrying()
    else:
        content["more"] = Carrying()
    with pytest.raises(ValueError, match=r"was refused: it carries the object .*eval"):
        loaded(content, tmp_path)
