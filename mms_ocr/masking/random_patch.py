"""Random patch masking: every patch is as likely to go as any other."""

from __future__ import annotations

import torch
from torch import Tensor

from mms_ocr.masking.base import MaskGenerator, uniform
from mms_ocr.registry import TASK_UTILS


@TASK_UTILS.register_module()
class RandomPatchMask(MaskGenerator):
    """Removes patches at random, each on its own, as MAE does (arXiv 2111.06377).

    What remains shows parts of nearly every stroke, so the encoder learns strokes (low level).
    """

    name = "random_patch"

    def priority(
        self, batch_size: int, device: torch.device | str, rng: torch.Generator | None
    ) -> Tensor:
        """Noise, ``(B, L)``."""
        return uniform((batch_size, self.num_patches), device, rng)
