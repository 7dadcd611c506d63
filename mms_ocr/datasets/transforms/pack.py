"""From a dictionary to what models take."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
import torch
from mmcv.transforms import BaseTransform
from mmengine.structures import BaseDataElement

from mms_ocr.registry import TRANSFORMS


@TRANSFORMS.register_module()
class PackWordImage(BaseTransform):
    """Pack a word image as ``dict(inputs=..., data_samples=...)``.

    ``inputs`` is a contiguous uint8 tensor ``(3, H, W)`` in the channel order of ``img`` (BGR); the
    data preprocessor makes it RGB and float, on the device. ``data_samples`` is a BaseDataElement
    whose metainfo are those of ``meta_keys`` that are present.

    Args:
        meta_keys: Fields to keep beside the image. With none, there are no ``data_samples``.
    """

    def __init__(
        self, meta_keys: Sequence[str] = ("sample_idx", "img_path", "ori_shape", "text")
    ) -> None:
        self.meta_keys = tuple(meta_keys)

    def transform(self, results: dict) -> dict:
        """Pack ``results``."""
        planes = np.ascontiguousarray(results["img"].transpose(2, 0, 1))
        packed: dict = dict(inputs=torch.from_numpy(planes))
        if self.meta_keys:
            packed["data_samples"] = self.sample(results)
        return packed

    def sample(self, results: dict) -> BaseDataElement:
        """What is kept of ``results`` beside the image."""
        sample = BaseDataElement()
        for key in self.meta_keys:
            if key in results:
                sample.set_field(results[key], key, field_type="metainfo")
        return sample

    def __repr__(self) -> str:
        return f"{type(self).__name__}(meta_keys={self.meta_keys})"
