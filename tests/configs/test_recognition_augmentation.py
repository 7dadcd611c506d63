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
    cfg = Config.fromfile(CONFIGS / "recognition" / "mms_vit_t_ar_words.py")
    pipeline = cfg.train_dataloader.dataset.pipeline
    assert pipeline[0].type == "mms_ocr.ResizeWordImage"
    assert pipeline[-1].type == "mms_ocr.PackLabelledWord"
    warp, blur, colour = pipeline[1:-1]
    return dict(warp=warp, blur=blur, colour=colour)


@pytest.fixture
def image():
    """A bright bar and a coloured one on grey, far from every edge."""
    image = np.full((32, 128, 3), 100, np.uint8)
    image[10:22, 30:50] = 220
    image[10:22, 70:90] = (40, 80, 200)
    return image


def run(step, image):
    found = Compose([step])(dict(img=image.copy(), img_shape=(32, 128), ori_shape=(20, 90)))["img"]
    assert (found.shape, found.dtype) == (image.shape, np.uint8)
    return np.ascontiguousarray(found)


@pytest.mark.parametrize(("name", "share"), [("warp", 0.5), ("blur", 0.25), ("colour", 0.25)])
def test_each_step_acts_as_often_as_it_says(steps, image, name, share):
    step = steps[name]
    assert step.prob == share
    step = Compose([step])
    changed = 0
    for _ in range(200):
        found = step(dict(img=image.copy(), img_shape=(32, 128), ori_shape=(20, 90)))["img"]
        changed += not np.array_equal(found, image)
    # One in twenty that should lose resolution keeps it all.
    expected = share * (0.95 if name == "blur" else 1)
    assert changed / 200 == pytest.approx(expected, abs=0.12)


def test_resolution_is_lost_as_often_at_the_end_as_at_the_start(steps, image):
    """A factor that PyramidRescale draws by itself ends up as 0."""
    rescale = Compose([steps["blur"].transforms[0]])
    sharpness = []
    for _ in range(120):
        found = rescale(dict(img=image.copy()))["img"].astype(float)
        sharpness.append(np.abs(np.diff(found, axis=1)).max())
    levels = {round(value, -1) for value in sharpness}
    assert len(levels) >= 4
    for part in (sharpness[:60], sharpness[60:]):
        assert 0.05 < np.mean(np.array(part) == max(sharpness)) < 0.4


def test_noise_and_motion_are_what_they_say(steps, image):
    noise, motion = (step.transforms[0] for step in steps["blur"].transforms[1:])
    noise = run(noise, image).astype(float) - image
    assert noise.std() == pytest.approx(4.5, rel=0.1)
    assert abs(noise.mean()) < 0.3
    assert not np.array_equal(noise[..., 0], noise[..., 1])
    blurred = run(motion, image).astype(float)
    assert blurred.sum() == pytest.approx(image.sum(), rel=0.01)
    assert 3 <= np.abs(blurred - image).max() < 120


def test_colours_change_all_over_and_shapes_stay(steps, image):
    found = run(steps["colour"].transforms[0], image)
    for part in (image[..., 0] == 220, image[..., 2] == 200, image[..., 0] == 100):
        assert (found[part] == found[part][0]).all()
    assert not np.array_equal(found, image)
