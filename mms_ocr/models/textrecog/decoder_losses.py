"""Losses of an auxiliary CTC head for TextDecoder, and means over all processes."""

from __future__ import annotations

from collections.abc import Sequence

import torch
from mmengine import dist
from mmocr.structures import TextRecogDataSample
from torch import Tensor

from mms_ocr.models.textrecog.ctc_decoder import CTCDecoder
from mms_ocr.models.textrecog.word_decoder import columns_needed


def auxiliary_losses(
    head: CTCDecoder,
    feature_map: Tensor | None,
    data_samples: Sequence[TextRecogDataSample],
    weight: float,
) -> dict[str, Tensor]:
    """Compute the losses of a CTC head that is used in training alone.

    Words that the columns of the map cannot spell are skipped. The losses are means over the words
    of all processes of a job, times ``weight``; 0 if no word can be spelled. ``gt_text.indexes`` of
    the samples become those of the head.
    """
    logits = head.forward_train(feature_map)
    targets = head.module_loss.get_targets(data_samples)
    columns = [columns_needed(sample.gt_text.indexes.tolist()) for sample in targets]
    spelled = [index for index, needed in enumerate(columns) if needed <= logits.shape[1]]
    # Every process takes part in the mean, or the others would wait for it.
    factor = weight * scale_mean(logits.new_ones(()), torch.tensor(len(spelled)))
    if not spelled:
        return {"loss_ctc": 0 * logits.sum()}  # DDP needs a gradient of every weight
    if len(spelled) < len(targets):
        logits, targets = logits[spelled], [targets[index] for index in spelled]
    return {name: factor * loss for name, loss in head.module_loss(logits, targets).items()}


def scale_mean(mean: Tensor, count: Tensor) -> Tensor:
    """Scale a mean over ``count`` items so that the mean over processes is that over all items.

    Processes average their gradients with equal weights, whatever their number of items.
    """
    if dist.get_world_size() == 1:
        return mean
    total = count.detach().to(mean.device, torch.float32)
    share = total.clone()
    dist.all_reduce(total)
    return mean * (share * dist.get_world_size() / total.clamp(min=1))
