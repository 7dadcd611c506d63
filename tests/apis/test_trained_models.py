"""Configs of trained models, found by the name of the run or by the width of the encoder."""

import pytest
import torch
from mmengine.config import Config

from mms_ocr.apis.shipped_configs import find_config
from mms_ocr.apis.trained_models import (
    RECOGNITION,
    SEGMENTATION,
    SUPER_RESOLUTION,
    build_trained,
    load_config,
)


def checkpoint(tmp_path, run, width):
    bias = torch.zeros(width)
    path = tmp_path / "w.pth"
    meta = dict(experiment_name=f"{run}_20260101_123456")
    torch.save(dict(state_dict={"backbone.patch_embed.projection.bias": bias}, meta=meta), path)
    return path


@pytest.mark.parametrize(
    ("task", "run", "width", "expected"),
    [
        (RECOGNITION, "mms_vit_s_ctc_words", 192, "mms_vit_s_ctc_words"),
        (RECOGNITION, "mine", 192, None),
        (SEGMENTATION, "mms_vit_s_textseg", 192, "mms_vit_s_textseg"),
        (SEGMENTATION, "mine", 192, "mms_vit_t_rendered"),
        (SEGMENTATION, "mine", 24, None),
        (SUPER_RESOLUTION, "mms_vit_t_words", 384, "mms_vit_t_words"),
        (SUPER_RESOLUTION, "../mms_vit_t_words", 384, "mms_vit_s_rendered"),
        (SUPER_RESOLUTION, "mms_vit_t_textseg", 24, None),
    ],
)
def test_the_config_of_a_checkpoint(tmp_path, task, run, width, expected):
    weights = checkpoint(tmp_path, run, width)
    if expected is None:
        told = f"trained with {run!r}, none of the {task.noun} configs that ship"
        with pytest.raises(ValueError, match=rf"w\.pth is needed \(the checkpoint was {told}\)"):
            load_config(None, weights, task)
    else:
        cfg = load_config(None, weights, task)
        assert cfg.filename == str(find_config(expected, task.folder))


def test_a_given_config_is_copied_and_has_to_be_of_the_task():
    cfg = Config(dict(model=dict(type="mms_ocr.TextSegmentor", decoder=dict())))
    found = load_config(cfg, "none.pth", SEGMENTATION)
    found.model.type = "changed"
    assert cfg.model.type == "mms_ocr.TextSegmentor"
    for task in (RECOGNITION, SUPER_RESOLUTION):
        told = f"the config describes no {task.noun}: its model is mms_ocr.TextSegmentor"
        with pytest.raises(ValueError, match=told):
            load_config(cfg, "none.pth", task)


def test_weights_of_another_task(tmp_path):
    weights = checkpoint(tmp_path, "mms_vit_t_ar_words", 192)
    cfg = load_config(None, weights, SEGMENTATION)
    with pytest.raises(ValueError, match=r"w\.pth does not fit TextSegmentor"):
        build_trained(cfg, weights, "cpu")
