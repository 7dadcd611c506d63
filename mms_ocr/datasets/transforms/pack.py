"""Packing word images and pairs as models take them."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import numpy as np
import torch
from mmengine.structures import BaseDataElement
from torch import Tensor

from mms_ocr.datasets.transforms.base import WordTransform
from mms_ocr.registry import TRANSFORMS


@TRANSFORMS.register_module()
class PackWordImage(WordTransform):
    """Pack a word image as ``dict(inputs=..., data_samples=...)``.

    ``inputs`` is a contiguous uint8 tensor ``(3, H, W)`` in the channel order of ``img`` (BGR); the
    data preprocessor makes it RGB and float on the device. ``data_samples`` is a BaseDataElement
    with those of ``meta_keys`` that are present as metainfo.

    Args:
        meta_keys: Fields to keep beside the image. With none, there are no ``data_samples``.
    """

    sample_type: type[BaseDataElement] = BaseDataElement

    def __init__(
        self, meta_keys: Sequence[str] = ("sample_idx", "img_path", "ori_shape", "text")
    ) -> None:
        self.meta_keys = tuple(meta_keys)

    def transform(self, results: dict) -> dict:
        """Pack ``results``."""
        packed: dict = dict(inputs=to_planes(results["img"]))
        if self.meta_keys:
            packed["data_samples"] = self.sample(results)
        return packed

    def sample(self, results: dict) -> Any:
        """Build what is kept of ``results`` beside the image."""
        sample = self.sample_type()
        for key in self.meta_keys:
            if key in results:
                sample.set_field(results[key], key, field_type="metainfo")
        return sample


@TRANSFORMS.register_module()
class PackWordPair(PackWordImage):
    """Pack a pair as ``dict(inputs=..., gt_img=..., data_samples=...)``.

    ``gt_img`` (of ``gt``) is a tensor as ``inputs`` is. It is not in the sample, so that a loader
    worker sends a batch as two tensors and not as hundreds.
    """

    def __init__(
        self,
        meta_keys: Sequence[str] = ("sample_idx", "img_path", "ori_shape", "text", "subset"),
    ) -> None:
        super().__init__(meta_keys)

    def transform(self, results: dict) -> dict:
        """Pack ``results``."""
        return dict(super().transform(results), gt_img=to_planes(results["gt"]))


def to_planes(image: np.ndarray) -> Tensor:
    """Return an image ``(H, W, 3)`` as a contiguous tensor ``(3, H, W)``."""
    return torch.from_numpy(np.ascontiguousarray(image.transpose(2, 0, 1)))
