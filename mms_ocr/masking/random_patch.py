"""Random patch masking."""

from __future__ import annotations

import torch
from torch import Tensor

from mms_ocr.masking.base import MaskGenerator, uniform
from mms_ocr.registry import TASK_UTILS


@TASK_UTILS.register_module()
class RandomPatchMask(MaskGenerator):
    """Removes random patches, as MAE (arXiv 2111.06377)."""

    name = "random_patch"

    def priority(
        self, batch_size: int, device: torch.device | str, rng: torch.Generator | None
    ) -> Tensor:
        """Draw noise, ``(B, L)``."""
        return uniform((batch_size, self.num_patches), device, rng)
