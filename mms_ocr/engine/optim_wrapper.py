"""bf16 training on every device."""

from __future__ import annotations

import contextlib
from collections.abc import Iterator
from typing import Any

import torch
from mmengine.optim import OptimWrapper
from torch import nn

from mms_ocr.registry import OPTIM_WRAPPERS

__all__ = ["Bf16OptimWrapper"]


@OPTIM_WRAPPERS.register_module()
class Bf16OptimWrapper(OptimWrapper):
    """Runs forward passes under bf16 autocast, on CPU as well as on GPU.

    MMEngine's ``AmpOptimWrapper`` refuses to run without a GPU, where bf16 is faster too. bf16 has
    the exponent range of float32, so that no loss scaling is needed.

    Args:
        enabled: False trains in float32 with the same config.
        **kwargs: Arguments of MMEngine's ``OptimWrapper``.
    """

    def __init__(self, enabled: bool = True, **kwargs: Any) -> None:
        super().__init__(**kwargs)
        self.enabled = enabled

    @contextlib.contextmanager
    def optim_context(self, model: nn.Module) -> Iterator[None]:
        """Context of one forward pass."""
        device_type = next(model.parameters()).device.type
        with (
            super().optim_context(model),
            torch.autocast(device_type, dtype=torch.bfloat16, enabled=self.enabled),
        ):
            yield
