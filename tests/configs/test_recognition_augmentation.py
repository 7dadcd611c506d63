"""What the training pipelines of the recognition configs do to real words."""

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
    """Those of the pipeline between the resize and the packing, by name."""
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
def test_each_step_acts_as_often_as_it_says(steps, image, name, share):
    assert steps[name].prob == share
    step, changed = Compose([steps[name]]), 0
    for _ in range(200):
        found = step(dict(img=image.copy(), img_shape=(32, 128), ori_shape=(20, 90)))["img"]
        assert (found.shape, found.dtype) == (image.shape, np.uint8)
        changed += not np.array_equal(found, image)
    assert changed / 200 == pytest.approx(share, abs=0.12)


def test_colors_change_all_over_and_shapes_stay(steps, image):
    color = dict(steps["color"], prob=1.0)
    found = Compose([color])(dict(img=image.copy(), img_shape=(32, 128)))["img"]
    for part in (image[..., 0] == 220, image[..., 2] == 200, image[..., 0] == 100):
        assert (found[part] == found[part][0]).all()
    assert not np.array_equal(found, image)
