"""Tools that show what a config means: its settings, its data and its operations."""

import argparse
import subprocess
import sys

import cv2
import numpy as np
import pytest
import torch
from made_images import encode, write_jsonl
from mmengine.config import Config

from mms_ocr.models import TextViT

ARCH = dict(embed_dims=24, num_layers=2, num_heads=3, feedforward_channels=48)


def vit_macs(num_tokens, num_patches, width=24, layers=2, hidden=48, patch_values=48):
    """Multiply-adds of a TextViT, by hand: patches, then each layer's products."""
    attention = 4 * num_tokens * width * width + 2 * num_tokens * num_tokens * width
    return num_patches * patch_values * width + layers * (
        attention + 2 * num_tokens * width * hidden
    )


def test_operations_of_an_encoder_are_those_counted_by_hand(tool):
    counted = tool("analysis_tools/get_flops.py").count
    encoder = TextViT(arch=ARCH).eval()
    total = counted(encoder, 2, torch.zeros(2, 3, 32, 128))["total"]
    assert total == 2 * vit_macs(num_tokens=257, num_patches=256)


def test_pretraining_counts_visible_patches_and_prints_the_whole_image_beside(
    tool, tmp_path, repository, capsys
):
    base = repository / "configs/mms/pretrain_vit_t.py"
    config = tmp_path / "c.py"
    arch = dict(ARCH, _delete_=True)
    config.write_text(f"_base_ = {str(base)!r}\nmodel = dict(backbone=dict(arch={arch!r}))\n")
    tool("analysis_tools/get_flops.py").report(
        argparse.Namespace(config=str(config), shape=None, cfg_options=None)
    )
    rows = {}
    for line in capsys.readouterr().out.splitlines():
        if line.startswith("| ") and not line.startswith(("| part", "| ---")):
            name, parameters, flops = line.strip("| ").split(" | ")
            rows[name] = (int(parameters.replace(",", "")), float(flops.replace(",", "")))
    parameters = sum(each.numel() for each in TextViT(arch=ARCH).parameters())
    # Visible patches and the class token pass the layers; all 256 patches are embedded. Random
    # patches leave a quarter, blocks and spans two fifths.
    random, other, whole = (2 * vit_macs(tokens, 256) / 1e6 for tokens in (65, 103, 257))
    seen = (random + 2 * other) / 3
    assert rows["backbone"] == (parameters, pytest.approx(seen, abs=0.051))
    assert rows["backbone, whole image"] == (parameters, pytest.approx(whole, abs=0.051))
    assert rows["total"][0] == parameters + rows["neck"][0]
    assert rows["total"][1] == pytest.approx(rows["backbone"][1] + rows["neck"][1], abs=0.11)


def test_printed_config_is_a_config_with_the_same_settings(repository, tmp_path):
    config = "configs/mms/pretrain_vit_s_words.py"
    program = [sys.executable, "tools/analysis_tools/print_config.py", "pretrain_vit_s_words"]
    done = subprocess.run(
        [*program, "--data", "crops", "--cfg-options", "train_dataloader.batch_size=3"],
        cwd=repository,
        capture_output=True,
        text=True,
        check=False,
    )
    assert done.returncode == 0, done.stderr
    (tmp_path / "printed.py").write_text(done.stdout)
    expected = Config.fromfile(repository / config)
    expected.train_dataloader.batch_size = 3
    for part in ("train", "val", "test"):
        expected[f"{part}_dataloader"].dataset.path = ["crops"]
    assert Config.fromfile(tmp_path / "printed.py").to_dict() == expected.to_dict()


@pytest.fixture
def browse(tool, tmp_path):
    """Draws the sheet of a config, and returns the pictures in its cells, BGR, by row."""

    def draw(config, *, num=2, part="train", data=None, cell=(64, 256)):
        out = tmp_path / "sheet.png"
        tool("analysis_tools/browse_dataset.py").browse(
            argparse.Namespace(
                config=config, data=data, part=part, out=str(out), num=num, panel=cell, seed=0,
                cfg_options=None,
            )
        )  # fmt: skip
        sheet, gap = cv2.imread(str(out)), 4
        header = (len(sheet) - gap) % (cell[0] + gap)
        return [
            [
                sheet[top : top + cell[0], left : left + cell[1]]
                for left in range(gap, sheet.shape[1], cell[1] + gap)
            ]
            for top in range(header + gap, len(sheet), cell[0] + gap)
        ]

    return draw


def test_data_of_pretraining_have_the_masks_of_the_config(browse):
    rows = browse("mms/ablation/joint")
    assert [len(row) for row in rows] == [7, 7]  # the image, three views and their names
    for image, *views in rows:
        for view in views[::2]:
            hidden = (view.reshape(8, 8, 32, 8, 3) == 128).all(axis=(1, 3, 4))
            visible = ~hidden.repeat(8, 0).repeat(8, 1)
            assert 128 < hidden.sum() < 240
            assert (view[visible] == image[visible]).all()


def test_data_of_the_other_tasks_are_beside_their_truth(browse, tmp_path):
    pytest.importorskip("mmocr")
    plain = [encode(np.full((32, 128, 3), 8 * number, np.uint8)) for number in range(24)]
    data = [str(write_jsonl(tmp_path / "words", plain, ["Il"] * 24))]
    rows = browse("mms_vit_s_ctc_words", data=data, part="val", num=9)
    assert 0 < len(rows) < 9  # a tenth is held out
    (image, label), *_ = rows
    assert len(np.unique(image)) == 1
    assert label.max() == 255
    assert label.min() == 0
    for row in browse("mms_vit_t_seg_rendered"):
        assert len(row) == 2
        gray = row[1][:, :, 0]
        assert (row[1] == gray[:, :, None]).all()
        assert 0.02 < (gray > 127).mean() < 0.9
    for image, sharp in browse("mms_vit_s_sr_rendered", cell=(32, 128)):
        small = cv2.resize(sharp, (64, 16), interpolation=cv2.INTER_AREA).astype(int)
        difference = np.abs(cv2.resize(image, (64, 16)).astype(int) - small)
        assert difference.mean() < 30


def test_ignored_pixels_of_masks_are_red(tool):
    share = torch.tensor([[[0, 120, 240, 255]]], dtype=torch.uint8)
    drawn = tool("analysis_tools/browse_dataset.py").share_picture(share)
    assert drawn.tolist() == [[[0] * 3, [127] * 3, [255] * 3, [255, 0, 0]]]


@pytest.mark.parametrize(
    ("config", "changed", "value"),
    [
        ("pretrain_vit_t", dict(num=0), "got 0"),
        ("pretrain_vit_t", dict(data=["x"]), "pretrain_vit_t"),
        ("pretrain_vit_s_words", dict(data=["nowhere"]), "nowhere"),
        ("nowhere", {}, "'nowhere'"),
    ],
)
def test_browsing_names_what_cannot_be_drawn(browse, tmp_path, config, changed, value):
    with pytest.raises((ValueError, OSError), match=value):
        browse(config, **changed)
    assert not (tmp_path / "sheet.png").exists()
