"""Packing labelled words as MMOCR's recognizers take them; the only transform that needs MMOCR."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
from mmcv.transforms import BaseTransform
from mmengine.structures import LabelData
from mmocr.structures import TextRecogDataSample

from mms_ocr.datasets.transforms.pack import to_planes
from mms_ocr.registry import TRANSFORMS


def character_spans(boxes: np.ndarray, width: int) -> list[tuple[float, float]]:
    """Return left and right ends of boxes ``(n, 4)`` ``[x, y, w, h]`` as shares of the width."""
    return [(float(x) / width, float(x + w) / width) for x, _, w, _ in boxes]


@TRANSFORMS.register_module()
class PackLabelledWord(BaseTransform):
    """Pack a word image and its text as ``dict(inputs=..., data_samples=...)`` for MMOCR.

    ``inputs`` is a contiguous uint8 tensor ``(3, H, W)`` in the channel order of ``img`` (BGR).
    ``data_samples`` is a TextRecogDataSample with ``gt_text.item`` and, as metainfo, those of
    ``meta_keys`` that are present, ``valid_ratio`` (1 unless the pipeline set it), and, if there
    are ``char_boxes``, ``char_spans``: left and right ends of the characters as shares of the
    width, which resizing does not change.

    Args:
        meta_keys: Fields to keep beside the image.

    Raises:
        ValueError: An image has no text.
    """

    def __init__(
        self, meta_keys: Sequence[str] = ("sample_idx", "img_path", "ori_shape", "img_shape")
    ) -> None:
        self.meta_keys = tuple(meta_keys)

    def transform(self, results: dict) -> dict:
        """Pack ``results``."""
        if results.get("text") is None:
            raise ValueError(
                f"{results.get('img_path', 'an image without img_path')}: no text to train on; set "
                "labelled=True on the data set"
            )
        sample = TextRecogDataSample(gt_text=LabelData(item=results["text"]))
        metainfo = {key: results[key] for key in self.meta_keys if key in results}
        if results.get("char_boxes") is not None:
            metainfo["char_spans"] = character_spans(results["char_boxes"], results["ori_shape"][1])
        sample.set_metainfo({**metainfo, "valid_ratio": results.get("valid_ratio", 1.0)})
        return dict(inputs=to_planes(results["img"]), data_samples=sample)

    def __repr__(self) -> str:
        return f"{type(self).__name__}(meta_keys={self.meta_keys})"
