"""CTC that is told where the characters stand, as far as the data know."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import torch
from mmocr.models.textrecog.module_losses import CTCModuleLoss
from mmocr.structures import TextRecogDataSample
from torch import Tensor
from torch.nn import functional as F

from mms_ocr.models.textrecog.columns import IGNORED_COLUMN, column_targets
from mms_ocr.registry import MODELS


@MODELS.register_module()
class LocatedCTCLoss(CTCModuleLoss):
    """MMOCR's CTC loss, and cross-entropy at the columns where characters are known to stand.

    CTC alone has to find out which columns belong to which character, and begins by reading blanks
    everywhere. Rendered words come with the box of every character (``extras=('char_boxes',)`` of
    the data set), and :class:`mms_ocr.PackLabelledWord` hands them on. Words without them are
    learned by CTC alone, so that both kinds may share a batch; without any, this is
    ``CTCModuleLoss``.

    Args:
        location_weight: Weight of the cross-entropy, a mean over the columns of the batch that are
            known (see :func:`~mms_ocr.models.textrecog.column_targets`).
        **kwargs: Arguments of MMOCR's ``CTCModuleLoss``.

    Raises:
        ValueError: The weight is negative.
    """

    def __init__(self, location_weight: float = 1.0, **kwargs: Any) -> None:
        super().__init__(**kwargs)
        if location_weight < 0:
            raise ValueError(f"location_weight must not be negative, got {location_weight}")
        self.location_weight = location_weight

    def forward(
        self, outputs: Tensor, data_samples: Sequence[TextRecogDataSample]
    ) -> dict[str, Tensor]:
        """Losses of logits ``(N, W, num_classes)``: ``loss_ctc`` and ``loss_location``."""
        losses = super().forward(outputs, data_samples)
        targets = torch.stack([self._targets(sample, outputs.shape[1]) for sample in data_samples])
        total = F.cross_entropy(
            outputs.flatten(0, 1),
            targets.flatten().to(outputs.device),
            ignore_index=IGNORED_COLUMN,
            reduction="sum",
        )
        # By the count on the CPU: nothing waits for the device, and no column at all gives 0.
        known = max(1, int((targets != IGNORED_COLUMN).sum()))
        losses["loss_location"] = self.location_weight * total / known
        return losses

    def _targets(self, sample: TextRecogDataSample, width: int) -> Tensor:
        spans = sample.get("char_spans", ())
        tokens = sample.gt_text.indexes.tolist()
        if len(spans) != len(tokens):
            return torch.full((width,), IGNORED_COLUMN)
        ratio = sample.get("valid_ratio", 1.0)
        scaled = [(left * ratio, right * ratio) for left, right in spans]
        return column_targets(scaled, tokens, width, self.dictionary.padding_idx)
