"""Does sharpening help reading? Word accuracy on low, restored and high resolution. Needs MMOCR."""

from __future__ import annotations

import os
from collections.abc import Sequence
from dataclasses import dataclass
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
from mms_ocr.evaluation.word_benchmark import judge_words
from mms_ocr.models.weights import load_model
from mms_ocr.registry import METRICS

_FIELDS = {"LR": "bicubic_img", "SR": "pred_img", "HR": "gt_img"}


@dataclass(frozen=True)
class _Judged:
    """Of one image: where it belongs, and by resolution and protocol whether it was read rightly.

    Attributes:
        subset: The subset that it is of, or None.
        right: ``LR/word_acc`` and so on → whether the word is right.
    """

    subset: str | None
    right: dict[str, bool]


def read_words(recognizer: BaseModel, images: Sequence[Tensor]) -> list[str]:
    """What a recognizer of MMOCR reads in images.

    Args:
        recognizer: In evaluation mode; its data preprocessor takes 8-bit BGR.
        images: RGB in [0, 1], ``(3, H, W)``, all of one size; rounded to 8 bits.
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
    """Word accuracy of one recognizer on the enlarged input, the restored and the true image.

    Results are ``LR/<protocol>``, ``SR/<protocol>`` and ``HR/<protocol>``, with the protocols of
    MMOCR's ``WordMetric``: ``word_acc`` (exact), ``word_acc_ignore_case`` and
    ``word_acc_ignore_case_symbol`` (letters and digits only, ignoring case, as IIIT5K and TextZoom
    are compared). ``gained/<protocol>`` is the share of words that are read in SR and were not in
    LR, and ``lost/<protocol>`` the reverse. The same stands for each subset, under ``<subset>/``.
    LR is the input enlarged by bicubic interpolation, which is what a recognizer does with a small
    image. All images are rounded to 8 bits before they are read.

    Args:
        recognizer: ``dict(config=..., weights=...)``: paths of the recognizer's config and
            checkpoint.
        device: Where it reads; None takes the GPU where there is one.
        collect_device: ``'cpu'`` or ``'gpu'``, how results travel between processes.
        prefix: First part of the names of the results.

    Raises:
        FileNotFoundError: The config or the checkpoint is missing.
        ValueError: The checkpoint does not fit the config, or ``recognizer`` lacks one of both.
    """

    default_prefix = ""

    def __init__(
        self,
        recognizer: dict[str, str],
        device: str | None = None,
        collect_device: str = "cpu",
        prefix: str | None = None,
    ) -> None:
        super().__init__(collect_device=collect_device, prefix=prefix)
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
        right: list[dict[str, bool]] = [{} for _ in data_samples]
        for kind, field in _FIELDS.items():
            texts = read_words(self.recognizer, [sample[field] for sample in data_samples])
            words = [
                ReadWord(i, sample["text"], text)
                for i, (sample, text) in enumerate(zip(data_samples, texts))
            ]
            for protocol, verdicts in judge_words(words).items():
                for one, verdict in zip(right, verdicts):
                    one[f"{kind}/{protocol}"] = verdict
        for sample, one in zip(data_samples, right):
            self.results.append(_Judged(sample.get("subset"), one))

    def compute_metrics(self, results: list[_Judged]) -> dict[str, float]:
        """Share of words read rightly, in [0, 1], of all images and of every subset."""
        metrics = _shares(results)
        for subset in dict.fromkeys(judged.subset for judged in results):
            if subset is not None:
                part = [judged for judged in results if judged.subset == subset]
                metrics |= {f"{subset}/{name}": share for name, share in _shares(part).items()}
        return metrics


def _shares(results: Sequence[_Judged]) -> dict[str, float]:
    shares: dict[str, float] = {}
    for protocol in PROTOCOLS:
        low, restored, high = (
            [one.right[f"{kind}/{protocol}"] for one in results] for kind in _FIELDS
        )
        shares |= {
            f"LR/{protocol}": _mean(low),
            f"SR/{protocol}": _mean(restored),
            f"HR/{protocol}": _mean(high),
            f"gained/{protocol}": _mean([now and not then for then, now in zip(low, restored)]),
            f"lost/{protocol}": _mean([then and not now for then, now in zip(low, restored)]),
        }
    return shares


def _mean(verdicts: Sequence[bool]) -> float:
    return sum(verdicts) / len(verdicts)


def _load(config: str, weights: str) -> BaseModel:
    if not os.path.isfile(config):
        raise FileNotFoundError(f"no config {config} of a recognizer")
    cfg = Config.fromfile(config)
    with DefaultScope.overwrite_default_scope(cfg.get("default_scope", "mms_ocr")):
        model: BaseModel = MODELS.build(cfg.model)
    load_model(model, weights)
    return model
