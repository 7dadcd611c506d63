"""Stretching and shrinking the schedule of a config."""

from __future__ import annotations

import math

from mmengine.config import Config

__all__ = ["set_iterations"]


def set_iterations(cfg: Config, iterations: int) -> None:
    """Change the length of an iteration-based run, and everything measured in iterations with it.

    Warm-up and decay keep their share of the run, validation and checkpoints stay as many.

    Args:
        cfg: A config with ``train_cfg.max_iters``; changed in place.
        iterations: New length, at least 1.

    Raises:
        ValueError: The config does not count iterations, or the length is less than 1.
    """
    train_cfg = cfg.get("train_cfg") or {}
    if "max_iters" not in train_cfg:
        raise ValueError(
            "the length of a run can be changed only where train_cfg counts iterations (max_iters)"
        )
    if iterations < 1:
        raise ValueError(f"a run needs at least 1 iteration, got {iterations}")
    ratio = iterations / train_cfg["max_iters"]

    def scaled(value: int) -> int:
        return max(1, round(value * ratio))

    train_cfg["max_iters"] = iterations
    if "val_interval" in train_cfg:
        train_cfg["val_interval"] = min(scaled(train_cfg["val_interval"]), iterations)
    schedulers = cfg.get("param_scheduler") or []
    schedulers = [schedulers] if isinstance(schedulers, dict) else schedulers
    for scheduler in schedulers:
        for key in ("begin", "end", "T_max", "step_size", "total_steps"):
            if scheduler.get(key):
                scheduler[key] = scaled(scheduler[key])
        for key in ("milestones", "periods"):
            if scheduler.get(key):
                scheduler[key] = [scaled(value) for value in scheduler[key]]
    if schedulers:
        # A run of one iteration ends where its warm-up does: nothing is left to decay.
        cfg["param_scheduler"] = [
            s for s in schedulers if (s.get("begin") or 0) < (s.get("end") or math.inf)
        ]
    hooks = cfg.get("default_hooks") or {}
    checkpoint, logger = hooks.get("checkpoint"), hooks.get("logger")
    if checkpoint and checkpoint.get("interval", -1) > 0:
        checkpoint["interval"] = min(scaled(checkpoint["interval"]), iterations)
    if logger and logger.get("interval"):
        logger["interval"] = max(1, min(logger["interval"], iterations // 10))
