"""The tool that draws input, prediction and truth of a checkpoint."""

import sys

import cv2
import numpy as np
import pytest
import torch
from mmengine.config import Config
from tiny_models import write_pixel_config

from mms_ocr.apis.bundled_configs import config_folder, find_config
from mms_ocr.datasets import collate_words
from mms_ocr.engine.hooks.picture_hooks import comparison_rows
from mms_ocr.registry import DATASETS, MODELS
from mms_ocr.visualization import picture_grid

CONFIGS = ["segmentation/mms_vit_s_seg_rendered", "super_resolution/mms_vit_s_sr_rendered"]


@pytest.fixture
def compare_pixels(tool):
    return tool("analysis_tools/compare_pixels.py")


def drawn(compare_pixels, monkeypatch, *arguments):
    monkeypatch.setattr(sys, "argv", ["compare_pixels.py", *map(str, arguments)])
    compare_pixels.compare(compare_pixels.parse_args())


@pytest.mark.parametrize("name", CONFIGS)
def test_a_checkpoint_of_either_task(compare_pixels, monkeypatch, tmp_path, name):
    config = write_pixel_config(tmp_path / "small.py", find_config(name))
    cfg = Config.fromfile(config)
    model = MODELS.build(cfg.model).eval()
    torch.save(dict(state_dict=model.state_dict()), tmp_path / "weights.pth")
    out = tmp_path / "out" / "sheet.png"
    arguments = (config, tmp_path / "weights.pth", "--num", 3, "--out", out, "--device", "cpu")
    drawn(compare_pixels, monkeypatch, *arguments)
    words = DATASETS.build(cfg.test_dataloader.dataset)
    batch = collate_words([words[index] for index in range(3)])
    fields = compare_pixels.drawn_fields(cfg)
    rows = comparison_rows(batch["inputs"], model.test_step(batch), fields)
    expected = picture_grid(rows, ["input", *fields], cell=(64, 256))
    np.testing.assert_array_equal(cv2.imread(str(out))[..., ::-1], expected)


def test_invalid_inputs_raise(compare_pixels, monkeypatch, tmp_path):
    with pytest.raises(ValueError, match=r"has no mms_ocr.ComparisonHook"):
        drawn(compare_pixels, monkeypatch, config_folder() / "mms" / "pretrain_vit_t.py", "a.pth")
    config = config_folder() / f"{CONFIGS[0]}.py"
    with pytest.raises(ValueError, match="--num must be at least 1"):
        drawn(compare_pixels, monkeypatch, config, "a.pth", "--num", 0)
    with pytest.raises(ValueError, match="there is no device 'cuda:99'"):
        drawn(compare_pixels, monkeypatch, config, "a.pth", "--device", "cuda:99")
    with pytest.raises(FileNotFoundError, match="no config 'nothing'"):
        drawn(compare_pixels, monkeypatch, "nothing", "a.pth")
    with pytest.raises(FileNotFoundError, match="no checkpoint"):
        drawn(compare_pixels, monkeypatch, config, tmp_path / "a.pth")
    with pytest.raises(ValueError, match=r"--data was given, and .* reads no files"):
        drawn(compare_pixels, monkeypatch, config, "a.pth", "--data", tmp_path)
