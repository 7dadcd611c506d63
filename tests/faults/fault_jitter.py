"""A transform for fault_runs.py that draws from Python's, NumPy's and torch's global generators."""

import random

import numpy as np
import torch
from mmcv.transforms import BaseTransform

from mms_ocr.registry import TRANSFORMS


@TRANSFORMS.register_module(force=True)
class FaultJitter(BaseTransform):
    """Makes an image brighter by chance."""

    def transform(self, results: dict) -> dict:
        """Add the same to all values of ``img``."""
        shift = random.randrange(20) + np.random.randint(20) + int(torch.randint(20, ()))
        results["img"] = results["img"] // 2 + np.uint8(shift)
        return results
