"""bf16 training on every device."""

from __future__ import annotations

import contextlib
import logging
from collections.abc import Iterator
from typing import Any

import torch
from mmengine.logging import print_log
from mmengine.optim import OptimWrapper
from torch import nn

from mms_ocr.registry import OPTIM_WRAPPERS

__all__ = ["Bf16OptimWrapper", "computes_bf16"]


@OPTIM_WRAPPERS.register_module()
class Bf16OptimWrapper(OptimWrapper):
    """Runs forward passes under bf16 autocast, on CPU as well as on GPU.

    MMEngine's ``AmpOptimWrapper`` refuses to run without a GPU, where bf16 is faster too. bf16 has
    the exponent range of float32, so that no loss scaling is needed.

    Args:
        enabled: Whether to use bf16; None uses it where the device computes in it natively.
            Emulated, it would be slower than float32.
        **kwargs: Arguments of MMEngine's ``OptimWrapper``.
    """

    def __init__(self, enabled: bool | None = None, **kwargs: Any) -> None:
        super().__init__(**kwargs)
        self.enabled = enabled

    @contextlib.contextmanager
    def optim_context(self, model: nn.Module) -> Iterator[None]:
        """Context of one forward pass."""
        device_type = next(model.parameters()).device.type
        if self.enabled is None:
            self.enabled = computes_bf16(device_type)
            used = "bf16" if self.enabled else "float32, as it has no native bf16"
            print_log(f"training on {device_type} in {used}", logger="current", level=logging.INFO)
        with (
            super().optim_context(model),
            torch.autocast(device_type, dtype=torch.bfloat16, enabled=self.enabled),
        ):
            yield


def computes_bf16(device_type: str) -> bool:
    """Whether a device multiplies matrices in bf16 natively: 'cpu', 'cuda' or another."""
    if device_type == "cuda":
        return torch.cuda.is_bf16_supported(including_emulation=False)
    if device_type == "cpu":
        # Private to torch, and not in every release.
        tests = ("_is_avx512_bf16_supported", "_is_amx_tile_supported")
        return any(getattr(torch.cpu, test, bool)() for test in tests)
    return False
