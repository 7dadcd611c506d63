"""Losses of an auxiliary CTC head, and of attention outside of characters, for TextDecoder."""

from __future__ import annotations

import math
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from typing import Any

import torch
from mmengine import dist
from mmocr.structures import TextRecogDataSample
from torch import Tensor

from mms_ocr.models.textrecog.ctc_decoder import CTCDecoder
from mms_ocr.models.textrecog.word_decoder import columns_needed

_SMALLEST = 1e-6  # attention whose logarithm is taken


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


def character_columns(
    data_samples: Sequence[TextRecogDataSample], steps: int, width: int
) -> Tensor:
    """Mark the columns of every character, bool ``(N, steps, width)``, in reading order.

    The ends of a character are in ``char_spans`` of its word. Words without these have no columns,
    nor have characters outside the image and steps after the last character.
    """
    marks = torch.zeros(len(data_samples), steps, width, dtype=torch.bool)
    for row, sample in zip(marks, data_samples):
        spans = sample.get("char_spans", ())
        if len(spans) != len(sample.gt_text.item):
            continue
        scale = sample.get("valid_ratio", 1.0) * width
        for step, (left, right) in zip(row, spans):
            step[max(0, math.floor(left * scale)) : max(0, math.ceil(right * scale))] = True
    return marks


def located_attention(attention: Tensor, columns: Tensor, rows: int) -> tuple[Tensor, Tensor]:
    """Compute how far attention is from the columns of the characters.

    It is the mean of -log of the share of attention, a mean over heads, on a character's columns.

    Args:
        attention: Of every step to the tokens of a map, ``(N, heads, steps, H * W)``.
        columns: Those of :func:`character_columns`, ``(N, steps, W)``.
        rows: H.

    Returns:
        The mean, 0 of no characters, and the number of characters.
    """
    columns = columns.to(attention.device)
    by_column = attention.float().mean(dim=1).unflatten(-1, (rows, -1)).sum(dim=2)
    on_character = (by_column * columns).sum(dim=-1).clamp(min=_SMALLEST)
    is_known = columns.any(dim=-1)
    count = is_known.sum()
    return -(on_character.log() * is_known).sum() / count.clamp(min=1), count


@contextmanager
def recorded_attention(layer: Any) -> Iterator[list[Tensor]]:
    """Record the attention of a decoder layer of MMOCR to the image, ``(N, heads, T, L)``."""
    recorded: list[Tensor] = []
    hook = layer.enc_attn.attention.register_forward_hook(
        lambda module, inputs, outputs: recorded.append(outputs[1])
    )
    try:
        yield recorded
    finally:
        hook.remove()
