"""Pictures of what a pretraining run reconstructs."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path

import numpy as np
from mmengine.dist import master_only
from mmengine.hooks import Hook
from mmengine.runner import Runner
from mmengine.structures import BaseDataElement

from mms_ocr.registry import HOOKS
from mms_ocr.utils.files import write_image
from mms_ocr.visualization import picture_grid, to_picture


def draw_reconstructions(samples: Sequence[BaseDataElement], scale: int = 2) -> np.ndarray:
    """Draw original | masked | reconstruction, a row a sample; uint8 RGB.

    Args:
        samples: Samples of :meth:`mms_ocr.models.MMS.predict`, at least one.
        scale: Integer factor of enlargement.
    """
    names = list(samples[0].masked_image)
    rows = []
    for sample in samples:
        images = [sample.image]
        for name in names:
            images += [sample.masked_image[name], sample.reconstruction[name]]
        rows.append([to_picture(image) for image in images])
    pairs = [(f"{name} mask", "reconstruction") for name in names]
    return picture_grid(rows, ["original", *(label for pair in pairs for label in pair)], scale)


@HOOKS.register_module()
class ReconstructionHook(Hook):
    """Draws original | masked | reconstruction after every validation and test.

    The first validation images are drawn under the masks of the validation, so that the pictures of
    a run can be compared. They go to ``<work_dir>/<time stamp>/pictures/`` and to every
    visualization backend that the config names.

    Args:
        num_images: How many validation images to draw, at least 1.
        scale: Whole factor of enlargement.

    Raises:
        ValueError: ``num_images`` is less than 1.
    """

    priority = "LOW"

    def __init__(self, num_images: int = 8, scale: int = 2) -> None:
        if num_images < 1:
            raise ValueError(f"num_images must be at least 1, got {num_images}")
        self.num_images = num_images
        self.scale = scale
        self._samples: list[BaseDataElement] = []

    def after_val_iter(
        self,
        runner: Runner,
        batch_idx: int,
        data_batch: dict | tuple | list | None = None,
        outputs: Sequence | None = None,
    ) -> None:
        """Keep the first samples."""
        missing = self.num_images - len(self._samples)
        if missing > 0 and outputs:
            self._samples.extend(outputs[:missing])

    def after_val_epoch(self, runner: Runner, metrics: dict[str, float] | None = None) -> None:
        """Draw what was kept."""
        samples, self._samples = self._samples, []
        self._write(runner, samples)

    after_test_iter = after_val_iter
    after_test_epoch = after_val_epoch

    @master_only
    def _write(self, runner: Runner, samples: list[BaseDataElement]) -> None:
        if not samples:
            return
        sheet = draw_reconstructions(samples, self.scale)
        folder = Path(runner.log_dir) / "pictures"
        folder.mkdir(parents=True, exist_ok=True)
        path = folder / f"reconstructions_{runner.iter:07d}.png"
        write_image(path, sheet[:, :, ::-1])
        runner.visualizer.add_image("reconstructions", sheet, step=runner.iter)
        runner.logger.info(f"pictures of {len(samples)} reconstructions: {path}")
