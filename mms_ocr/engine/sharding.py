"""Optimizer states parted among processes (ZeRO, stage 1; arXiv 1910.02054)."""

from __future__ import annotations

from collections.abc import Iterable
from typing import Any

import torch
from mmengine import dist
from mmengine.optim import BaseOptimWrapper
from torch.distributed.optim import ZeroRedundancyOptimizer

from mms_ocr.registry import OPTIMIZERS


@OPTIMIZERS.register_module()
class ShardedOptimizer(ZeroRedundancyOptimizer):
    """Another optimizer, of which each process keeps the states of a part of the parameters.

    Two states of AdamW take twice the memory of the parameters; over N processes, an N-th of that
    is left on each. Every process updates its part and sends it to the others. Checkpoints hold the
    states of all, as those of the plain optimizer do, and either goes on from the other's.

    MMEngine's own ``ZeroRedundancyOptimizer`` waits for ever when a checkpoint is saved: it
    collects the states of all processes, and MMEngine lets only the first one save.

    Args:
        params: Parameters or groups.
        optimizer_type: Name of a class of ``torch.optim``.
        **kwargs: Its arguments.

    Raises:
        ValueError: There is only one process, or no such optimizer.
    """

    def __init__(self, params: Iterable[Any], optimizer_type: str, **kwargs: Any) -> None:
        kind = getattr(torch.optim, optimizer_type, None)
        if kind is None:
            raise ValueError(f"optimizer_type={optimizer_type!r} is no optimizer of torch.optim")
        if not dist.is_distributed():
            raise ValueError(
                "mms_ocr.ShardedOptimizer parts its states among processes, and this is the only "
                "one; start it with tools/dist_train.sh, or use the plain optimizer"
            )
        super().__init__(list(params), kind, **kwargs)


def gather_states(optim_wrapper: BaseOptimWrapper) -> None:
    """Bring the states of a sharded optimizer to the first process; called on all of them."""
    optimizer = getattr(optim_wrapper, "optimizer", None)
    if isinstance(optimizer, ZeroRedundancyOptimizer):
        optimizer.consolidate_state_dict()
