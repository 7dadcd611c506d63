"""A CTC head beside another decoder, for training alone."""

from __future__ import annotations

from collections.abc import Sequence

import torch
from mmocr.structures import TextRecogDataSample
from torch import Tensor

from mms_ocr.models.textrecog.ctc_decoder import CTCDecoder
from mms_ocr.models.textrecog.labels import columns_needed
from mms_ocr.models.textrecog.process_means import scale_mean


def auxiliary_losses(
    head: CTCDecoder,
    feature_map: Tensor | None,
    data_samples: Sequence[TextRecogDataSample],
    weight: float,
) -> dict[str, Tensor]:
    """Compute the losses of a CTC head that only helps to train.

    Words that the columns of the map cannot spell are left to the main decoder. The losses are
    means over the words of all processes of a job.

    Args:
        head: With a ``module_loss``.
        feature_map: ``(N, C, H, W)``.
        data_samples: With ``gt_text.item``; their ``gt_text.indexes`` become those of the head.
        weight: Factor of its losses.

    Returns:
        The head's losses by its own names; 0 where it can spell no word.

    Raises:
        ValueError: The map does not fit the head.
    """
    logits = head.forward_train(feature_map)
    targets = head.module_loss.get_targets(data_samples)
    columns = [columns_needed(sample.gt_text.indexes.tolist()) for sample in targets]
    spelled = [index for index, needed in enumerate(columns) if needed <= logits.shape[1]]
    # Every process asks for the mean, or the others would wait for it.
    factor = weight * scale_mean(logits.new_ones(()), torch.tensor(len(spelled)))
    if not spelled:
        return {"loss_ctc": 0 * logits.sum()}  # DDP wants a gradient of every weight
    if len(spelled) < len(targets):
        logits, targets = logits[spelled], [targets[index] for index in spelled]
    return {name: factor * loss for name, loss in head.module_loss(logits, targets).items()}
