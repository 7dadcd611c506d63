"""Word images with masks, packed for training and for evaluation."""

from __future__ import annotations

from collections.abc import Sequence

import cv2
import numpy as np
import torch
from mmengine.structures import BaseDataElement, PixelData

from mms_ocr.datasets.transforms.base import WordTransform
from mms_ocr.datasets.transforms.pack import PackWordImage
from mms_ocr.registry import TRANSFORMS

# As in mms_ocr.models.pixel.segmentor, which data sets do not import.
_STEPS, _IGNORED = 240, 255


def mask_coverage(mask: np.ndarray, size: tuple[int, int]) -> np.ndarray:
    """Compute the share of text in every pixel of another size.

    If a mask shrinks, strokes become thinner than a pixel, and a label for each pixel would lose or
    thicken them; the share keeps the position of their edges. The mask is uint8 ``(H, W)``: 0
    background, 1 text, 255 ignored. The result is uint8 ``(*size)``: 0 (no text) to 240 (all text)
    of what is not ignored; 255 where that is less than half.
    """
    text = _resize((mask == 1).astype(np.float32), size)
    ignored = mask == _IGNORED
    if ignored.any():
        counted = _resize((~ignored).astype(np.float32), size)
        text = text / np.maximum(counted, 0.5)
    steps = np.rint(text * _STEPS).clip(0, _STEPS).astype(np.uint8)
    if ignored.any():
        steps[counted < 0.5] = _IGNORED
    return steps


def _resize(plane: np.ndarray, size: tuple[int, int]) -> np.ndarray:
    """Average over areas along an axis that shrinks, interpolate linearly along one that grows."""
    for axis, length in enumerate(size):
        shape = (length, plane.shape[1]) if axis == 0 else (plane.shape[0], length)
        kernel = cv2.INTER_AREA if length <= plane.shape[axis] else cv2.INTER_LINEAR
        plane = cv2.resize(plane, shape[::-1], interpolation=kernel)
    return plane


@TRANSFORMS.register_module()
class PackWordMask(PackWordImage):
    """Pack a word image with its mask: ``gt_sem_seg`` of the sample, at the mask's own size.

    It is a PixelData whose ``data`` is a uint8 array ``(1, H, W)``: 0 background, 1 text, 255
    ignored. Arrays, unlike tensors, need no file descriptor each when a loader worker sends them.
    """

    def sample(self, results: dict) -> BaseDataElement:
        """Build what is kept beside the image; ValueError without a mask of its original size."""
        sample = super().sample(results)
        mask = _mask_of(results)
        if tuple(mask.shape) != tuple(results["ori_shape"]):
            raise ValueError(
                f"{results.get('img_path', 'an image')}: the mask is {mask.shape}, the image was "
                f"{tuple(results['ori_shape'])}; evaluation compares at the original size, so do "
                "not resize the mask"
            )
        sample.gt_sem_seg = PixelData(data=np.ascontiguousarray(mask)[None])
        return sample


@TRANSFORMS.register_module()
class PackWordCoverage(PackWordImage):
    """Pack a word image with the target of a segmentor: ``dict(inputs=..., gt_coverage=...)``.

    ``gt_coverage`` is a uint8 tensor ``(1, *size)``; see :func:`mask_coverage`. It is not in the
    sample, so that a batch is sent by a loader worker as two tensors and not as hundreds.

    Args:
        size: Height and width of the segmentor's logits.
        meta_keys: Fields to keep in ``data_samples``; with none, there are none.
    """

    def __init__(self, size: tuple[int, int] = (32, 128), meta_keys: Sequence[str] = ()) -> None:
        super().__init__(meta_keys)
        self.size = (int(size[0]), int(size[1]))

    def transform(self, results: dict) -> dict:
        """Pack ``results``; ValueError without a mask."""
        packed = super().transform(results)
        coverage = mask_coverage(_mask_of(results), self.size)
        packed["gt_coverage"] = torch.from_numpy(coverage)[None]
        return packed


@TRANSFORMS.register_module()
class AsSegMap(WordTransform):
    """Give ``mask`` the name that MMSegmentation's transforms use.

    Sets ``gt_seg_map`` and ``seg_fields``, so that they resize it with the image. The labels are
    those of MMSegmentation: 0 and 1 are classes, and 255 is ignored.
    """

    def transform(self, results: dict) -> dict:
        """Add the fields; ValueError without a mask."""
        results["gt_seg_map"] = _mask_of(results)
        results["seg_fields"] = ["gt_seg_map"]
        return results


def _mask_of(results: dict) -> np.ndarray:
    if results.get("mask") is None:
        raise ValueError(
            f"{results.get('img_path', 'an image')}: no mask to train on; set extras=('mask',) "
            "on mms_ocr.RenderedWordDataset, or read pairs with mms_ocr.WordMaskDataset"
        )
    mask: np.ndarray = results["mask"]
    return mask
