"""Pictures of what a segmentation or super-resolution run predicts."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

import numpy as np
from mmengine.dist import master_only
from mmengine.hooks import Hook
from mmengine.runner import Runner
from mmengine.structures import BaseDataElement

from mms_ocr.registry import HOOKS
from mms_ocr.utils.files import write_image
from mms_ocr.visualization import picture_grid, to_picture


def comparison_rows(
    inputs: Sequence[Any], samples: Sequence[BaseDataElement], fields: Mapping[str, str]
) -> list[list[np.ndarray]]:
    """Pictures of a batch: of every sample the input, then what it holds in ``fields``.

    Args:
        inputs: uint8 BGR images ``(3, H, W)``, as pipelines give them.
        samples: What the model predicted for them.
        fields: Column name → field of a sample.

    Returns:
        A row of uint8 RGB pictures for every sample.

    Raises:
        ValueError: A sample lacks one of the fields.
    """
    rows = []
    for image, sample in zip(inputs, samples):
        missing = [field for field in fields.values() if field not in sample]
        if missing:
            raise ValueError(
                f"there is no {missing[0]!r} to draw among {', '.join(sorted(sample.keys()))}"
            )
        pictures = [to_picture(sample.get(field)) for field in fields.values()]
        rows.append([to_picture(image.flip(0)), *pictures])
    return rows


@HOOKS.register_module()
class ComparisonHook(Hook):
    """Draws input | prediction | truth of the first images after every validation and test.

    The sheets go to ``<work_dir>/<time stamp>/pictures/`` and to every visualization backend that
    the config names.

    Args:
        fields: Column name → field of a sample, after the input; such as
            ``dict(prediction='pred_sem_seg', truth='gt_sem_seg')``. A field is a PixelData or a
            tensor: an RGB image ``(3, H, W)``, or labels ``(1, H, W)``.
        num_images: How many images to draw, at least 1.
        panel: Height and width at which each picture is drawn.

    Raises:
        ValueError: ``num_images`` is less than 1, or there is no field.
    """

    priority = "LOW"

    def __init__(
        self, fields: Mapping[str, str], num_images: int = 16, panel: tuple[int, int] = (64, 256)
    ) -> None:
        if num_images < 1:
            raise ValueError(f"num_images must be at least 1, got {num_images}")
        if not fields:
            raise ValueError("ComparisonHook needs fields to draw, got none")
        self.fields = dict(fields)
        self.num_images = num_images
        self.panel = (int(panel[0]), int(panel[1]))
        self._rows: list[list[np.ndarray]] = []

    def after_val_iter(
        self,
        runner: Runner,
        batch_idx: int,
        data_batch: Any = None,
        outputs: Sequence | None = None,
    ) -> None:
        """Keep the first images."""
        missing = self.num_images - len(self._rows)
        if missing > 0 and outputs:
            inputs = data_batch["inputs"][:missing]
            self._rows += comparison_rows(inputs, outputs[:missing], self.fields)

    def after_val_epoch(self, runner: Runner, metrics: dict[str, float] | None = None) -> None:
        """Draw what was kept."""
        rows, self._rows = self._rows, []
        self._write(runner, rows)

    after_test_iter = after_val_iter
    after_test_epoch = after_val_epoch

    @master_only
    def _write(self, runner: Runner, rows: list[list[np.ndarray]]) -> None:
        if not rows:
            return
        sheet = picture_grid(rows, ["input", *self.fields], cell=self.panel)
        folder = Path(runner.log_dir) / "pictures"
        folder.mkdir(parents=True, exist_ok=True)
        path = folder / f"comparisons_{runner.iter:07d}.png"
        write_image(path, sheet[:, :, ::-1])
        runner.visualizer.add_image("comparisons", sheet, step=runner.iter)
        runner.logger.info(f"pictures of {len(rows)} predictions: {path}")
