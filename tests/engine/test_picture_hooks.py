"""Pictures of predictions, for pretraining, segmentation and super-resolution."""

import logging
from types import SimpleNamespace

import cv2
import numpy as np
import pytest
import torch
from mmengine.structures import BaseDataElement, PixelData

from mms_ocr.engine import ComparisonHook, ReconstructionHook
from mms_ocr.engine.hooks.picture_hooks import comparison_rows, draw_reconstructions
from mms_ocr.registry import HOOKS
from mms_ocr.visualization import GAP, HEADER, picture_grid, to_picture

FIELDS = dict(prediction="pred_sem_seg", truth="gt_sem_seg")
MASKS = ("random_patch", "span")


def inputs(count):
    return torch.randint(0, 256, (count, 3, 32, 128), dtype=torch.uint8)


def segmented():
    element = BaseDataElement()
    for field in FIELDS.values():
        element.set_field(PixelData(data=torch.randint(0, 2, (1, 40, 90))), field)
    return element


def reconstructed():
    element = BaseDataElement()
    element.image = inputs(1)[0]
    element.masked_image = {mask: inputs(1)[0] for mask in MASKS}
    element.reconstruction = {mask: inputs(1)[0] for mask in MASKS}
    return element


@pytest.fixture
def runner(tmp_path):
    shown = []
    visualizer = SimpleNamespace(add_image=lambda *args, **kwargs: shown.append(args))
    logger = logging.getLogger("pictures")
    return SimpleNamespace(
        log_dir=str(tmp_path), iter=120, visualizer=visualizer, logger=logger, shown=shown
    )


def read(folder, name):
    (path,) = folder.rglob("*.png")
    assert path.relative_to(folder).as_posix() == f"pictures/{name}_0000120.png"
    return cv2.imread(str(path))[..., ::-1]


@pytest.mark.parametrize("part", ["val", "test"])
def test_first_predictions_are_drawn(tmp_path, runner, part):
    hook = HOOKS.build(dict(type="mms_ocr.ComparisonHook", fields=FIELDS, num_images=3))
    images, samples = inputs(4), [segmented() for _ in range(4)]
    for half in (slice(0, 2), slice(2, 4)):
        getattr(hook, f"after_{part}_iter")(runner, 0, dict(inputs=images[half]), samples[half])
    getattr(hook, f"after_{part}_epoch")(runner, {})
    rows = [
        [to_picture(x) for x in (image.flip(0), element.pred_sem_seg, element.gt_sem_seg)]
        for image, element in zip(images[:3], samples)
    ]
    expected = picture_grid(rows, ["input", "prediction", "truth"], cell=(64, 256))
    np.testing.assert_array_equal(read(tmp_path, "comparisons"), expected)
    np.testing.assert_array_equal(runner.shown[0][1], expected)


def window(sheet, row, column, scale):
    top = HEADER + GAP + row * (32 * scale + GAP)
    left = GAP + column * (128 * scale + GAP)
    return sheet[top : top + 32 * scale : scale, left : left + 128 * scale : scale]


@pytest.mark.parametrize("part", ["val", "test"])
@pytest.mark.parametrize("scale", [1, 2])
def test_first_reconstructions_are_drawn(tmp_path, runner, part, scale):
    hook = HOOKS.build(dict(type="mms_ocr.ReconstructionHook", num_images=3, scale=scale))
    samples = [reconstructed() for _ in range(5)]
    for batch in (samples[:2], samples[2:]):
        getattr(hook, f"after_{part}_iter")(runner, 0, dict(inputs=batch), batch)
    getattr(hook, f"after_{part}_epoch")(runner, {})
    sheet = read(tmp_path, "reconstructions")
    assert sheet.shape[0] == HEADER + GAP + 3 * (32 * scale + GAP)
    for row, element in enumerate(samples[:3]):
        columns = [element.image]
        for mask in MASKS:
            columns += [element.masked_image[mask], element.reconstruction[mask]]
        for column, image in enumerate(columns):
            drawn = window(sheet, row, column, scale)
            np.testing.assert_array_equal(drawn, image.permute(1, 2, 0).numpy())
    np.testing.assert_array_equal(runner.shown[0][1], sheet)


def test_every_validation_draws_its_own_images(tmp_path, runner):
    hook = ReconstructionHook(num_images=1)
    for runner.iter in (1, 2):
        element = reconstructed()
        hook.after_val_iter(runner, 0, dict(inputs=[element.image]), [element])
        hook.after_val_epoch(runner)
        sheet = cv2.imread(str(tmp_path / f"pictures/reconstructions_{runner.iter:07d}.png"))
        np.testing.assert_array_equal(sheet[..., ::-1], draw_reconstructions([element], 2))


@pytest.mark.parametrize("hook", [ReconstructionHook(), ComparisonHook(FIELDS)])
def test_no_samples_draw_no_picture(tmp_path, runner, hook):
    hook.after_val_epoch(runner)
    assert not list(tmp_path.iterdir())


def test_images_of_super_resolution():
    element = BaseDataElement()
    element.pred_img = torch.rand(3, 32, 128)
    ((small, large),) = comparison_rows(inputs(1), [element], dict(sharp="pred_img"))
    assert small.shape == large.shape == (32, 128, 3)


def test_impossible_settings_and_samples():
    with pytest.raises(ValueError, match="got 0"):
        ComparisonHook(FIELDS, num_images=0)
    with pytest.raises(ValueError, match="got none"):
        ComparisonHook({})
    with pytest.raises(ValueError, match="'pred_img'"):
        comparison_rows(inputs(1), [segmented()], dict(sharp="pred_img"))
