"""Pictures of a run."""

import logging
from types import SimpleNamespace

import cv2
import numpy as np
import pytest
import torch
from mmengine.structures import BaseDataElement

from mms_ocr.engine import ReconstructionHook
from mms_ocr.engine.hooks.picture_hooks import draw_reconstructions
from mms_ocr.registry import HOOKS
from mms_ocr.visualization import GAP, HEADER

NAMES = ("random_patch", "span")


def picture():
    return torch.randint(0, 256, (3, 32, 128), dtype=torch.uint8)


def sample():
    element = BaseDataElement()
    element.image = picture()
    element.masked_image = {name: picture() for name in NAMES}
    element.reconstruction = {name: picture() for name in NAMES}
    return element


class Runner(SimpleNamespace):
    def __init__(self, folder):
        self.shown = []
        visualizer = SimpleNamespace(add_image=lambda *args, **kwargs: self.shown.append(args))
        logger = logging.getLogger("pictures")
        super().__init__(log_dir=str(folder), iter=120, visualizer=visualizer, logger=logger)


def window(sheet, row, column, scale):
    top = HEADER + GAP + row * (32 * scale + GAP)
    left = GAP + column * (128 * scale + GAP)
    return sheet[top : top + 32 * scale : scale, left : left + 128 * scale : scale]


@pytest.mark.parametrize("part", ["val", "test"])
@pytest.mark.parametrize("scale", [1, 2])
def test_the_first_images_are_drawn(tmp_path, part, scale):
    hook = HOOKS.build(dict(type="mms_ocr.ReconstructionHook", num_images=3, scale=scale))
    runner, samples = Runner(tmp_path), [sample() for _ in range(5)]
    for batch in (samples[:2], samples[2:]):
        getattr(hook, f"after_{part}_iter")(runner, 0, None, batch)
    getattr(hook, f"after_{part}_epoch")(runner, {})
    (path,) = tmp_path.rglob("*.png")
    assert path.relative_to(tmp_path).as_posix() == "pictures/reconstructions_0000120.png"
    sheet = cv2.imread(str(path))[..., ::-1]
    assert sheet.shape[0] == HEADER + GAP + 3 * (32 * scale + GAP)
    for row, element in enumerate(samples[:3]):
        columns = [element.image]
        for name in NAMES:
            columns += [element.masked_image[name], element.reconstruction[name]]
        for column, expected in enumerate(columns):
            drawn = window(sheet, row, column, scale)
            assert np.array_equal(drawn, expected.permute(1, 2, 0).numpy())
    assert np.array_equal(runner.shown[0][1], sheet)


def test_every_validation_starts_anew(tmp_path):
    hook, runner = ReconstructionHook(num_images=1), Runner(tmp_path)
    for iteration in (1, 2):
        runner.iter = iteration
        element = sample()
        hook.after_val_iter(runner, 0, None, [element])
        hook.after_val_epoch(runner)
        sheet = cv2.imread(str(tmp_path / f"pictures/reconstructions_{iteration:07d}.png"))
        assert np.array_equal(sheet[..., ::-1], draw_reconstructions([element], 2))


def test_nothing_to_draw(tmp_path):
    ReconstructionHook().after_val_epoch(Runner(tmp_path))
    assert not list(tmp_path.iterdir())


def test_no_images():
    with pytest.raises(ValueError, match="num_images must be at least 1, got 0"):
        ReconstructionHook(num_images=0)
