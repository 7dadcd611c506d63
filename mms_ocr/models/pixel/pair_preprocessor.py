"""From uint8 pairs of word images to normalized low and true high resolution on the device."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import torch
from mmengine.model import BaseDataPreprocessor
from torch import Tensor

from mms_ocr.registry import MODELS


@MODELS.register_module()
class WordPairDataPreprocessor(BaseDataPreprocessor):
    """Moves pairs to the device, makes them RGB, and normalizes the small images.

    Args:
        mean: Per channel, in the order of the model's input, on the scale of 0 to 255.
        std: Likewise.
        bgr_to_rgb: Swap the channels, as pipelines give BGR.
        non_blocking: Whether moving to the device may overlap with computing.
    """

    def __init__(
        self,
        mean: Sequence[float] = (127.5, 127.5, 127.5),
        std: Sequence[float] = (127.5, 127.5, 127.5),
        bgr_to_rgb: bool = True,
        non_blocking: bool = True,
    ) -> None:
        super().__init__(non_blocking=non_blocking)
        self.bgr_to_rgb = bgr_to_rgb
        self.register_buffer("mean", torch.tensor(mean).view(-1, 1, 1), persistent=False)
        self.register_buffer("std", torch.tensor(std).view(-1, 1, 1), persistent=False)
        self.mean: Tensor
        self.std: Tensor

    def forward(self, data: dict[str, Any], training: bool = False) -> dict[str, Any]:
        """Prepare a batch.

        Args:
            data: ``inputs``, uint8 images ``(3, h, w)`` in a list or ``(B, 3, h, w)``; optionally
                ``gt_img`` likewise, ``(3, H, W)``, and ``data_samples``.
            training: Makes no difference.

        Returns:
            ``inputs``, normalized float32 ``(B, 3, h, w)`` on the device; ``gt_img``, float32 in
            [0, 1] ``(B, 3, H, W)`` or None; ``data_samples`` as given.

        Raises:
            ValueError: The images of the batch differ in size.
        """
        inputs = self._take(data["inputs"])
        truth = data.get("gt_img")
        return {
            "inputs": (inputs - self.mean) / self.std,
            "gt_img": None if truth is None else self._take(truth) / 255,
            "data_samples": data.get("data_samples"),
        }

    def unit_range(self, images: Tensor) -> Tensor:
        """Normalized images on the scale where black is 0 and white is 1; not clamped."""
        return (images * self.std + self.mean) / 255

    def _take(self, images: Tensor | Sequence[Tensor]) -> Tensor:
        if not isinstance(images, Tensor):
            sizes = {tuple(image.shape) for image in images}
            if len(sizes) > 1:
                raise ValueError(
                    f"images of one batch differ in size ({sorted(sizes)}); add "
                    "dict(type='mms_ocr.ResizeWordPair') to the pipeline"
                )
            images = torch.stack(list(images))
        moved: Tensor = self.cast_data(images)
        return (moved.flip(1) if self.bgr_to_rgb else moved).float()
