"""Scores of text masks: intersection over union, precision, recall, F-score."""

from __future__ import annotations

import logging
import math
from collections.abc import Iterable, Sequence
from typing import Any

import numpy as np
from mmengine.evaluator import BaseMetric
from mmengine.logging import print_log
from numpy.typing import NDArray

from mms_ocr.registry import METRICS

IGNORED = 255


def count_foreground(prediction: NDArray, truth: NDArray) -> tuple[int, int, int]:
    """Count the pixels that are text in both, in the prediction only, and in the truth only.

    Labels have any shape, both the same; 1 is text, and 255 in the truth is ignored.

    Raises:
        ValueError: The shapes differ.
    """
    if prediction.shape != truth.shape:
        raise ValueError(
            f"the predicted mask is {prediction.shape} and the true one {truth.shape}; masks are "
            "compared at the size of the original image"
        )
    predicted, real = (prediction == 1) & (truth != IGNORED), truth == 1
    both = int(np.count_nonzero(predicted & real))
    return both, int(np.count_nonzero(predicted)) - both, int(np.count_nonzero(real)) - both


def foreground_scores(counts: Iterable[Sequence[int]]) -> dict[str, float]:
    """Compute all scores from the three counts of :func:`count_foreground` of every image.

    Returns:
        ``iou_dataset``, ``precision_dataset``, ``recall_dataset``, ``f_score_dataset``: over the
        pixels of all images. ``iou_image_mean``, ``f_score_image_mean``: means over the images
        with text. ``images``, ``images_without_text`` (by the truth), and if there are any,
        ``clean_without_text``: the share of these with no predicted text. A score of none is nan.
    """
    table = np.asarray(list(counts), dtype=np.int64).reshape(-1, 3)
    both, wrong, missed = table.sum(axis=0)
    with_text = table[:, 0] + table[:, 2] > 0
    common, *errors = table[with_text].T
    scores = {
        "iou_dataset": _ratio(both, both + wrong + missed),
        "precision_dataset": _ratio(both, both + wrong),
        "recall_dataset": _ratio(both, both + missed),
        "f_score_dataset": _ratio(2 * both, 2 * both + wrong + missed),
        "iou_image_mean": _mean(common / (common + sum(errors))),
        "f_score_image_mean": _mean(2 * common / (2 * common + sum(errors))),
        "images": float(len(table)),
        "images_without_text": float(np.count_nonzero(~with_text)),
    }
    if not with_text.all():
        scores["clean_without_text"] = _mean(table[~with_text, 1] == 0)
    return scores


def _ratio(part: int, whole: int) -> float:
    return float(part / whole) if whole else float("nan")


def _mean(values: NDArray) -> float:
    return float(values.mean()) if len(values) else float("nan")


@METRICS.register_module()
class ForegroundMetric(BaseMetric):
    """Scores of predicted masks, named by :func:`foreground_scores`.

    The fields of a sample are ``pred_sem_seg`` and ``gt_sem_seg``, as of
    :class:`~mms_ocr.models.TextSegmentor` and MMSegmentation. Processes exchange pixel counts, so
    that the result does not depend on their number.
    """

    default_prefix = "foreground"

    def process(self, data_batch: Any, data_samples: Sequence[dict]) -> None:
        """Count the pixels of a batch.

        Raises:
            ValueError: A sample has no true mask, or one of another size.
        """
        for sample in data_samples:
            if "gt_sem_seg" not in sample:
                raise ValueError(
                    f"{sample.get('img_path', 'an image')} has no true mask; end the pipeline with "
                    "dict(type='mms_ocr.PackWordMask')"
                )
            masks = (_array(sample[name]["data"]) for name in ("pred_sem_seg", "gt_sem_seg"))
            self.results.append(count_foreground(*masks))

    def compute_metrics(self, results: list[tuple[int, int, int]]) -> dict[str, float]:
        """Compute the scores of all images, and log why some of them are nan."""
        scores = foreground_scores(results)
        for score, masks in (("recall", "true"), ("precision", "predicted")):
            if math.isnan(scores[f"{score}_dataset"]):
                print_log(
                    f"{score} of {len(results):,} images cannot be computed (nan): none of the "
                    f"{masks} masks has text",
                    logger="current",
                    level=logging.WARNING,
                )
        return scores


def _array(data: Any) -> NDArray:
    return data.cpu().numpy() if hasattr(data, "cpu") else np.asarray(data)
