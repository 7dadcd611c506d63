"""Skipping steps whose loss or gradients are NaN or infinite."""

from __future__ import annotations

from typing import Any

import torch
from mmengine import dist
from mmengine.hooks import Hook
from mmengine.optim import OptimWrapper, OptimWrapperDict
from mmengine.runner import Runner
from torch import Tensor

from mms_ocr.engine.failures import NonFiniteError
from mms_ocr.registry import HOOKS

_MIN_SCALE = 1.0  # of fp16; gradients that overflow at this scale are not finite without it either


@HOOKS.register_module()
class SkipNonFiniteHook(Hook):
    """Skips the step of a batch whose loss or gradients are not finite, on all ranks alike.

    Weights and the optimizer's state do not change. The log reports each skipped step; their
    number is ``skipped_steps`` in the message hub, and so in the checkpoints. Steps whose gradients
    overflow because of fp16's loss scale are counted apart (``overflowed_steps``), as long as the
    scale falls and is not below 1.

    Args:
        max_in_row: Number of skipped steps in a row that ends the run; at least 1.

    Raises:
        ValueError: ``max_in_row`` is less than 1.
    """

    priority = "NORMAL"

    def __init__(self, max_in_row: int = 10) -> None:
        if max_in_row < 1:
            raise ValueError(f"max_in_row must be at least 1, got {max_in_row}")
        self.max_in_row = max_in_row
        self.skipped = 0
        self.in_row = 0
        self.overflowed = 0
        self._finite_losses: Tensor | None = None  # those of this cycle of accumulation
        self._reached_step = False
        self._skipped_now = False
        self._updated_now = False

    def before_train(self, runner: Runner) -> None:
        """Check every step from now on."""
        info = runner.message_hub.runtime_info
        self.skipped = int(info.get("skipped_steps", 0))
        self.in_row = int(info.get("skipped_steps_in_row", 0))
        self.overflowed = int(info.get("overflowed_steps", 0))
        for wrapper in _wrappers(runner):
            self._watch(wrapper)
            wrapper.optimizer.register_step_pre_hook(self._before_step)

    def after_train_iter(
        self, runner: Runner, batch_idx: int, data_batch: Any = None, outputs: Any = None
    ) -> None:
        """Count the step, and end the run after too many.

        Raises:
            NonFiniteError: Too many steps in a row were skipped.
        """
        skipped, updated = self._skipped_now, self._updated_now
        finite_losses = self._finite_losses
        self._skipped_now = self._updated_now = False
        if updated:
            self._finite_losses = None
        if not skipped:
            if self.in_row and updated:
                self.in_row = 0
                runner.message_hub.update_info("skipped_steps_in_row", 0)
            return
        scale = _falling_scale(runner)
        if scale is not None and _on_all_ranks(finite_losses):
            self.overflowed += 1
            runner.message_hub.update_info("overflowed_steps", self.overflowed)
            runner.logger.info(
                f"step {runner.iter + 1} was skipped: its gradients overflow in fp16; the loss "
                f"scale is now {scale:g}; {self.overflowed} such steps in all"
            )
            return
        self.skipped += 1
        self.in_row += 1
        runner.message_hub.update_info("skipped_steps", self.skipped)
        runner.message_hub.update_info("skipped_steps_in_row", self.in_row)
        losses = {key: value for key, value in (outputs or {}).items() if "loss" in key}
        values = ", ".join(f"{key} {float(value):g}" for key, value in losses.items())
        runner.logger.warning(
            f"step {runner.iter + 1} was skipped: its loss or gradients are not finite ({values}); "
            f"{self.in_row} in a row, {self.skipped} in all"
        )
        if self.in_row >= self.max_in_row:
            raise NonFiniteError(
                f"{self.in_row} steps in a row, up to iteration {runner.iter + 1}, had a loss or "
                f"gradients that are not finite ({values}): lower the learning rate, clip "
                "gradients (optim_wrapper.clip_grad), or check the data; --resume continues "
                "from the last checkpoint"
            )

    def _watch(self, wrapper: OptimWrapper) -> None:
        update = wrapper.update_params

        def update_params(loss: Tensor, *args: Any, **kwargs: Any) -> None:
            self._reached_step = False
            finite = loss.detach().isfinite().all()
            before = self._finite_losses
            self._finite_losses = finite if before is None else finite & before
            update(with_nan_gradient(loss), *args, **kwargs)
            if wrapper.should_update():
                self._updated_now = True
                # The scaler of fp16 checks gradients too, and skips the step.
                self._skipped_now |= not self._reached_step

        wrapper.update_params = update_params

    def _before_step(self, optimizer: torch.optim.Optimizer, args: Any, kwargs: Any) -> None:
        self._reached_step = True
        parameters = (value for group in optimizer.param_groups for value in group["params"])
        gradients = [value.grad for value in parameters if value.grad is not None]
        # DDP averages gradients over the ranks, so that they are the same on all of them.
        if not all_finite(gradients):
            self._skipped_now = True
            # An optimizer skips parameters without a gradient.
            optimizer.zero_grad(set_to_none=True)


def _wrappers(runner: Runner) -> list[OptimWrapper]:
    wrapper = runner.optim_wrapper
    return list(wrapper.values()) if isinstance(wrapper, OptimWrapperDict) else [wrapper]


def _falling_scale(runner: Runner) -> float | None:
    """Return the loss scale of fp16, if it is dynamic and can fall further."""
    for wrapper in _wrappers(runner):
        scaler = getattr(wrapper, "loss_scaler", None)
        if scaler is not None and getattr(wrapper, "_scale_update_param", None) is None:
            scale = float(scaler.get_scale())
            return scale if scale >= _MIN_SCALE else None
    return None


def _on_all_ranks(flag: Tensor | None) -> bool:
    """Return whether a flag is set on every rank; called on all of them."""
    if flag is None:
        return True
    flag = flag.float()
    if dist.get_world_size() > 1:
        torch.distributed.all_reduce(flag, torch.distributed.ReduceOp.MIN)
    return bool(flag)


def all_finite(tensors: list[Tensor]) -> bool:
    """Return whether every value of every tensor is finite; transfers one value from the device."""
    if not tensors:
        return True
    # A sum of squares is not finite where a value is not.
    norms = [norm.float() for norm in torch._foreach_norm(tensors)]
    return bool(torch.stack(norms).isfinite().all())


def with_nan_gradient(loss: Tensor) -> Tensor:
    """Return the same loss, with gradients of NaN, which all ranks see, if it is not finite."""
    return loss * (1 + 0 * loss.detach())
