"""Hooks that draw what a run predicts in validations and tests."""

from __future__ import annotations

from abc import ABC, abstractmethod
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

import numpy as np
from mmengine.dist import is_main_process
from mmengine.hooks import Hook
from mmengine.runner import Runner
from mmengine.structures import BaseDataElement

from mms_ocr.registry import HOOKS
from mms_ocr.utils.files import write_image
from mms_ocr.visualization import picture_grid, to_picture


class _PictureHook(Hook, ABC):
    """Draws the first images of every validation and test.

    The sheets go to ``<work_dir>/<time stamp>/pictures/`` and to the visualization backends of the
    config. Raises ValueError if ``num_images`` is less than 1.
    """

    priority = "LOW"
    name: str

    def __init__(self, num_images: int) -> None:
        if num_images < 1:
            raise ValueError(f"num_images must be at least 1, got {num_images}")
        self.num_images = num_images
        self._inputs: list[Any] = []
        self._samples: list[BaseDataElement] = []

    @abstractmethod
    def draw(self, inputs: list[Any], samples: list[BaseDataElement]) -> np.ndarray:
        """Draw a sheet, uint8 RGB."""

    def after_val_iter(
        self, runner: Runner, batch_idx: int, data_batch: Any = None, outputs: Any = None
    ) -> None:
        """Keep the first images."""
        missing = self.num_images - len(self._samples)
        if missing > 0 and outputs:
            self._inputs.extend(data_batch["inputs"][:missing])
            self._samples.extend(outputs[:missing])

    def after_val_epoch(self, runner: Runner, metrics: dict[str, float] | None = None) -> None:
        """Draw them."""
        inputs, samples = self._inputs, self._samples
        self._inputs, self._samples = [], []
        if not samples or not is_main_process():
            return
        sheet = self.draw(inputs, samples)
        path = Path(runner.log_dir, "pictures", f"{self.name}_{runner.iter:07d}.png")
        path.parent.mkdir(parents=True, exist_ok=True)
        write_image(path, sheet[:, :, ::-1])
        runner.visualizer.add_image(self.name, sheet, step=runner.iter)
        runner.logger.info(f"pictures of {len(samples)} images: {path}")

    after_test_iter = after_val_iter
    after_test_epoch = after_val_epoch


@HOOKS.register_module()
class ReconstructionHook(_PictureHook):
    """Draws original | masked | reconstruction after every validation and test.

    Every validation has the same images and masks, so that the pictures of a run can be compared.
    They are enlarged by the integer factor ``scale``.
    """

    name = "reconstructions"

    def __init__(self, num_images: int = 8, scale: int = 2) -> None:
        super().__init__(num_images)
        self.scale = scale

    def draw(self, inputs: list[Any], samples: list[BaseDataElement]) -> np.ndarray:
        """Draw the samples, which hold their images."""
        return draw_reconstructions(samples, self.scale)


def draw_reconstructions(samples: Sequence[BaseDataElement], scale: int = 2) -> np.ndarray:
    """Draw original | masked | reconstruction, a row for each sample of MMS; uint8 RGB."""
    masks = list(samples[0].masked_image)
    rows = []
    for sample in samples:
        images = [sample.image]
        for mask in masks:
            images += [sample.masked_image[mask], sample.reconstruction[mask]]
        rows.append([to_picture(image) for image in images])
    labels = [label for mask in masks for label in (f"{mask} mask", "reconstruction")]
    return picture_grid(rows, ["original", *labels], scale)


@HOOKS.register_module()
class ComparisonHook(_PictureHook):
    """Draws input | prediction | truth after every validation and test.

    Args:
        fields: Column name → field of a sample, after the input; such as
            ``dict(prediction='pred_sem_seg', truth='gt_sem_seg')``. A field is a PixelData or a
            tensor: an RGB image ``(3, H, W)``, or labels ``(1, H, W)``.
        num_images: Number of images to draw, at least 1.
        panel: Height and width of each picture.

    Raises:
        ValueError: There is no field.
    """

    name = "comparisons"

    def __init__(
        self, fields: Mapping[str, str], num_images: int = 16, panel: tuple[int, int] = (64, 256)
    ) -> None:
        super().__init__(num_images)
        if not fields:
            raise ValueError("ComparisonHook needs at least one field, got none")
        self.fields = dict(fields)
        self.panel = (int(panel[0]), int(panel[1]))

    def draw(self, inputs: list[Any], samples: list[BaseDataElement]) -> np.ndarray:
        """Draw the inputs beside the fields of the samples."""
        rows = comparison_rows(inputs, samples, self.fields)
        return picture_grid(rows, ["input", *self.fields], cell=self.panel)


def comparison_rows(
    inputs: Sequence[Any], samples: Sequence[BaseDataElement], fields: Mapping[str, str]
) -> list[list[np.ndarray]]:
    """Return for every sample uint8 RGB pictures of its input and of its ``fields``.

    Inputs are uint8 BGR ``(3, H, W)``. Raises ValueError if a sample lacks one of the fields.
    """
    rows = []
    for image, sample in zip(inputs, samples):
        if missing := [field for field in fields.values() if field not in sample]:
            names = ", ".join(sorted(sample.keys()))
            raise ValueError(f"a sample has no field {missing[0]!r}; it has {names}")
        pictures = [to_picture(sample.get(field)) for field in fields.values()]
        rows.append([to_picture(image.flip(0)), *pictures])
    return rows
