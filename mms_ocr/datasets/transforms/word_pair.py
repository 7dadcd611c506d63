"""Pairs of a small and a large word image: to their sizes, and packed."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
import torch
from mmcv.transforms import BaseTransform
from torch import Tensor

from mms_ocr.datasets.transforms.pack import PackWordImage
from mms_ocr.datasets.transforms.resize import resize_word_image
from mms_ocr.registry import TRANSFORMS


@TRANSFORMS.register_module()
class ResizeWordPair(BaseTransform):
    """Resize ``gt`` to one size and ``img`` to a fraction of it, whatever shapes they had.

    Sets ``img_shape`` as well.

    Args:
        size: Height and width of ``gt``.
        scale: How many times smaller ``img`` is.

    Raises:
        ValueError: ``scale`` does not divide ``size``.
    """

    def __init__(self, size: tuple[int, int] = (32, 128), scale: int = 2) -> None:
        if scale < 1 or min(size) < scale or size[0] % scale or size[1] % scale:
            raise ValueError(f"scale {scale} does not divide the size {tuple(size)} of the words")
        self.size = (int(size[0]), int(size[1]))
        self.scale = scale

    def transform(self, results: dict) -> dict:
        """Resize both images of ``results``."""
        small = (self.size[0] // self.scale, self.size[1] // self.scale)
        results["gt"] = resize_word_image(results["gt"], self.size)
        results["img"] = resize_word_image(results["img"], small)
        results["img_shape"] = small
        return results

    def __repr__(self) -> str:
        return f"{type(self).__name__}(size={self.size}, scale={self.scale})"


@TRANSFORMS.register_module()
class PackWordPair(BaseTransform):
    """Pack a pair as ``dict(inputs=..., gt_img=..., data_samples=...)``.

    ``inputs`` (of ``img``) and ``gt_img`` (of ``gt``) are contiguous uint8 tensors ``(3, H, W)`` in
    the channel order of the images (BGR); the data preprocessor makes both RGB. They stand beside
    each other, so that a batch travels from a loader worker as two tensors and not as hundreds.
    ``data_samples`` is a BaseDataElement whose metainfo are those of ``meta_keys`` that are there.

    Args:
        meta_keys: Fields to keep beside the images.
    """

    def __init__(
        self,
        meta_keys: Sequence[str] = ("sample_idx", "img_path", "ori_shape", "text", "subset"),
    ) -> None:
        self._pack = PackWordImage(meta_keys)

    def transform(self, results: dict) -> dict:
        """Pack ``results``."""
        return dict(
            inputs=_planes(results["img"]),
            gt_img=_planes(results["gt"]),
            data_samples=self._pack.sample(results),
        )

    def __repr__(self) -> str:
        return f"{type(self).__name__}(meta_keys={self._pack.meta_keys})"


def _planes(image: np.ndarray) -> Tensor:
    return torch.from_numpy(np.ascontiguousarray(image.transpose(2, 0, 1)))
