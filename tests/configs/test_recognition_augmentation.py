"""Augmentation of real words in the training pipelines of the recognition configs."""

from pathlib import Path

import mmengine.registry
import numpy as np
import pytest
from mmcv.transforms import Compose
from mmengine.config import Config

import mms_ocr.registry  # noqa: F401

pytest.importorskip("mmocr")

CONFIGS = Path(__file__).resolve().parents[2] / "configs"


@pytest.fixture
def steps():
    """Return the transforms between resizing and packing, by name."""
    mmengine.registry.init_default_scope("mms_ocr")
    cfg = Config.fromfile(CONFIGS / "textrecog" / "mms_vit_t_ar_words.py")
    pipeline = cfg.train_dataloader.dataset.pipeline
    assert pipeline[0].type == "mms_ocr.ResizeWordImage"
    assert pipeline[-1].type == "mms_ocr.PackLabelledWord"
    warp, blur, color = pipeline[1:-1]
    return dict(warp=warp, blur=blur, color=color)


@pytest.fixture
def image():
    """A bright bar and a colored one on gray, far from every edge."""
    image = np.full((32, 128, 3), 100, np.uint8)
    image[10:22, 30:50] = 220
    image[10:22, 70:90] = (40, 80, 200)
    return image


@pytest.mark.parametrize(("name", "share"), [("warp", 0.5), ("blur", 0.25), ("color", 0.25)])
def test_each_transform_acts_with_its_probability(steps, image, name, share):
    assert steps[name].prob == share
    step, changed = Compose([steps[name]]), 0
    for _ in range(200):
        result = step(dict(img=image.copy(), img_shape=(32, 128), ori_shape=(20, 90)))["img"]
        assert (result.shape, result.dtype) == (image.shape, np.uint8)
        changed += not np.array_equal(result, image)
    assert changed / 200 == pytest.approx(share, abs=0.12)


def test_color_jitter_changes_colors_and_keeps_shapes(steps, image):
    color = dict(steps["color"], prob=1.0)
    result = Compose([color])(dict(img=image.copy(), img_shape=(32, 128)))["img"]
    for part in (image[..., 0] == 220, image[..., 2] == 200, image[..., 0] == 100):
        assert (result[part] == result[part][0]).all()
    assert not np.array_equal(result, image)
