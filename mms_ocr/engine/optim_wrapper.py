"""bf16 and fp16 training on every device."""

from __future__ import annotations

import contextlib
from collections.abc import Iterator, Mapping
from typing import Any

import torch
from mmengine.logging import print_log
from mmengine.optim import AmpOptimWrapper, OptimWrapper
from torch import nn

from mms_ocr.registry import OPTIM_WRAPPERS


@OPTIM_WRAPPERS.register_module()
class Bf16OptimWrapper(OptimWrapper):
    """Runs forward passes under bf16 autocast, on CPU and GPU.

    MMEngine's ``AmpOptimWrapper`` refuses to run without a GPU. bf16 has the exponent range of
    float32 and needs no loss scaling.

    Args:
        enabled: Whether to use bf16; None uses it if the device computes in it natively, since
            emulated bf16 is slower than float32.
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
            precision = "bf16" if self.enabled else "float32, since it has no native bf16"
            print_log(f"training on {device_type} in {precision}", logger="current")
        with (
            super().optim_context(model),
            torch.autocast(device_type, dtype=torch.bfloat16, enabled=self.enabled),
        ):
            yield


@OPTIM_WRAPPERS.register_module()
class Fp16OptimWrapper(AmpOptimWrapper):
    """Runs forward passes under fp16 autocast with loss scaling, on CPU and GPU.

    Does what MMEngine's ``AmpOptimWrapper`` does with ``dtype="float16"``, also without a GPU; runs
    resume from checkpoints of either. A step whose gradients overflow only halves the scale.

    Args:
        loss_scale: ``'dynamic'``; arguments of torch's ``GradScaler`` (``init_scale``,
            ``growth_interval``, …); or a fixed scale.
        **kwargs: Arguments of MMEngine's ``OptimWrapper``.

    Raises:
        ValueError: ``loss_scale`` is of another kind.
    """

    def __init__(
        self, loss_scale: str | float | Mapping[str, Any] = "dynamic", **kwargs: Any
    ) -> None:
        OptimWrapper.__init__(self, **kwargs)  # AmpOptimWrapper's needs a GPU
        fixed = isinstance(loss_scale, (int, float)) and not isinstance(loss_scale, bool)
        if fixed:
            settings: dict[str, Any] = {"init_scale": float(loss_scale)}  # type: ignore[arg-type]
        elif loss_scale == "dynamic" or isinstance(loss_scale, Mapping):
            settings = {} if loss_scale == "dynamic" else dict(loss_scale)  # type: ignore[arg-type]
        else:
            kinds = "'dynamic', a number or arguments of GradScaler"
            raise ValueError(f"loss_scale must be {kinds}, got {loss_scale!r}")
        self._scale_update_param = settings["init_scale"] if fixed else None
        self.cast_dtype = torch.float16
        self.loss_scaler = torch.amp.GradScaler(_device_type(self.optimizer), **settings)

    @contextlib.contextmanager
    def optim_context(self, model: nn.Module) -> Iterator[None]:
        """Context of one forward pass."""
        with (
            OptimWrapper.optim_context(self, model),
            torch.autocast(_device_type(self.optimizer), dtype=torch.float16),
        ):
            yield


def _device_type(optimizer: torch.optim.Optimizer) -> str:
    """Return the device type of the parameters."""
    return next(value for group in optimizer.param_groups for value in group["params"]).device.type


def computes_bf16(device_type: str) -> bool:
    """Return whether a device, such as 'cpu' or 'cuda', multiplies bf16 matrices natively."""
    if device_type == "cuda":
        return torch.cuda.is_bf16_supported(including_emulation=False)
    if device_type == "cpu":
        # Private to torch, and not in every release.
        tests = ("_is_avx512_bf16_supported", "_is_amx_tile_supported")
        return any(getattr(torch.cpu, test, bool)() for test in tests)
    return False
