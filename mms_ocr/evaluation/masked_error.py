"""Reconstruction error of masked patches, per strategy."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

from mmengine.evaluator import BaseMetric

from mms_ocr.registry import METRICS


@METRICS.register_module()
class MaskedError(BaseMetric):
    """Mean error of the masked patches of held-out images, per strategy.

    Results are ``masked_error/<strategy>`` and their plain average ``masked_error/mean``, in the
    units of the head: for normalized patches and L2, predicting a patch's mean gives about 1.
    """

    default_prefix = "masked_error"

    def process(self, data_batch: Any, data_samples: Sequence[dict]) -> None:
        """Collect the errors of a batch."""
        self.results.extend(sample["masked_error"] for sample in data_samples)

    def compute_metrics(self, results: list[dict[str, float]]) -> dict[str, float]:
        """Average the errors of all images: strategy → mean error, and ``mean``."""
        means = {
            name: sum(errors[name] for errors in results) / len(results) for name in results[0]
        }
        return means | {"mean": sum(means.values()) / len(means)}
