"""Data preprocessor of super-resolution: pairs of low and high resolution."""

from __future__ import annotations

from typing import Any

from torch import Tensor

from mms_ocr.models.image_preprocessor import ImagePreprocessor
from mms_ocr.registry import MODELS


@MODELS.register_module()
class WordPairDataPreprocessor(ImagePreprocessor):
    """Moves pairs of images to the device and normalizes the small ones.

    The arguments are those of :class:`~mms_ocr.models.image_preprocessor.ImagePreprocessor`.
    """

    resize_type = "mms_ocr.ResizeWordPair"

    def forward(self, data: dict[str, Any], training: bool = False) -> dict[str, Any]:
        """Prepare a batch.

        Args:
            data: ``inputs``, uint8 images ``(3, h, w)`` in a list or ``(B, 3, h, w)``; optionally
                ``gt_img`` likewise, ``(3, H, W)``, and ``data_samples``.
            training: Ignored.

        Returns:
            ``inputs``, normalized float32 ``(B, 3, h, w)`` on the device; ``gt_img``, float32 in
            [0, 1] ``(B, 3, H, W)`` or None; ``data_samples``, unchanged.

        Raises:
            ValueError: The images of the batch differ in size.
        """
        truth = data.get("gt_img")
        return {
            "inputs": self.normalize(self.stack(data["inputs"])),
            "gt_img": None if truth is None else self.stack(truth) / 255,
            "data_samples": data.get("data_samples"),
        }

    def unit_range(self, images: Tensor) -> Tensor:
        """Convert normalized images to the range of 0 (black) to 1 (white), not clamped."""
        return (images * self.std + self.mean) / 255
