"""Pictures of predictions beside the truth, for segmentation and super-resolution alike."""

import logging
from types import SimpleNamespace

import cv2
import numpy as np
import pytest
import torch
from mmengine.structures import BaseDataElement, PixelData

from mms_ocr.engine import ComparisonHook
from mms_ocr.engine.hooks.picture_hooks import comparison_rows
from mms_ocr.registry import HOOKS
from mms_ocr.visualization import picture_grid, to_picture

FIELDS = dict(prediction="pred_sem_seg", truth="gt_sem_seg")


def inputs(count):
    return torch.randint(0, 256, (count, 3, 32, 128), dtype=torch.uint8)


def sample():
    element = BaseDataElement()
    for field in FIELDS.values():
        element.set_field(PixelData(data=torch.randint(0, 2, (1, 40, 90))), field)
    return element


@pytest.fixture
def runner(tmp_path):
    shown = []
    visualizer = SimpleNamespace(add_image=lambda *args, **kwargs: shown.append(args))
    return SimpleNamespace(
        log_dir=str(tmp_path),
        iter=120,
        visualizer=visualizer,
        logger=logging.getLogger("pictures"),
        shown=shown,
    )


@pytest.mark.parametrize("part", ["val", "test"])
def test_the_first_images_are_drawn(tmp_path, runner, part):
    hook = HOOKS.build(dict(type="mms_ocr.ComparisonHook", fields=FIELDS, num_images=3))
    images, samples = inputs(4), [sample() for _ in range(4)]
    for chosen in (slice(0, 2), slice(2, 4)):
        batch = dict(inputs=images[chosen])
        getattr(hook, f"after_{part}_iter")(runner, 0, batch, samples[chosen])
    getattr(hook, f"after_{part}_epoch")(runner, {})
    rows = [
        [
            to_picture(image.flip(0)),
            to_picture(element.pred_sem_seg),
            to_picture(element.gt_sem_seg),
        ]
        for image, element in zip(images[:3], samples)
    ]
    expected = picture_grid(rows, ["input", "prediction", "truth"], cell=(64, 256))
    (path,) = tmp_path.rglob("*.png")
    assert path.relative_to(tmp_path).as_posix() == "pictures/comparisons_0000120.png"
    np.testing.assert_array_equal(cv2.imread(str(path))[..., ::-1], expected)
    np.testing.assert_array_equal(runner.shown[0][1], expected)


def test_every_validation_starts_anew(tmp_path, runner):
    hook = ComparisonHook(FIELDS, num_images=1)
    for runner.iter in (1, 2):
        hook.after_val_iter(runner, 0, dict(inputs=list(inputs(1))), [sample()])
        hook.after_val_epoch(runner)
    assert len(list(tmp_path.rglob("*.png"))) == 2


def test_nothing_to_draw(tmp_path, runner):
    ComparisonHook(FIELDS).after_val_epoch(runner)
    assert not list(tmp_path.iterdir())


def test_images_of_super_resolution():
    element = BaseDataElement()
    element.pred_img = torch.rand(3, 32, 128)
    ((small, large),) = comparison_rows(inputs(1), [element], dict(sharp="pred_img"))
    assert small.shape == large.shape == (32, 128, 3)


def test_settings_and_samples_that_cannot_be():
    with pytest.raises(ValueError, match="num_images must be at least 1, got 0"):
        ComparisonHook(FIELDS, num_images=0)
    with pytest.raises(ValueError, match="at least one field"):
        ComparisonHook({})
    with pytest.raises(ValueError, match="no field 'pred_img'"):
        comparison_rows(inputs(1), [sample()], dict(sharp="pred_img"))
