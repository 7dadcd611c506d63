"""CTC loss with the places of the characters, where the data have them."""

from __future__ import annotations

import itertools
from collections.abc import Sequence
from typing import Any

import torch
from mmocr.models.textrecog.module_losses import CTCModuleLoss
from mmocr.structures import TextRecogDataSample
from torch import Tensor
from torch.nn import functional as F

from mms_ocr.registry import MODELS

IGNORED_COLUMN = -100  # what torch's cross-entropy ignores


def column_targets(
    spans: Sequence[Sequence[float]], tokens: Sequence[int], width: int, blank: int
) -> Tensor:
    """Compute the targets of columns, int64 ``(width,)``, from the places of the characters.

    The column of a character's middle is the character. Columns before and after the word are
    blank, and so is the one between two characters, if it is free. All others are ignored, since
    CTC lets a character be of any width. Of two characters in one column, the first has it.

    Args:
        spans: Left and right end of every character as shares of the width, in reading order.
        tokens: Indices of the characters in the dictionary.
        width: Number of columns.
        blank: Index of the blank.
    """
    targets = torch.full((width,), IGNORED_COLUMN)
    if not len(spans):
        return targets
    last = width - 1
    middles = [min(last, max(0, int((left + right) / 2 * width))) for left, right in spans]
    for middle, token in zip(reversed(middles), reversed(tokens)):
        targets[middle] = token
    for (_, right), (left, _) in itertools.pairwise(spans):
        between = int((left + right) / 2 * width)
        if 0 <= between <= last and targets[between] == IGNORED_COLUMN:
            targets[between] = blank
    outside = torch.ones(width, dtype=torch.bool)
    first, end = min(left for left, _ in spans), max(right for _, right in spans)
    outside[max(0, int(first * width)) : max(0, int(end * width) + 1)] = False
    targets[outside & (targets == IGNORED_COLUMN)] = blank
    return targets


@MODELS.register_module()
class LocatedCTCLoss(CTCModuleLoss):
    """MMOCR's CTC loss, and cross-entropy at the columns whose characters are known.

    Rendered words have the box of every character (``extras=('char_boxes',)`` of the data set, and
    :class:`mms_ocr.PackLabelledWord`). Words without boxes have the CTC loss alone.

    Args:
        location_weight: Weight of the cross-entropy, a mean over the columns of the batch that
            :func:`column_targets` knows.
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
        """Compute ``loss_ctc`` and ``loss_location`` of logits ``(N, W, num_classes)``."""
        losses = super().forward(outputs, data_samples)
        targets = torch.stack([self._targets(sample, outputs.shape[1]) for sample in data_samples])
        total = F.cross_entropy(
            outputs.flatten(0, 1),
            targets.flatten().to(outputs.device),
            ignore_index=IGNORED_COLUMN,
            reduction="sum",
        )
        # Counted on the CPU, without waiting for the device; no column gives 0.
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
