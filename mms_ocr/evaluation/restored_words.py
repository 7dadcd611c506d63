"""Word accuracy on low, restored and high resolution; needs MMOCR."""

from __future__ import annotations

import os
from collections.abc import Sequence
from typing import Any

import torch
from mmengine.config import Config
from mmengine.evaluator import BaseMetric
from mmengine.model import BaseModel
from mmengine.registry import MODELS, DefaultScope
from mmengine.structures import LabelData
from mmocr.structures import TextRecogDataSample
from torch import Tensor

from mms_ocr.evaluation.benchmark_scores import PROTOCOLS, ReadWord
from mms_ocr.evaluation.restored_images import SubsetResult, compute_by_subset
from mms_ocr.evaluation.word_benchmark import judge_words
from mms_ocr.models.weights import load_model
from mms_ocr.registry import METRICS

_FIELDS = {"LR": "bicubic_img", "SR": "pred_img", "HR": "gt_img"}


def read_words(recognizer: BaseModel, images: Sequence[Tensor]) -> list[str]:
    """Read images with a recognizer of MMOCR, in evaluation mode.

    Images are RGB in [0, 1], ``(3, H, W)``, all of one size, and are rounded to 8 bits. The
    recognizer's data preprocessor takes 8-bit BGR.
    """
    pixels = [(image.flip(0) * 255).round().clamp(0, 255).byte() for image in images]
    samples = []
    for image in pixels:
        sample = TextRecogDataSample(gt_text=LabelData(item=""))
        shape = tuple(image.shape[-2:])
        sample.set_metainfo(dict(img_shape=shape, ori_shape=shape, valid_ratio=1.0))
        samples.append(sample)
    with torch.no_grad():
        predicted = recognizer.test_step(dict(inputs=pixels, data_samples=samples))
    return [sample.pred_text.item for sample in predicted]


@METRICS.register_module()
class RestoredWordAccuracy(BaseMetric):
    """Word accuracy of a recognizer on the enlarged input, the restored and the true image.

    Results are ``LR/<protocol>``, ``SR/<protocol>`` and ``HR/<protocol>``, with the protocols of
    :data:`~mms_ocr.evaluation.benchmark_scores.PROTOCOLS`. ``gained/<protocol>`` is the share of
    words that are right in SR and wrong in LR, and ``lost/<protocol>`` the reverse. The same is
    computed for every subset, under ``<subset>/``. LR is the input enlarged by bicubic
    interpolation. All images are rounded to 8 bits.

    Args:
        recognizer: ``dict(config=..., weights=...)``: paths of its config and checkpoint.
        device: Device of the recognizer; None for a GPU if there is one.
        **kwargs: Arguments of MMEngine's ``BaseMetric``.

    Raises:
        FileNotFoundError: The config or the checkpoint is missing.
        ValueError: The checkpoint does not fit the config, or ``recognizer`` lacks one of them.
    """

    default_prefix = ""

    def __init__(
        self, recognizer: dict[str, str], device: str | None = None, **kwargs: Any
    ) -> None:
        super().__init__(**kwargs)
        if set(recognizer) != {"config", "weights"}:
            raise ValueError(
                "recognizer is dict(config=..., weights=...), both of them paths, got "
                f"{dict(recognizer)}"
            )
        self.device = device or ("cuda" if torch.cuda.is_available() else "cpu")
        self.recognizer = _load(recognizer["config"], recognizer["weights"]).to(self.device).eval()

    def process(self, data_batch: Any, data_samples: Sequence[dict]) -> None:
        """Read the images of a batch.

        Raises:
            ValueError: A sample has no text, or lacks one of the images.
        """
        for field in ("text", *_FIELDS.values()):
            if any(sample.get(field) is None for sample in data_samples):
                raise ValueError(
                    f"word accuracy needs {field} in every sample: set labelled=True on the data "
                    "set, and keep 'text' in meta_keys of the packing transform"
                )
        results: list[dict[str, bool]] = [{} for _ in data_samples]
        for kind, field in _FIELDS.items():
            texts = read_words(self.recognizer, [sample[field] for sample in data_samples])
            words = [
                ReadWord(i, sample["text"], text)
                for i, (sample, text) in enumerate(zip(data_samples, texts))
            ]
            for protocol, correct in judge_words(words).items():
                for result, is_correct in zip(results, correct):
                    result[f"{kind}/{protocol}"] = is_correct
        for sample, result in zip(data_samples, results):
            index = int(sample.get("sample_idx", len(self.results)))
            self.results.append(SubsetResult(index, sample.get("subset"), result))

    def compute_metrics(self, results: list[SubsetResult]) -> dict[str, float]:
        """Compute the shares of correct words, in [0, 1], of all images and of every subset."""
        return compute_by_subset(results, _shares)


def _shares(words: Sequence[dict[str, bool]]) -> dict[str, float]:
    shares: dict[str, float] = {}
    for protocol in PROTOCOLS:
        low, restored, high = ([word[f"{kind}/{protocol}"] for word in words] for kind in _FIELDS)
        for name, correct in {
            "LR": low,
            "SR": restored,
            "HR": high,
            "gained": [now and not before for before, now in zip(low, restored)],
            "lost": [before and not now for before, now in zip(low, restored)],
        }.items():
            shares[f"{name}/{protocol}"] = sum(correct) / len(correct)
    return shares


def _load(config: str, weights: str) -> BaseModel:
    if not os.path.isfile(config):
        raise FileNotFoundError(f"no config {config} of a recognizer")
    cfg = Config.fromfile(config)
    with DefaultScope.overwrite_default_scope(cfg.get("default_scope", "mms_ocr")):
        model: BaseModel = MODELS.build(cfg.model)
    load_model(model, weights)
    return model
