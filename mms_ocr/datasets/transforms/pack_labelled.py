"""Packing labelled words as MMOCR's recognizers take them; the only transform that needs MMOCR."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

from mmengine.structures import LabelData
from mmocr.structures import TextRecogDataSample

from mms_ocr.datasets.transforms.pack import PackWordImage
from mms_ocr.registry import TRANSFORMS


@TRANSFORMS.register_module()
class PackLabelledWord(PackWordImage):
    """Pack a word image and its text as ``dict(inputs=..., data_samples=...)`` for MMOCR.

    ``data_samples`` is a TextRecogDataSample with ``gt_text.item`` and, as metainfo, those of
    ``meta_keys`` that are present, ``valid_ratio`` (1 unless the pipeline set it), and, if there
    are ``char_boxes``, ``char_spans``: left and right ends of the characters as shares of the
    width, which resizing does not change.
    """

    sample_type = TextRecogDataSample

    def __init__(
        self, meta_keys: Sequence[str] = ("sample_idx", "img_path", "ori_shape", "img_shape")
    ) -> None:
        super().__init__((*meta_keys, "valid_ratio", "char_spans"))

    def sample(self, results: dict) -> Any:
        """Build what is kept of ``results`` beside the image; ValueError without a text."""
        if results.get("text") is None:
            raise ValueError(
                f"{results.get('img_path', 'an image without img_path')}: no text to train on; set "
                "labelled=True on the data set"
            )
        added: dict = dict(valid_ratio=results.get("valid_ratio", 1.0))
        if results.get("char_boxes") is not None:
            width = results["ori_shape"][1]
            added["char_spans"] = [
                (float(x) / width, float(x + w) / width) for x, _, w, _ in results["char_boxes"]
            ]
        sample = super().sample({**results, **added})
        sample.gt_text = LabelData(item=results["text"])
        return sample
