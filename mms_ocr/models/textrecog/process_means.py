"""Means over all processes of a job, where each has another number of things to average."""

from __future__ import annotations

import torch
from mmengine import dist
from torch import Tensor


def scale_mean(mean: Tensor, count: Tensor) -> Tensor:
    """Scale a mean over this process's items: processes then average to the mean over all items.

    Processes average their gradients, as if each had as many items. Where an item is a character of
    a label, those of a process with short labels would weigh more than the others.

    Args:
        mean: Of ``count`` items; scalar.
        count: How many items this process has; scalar.
    """
    if dist.get_world_size() == 1:
        return mean
    total = count.detach().to(mean.device, torch.float32)
    share = total.clone()
    dist.all_reduce(total)
    return mean * (share * dist.get_world_size() / total.clamp(min=1))
