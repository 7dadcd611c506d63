"""Schedules for runs of any length."""

from __future__ import annotations

import logging
import math
from collections.abc import Callable, Iterator
from typing import Any

from mmengine.config import Config
from mmengine.logging import print_log

from mms_ocr.registry import type_name

_LENGTHS = ("begin", "end", "T_max", "step_size", "total_steps", "milestones", "periods")


def set_iterations(cfg: Config, iterations: int) -> None:
    """Change the length of a run, and scale everything that is counted in iterations.

    Warm-up and decay keep their share of the run; validations and checkpoints keep their number.
    The config is changed in place.

    Raises:
        ValueError: The config does not count iterations, or the length is less than 1.
    """
    if "max_iters" not in (cfg.get("train_cfg") or {}):
        raise ValueError("train_cfg has no max_iters to change; use --epochs if it has max_epochs")
    if iterations < 1:
        raise ValueError(f"a run needs at least 1 iteration, got {iterations}")
    _set_length(cfg, "max_iters", iterations)
    hooks = cfg.get("default_hooks") or {}
    if (logger := hooks.get("logger")) and logger.get("interval"):
        logger["interval"] = max(1, min(logger["interval"], iterations // 10))


def set_epochs(cfg: Config, epochs: float) -> None:
    """Change the length of a run that counts epochs, and scale its schedule, in place.

    Raises:
        ValueError: The length is not an integer of at least 1.
    """
    if epochs < 1 or epochs != int(epochs):
        reason = "since train_cfg counts epochs"
        raise ValueError(f"--epochs must be an integer of at least 1, {reason}; got {epochs:g}")
    _set_length(cfg, "max_epochs", int(epochs))


def _set_length(cfg: Config, unit: str, length: int) -> None:
    """Set ``train_cfg.max_iters`` or ``max_epochs``, and scale all that is counted in it."""
    train_cfg = cfg.train_cfg
    ratio = length / train_cfg[unit]

    def scaled(value: int) -> int:
        return max(1, round(value * ratio)) if value else value

    def within(settings: Any, *keys: str) -> None:
        for key in keys:
            if isinstance(settings.get(key), int) and settings[key] > 0:
                settings[key] = min(scaled(settings[key]), length)

    train_cfg[unit] = length
    within(train_cfg, "val_interval", "val_begin")
    if intervals := train_cfg.get("dynamic_intervals"):
        train_cfg["dynamic_intervals"] = [
            (scaled(begin), min(scaled(interval), length)) for begin, interval in intervals
        ]
    for scheduler in _schedulers(cfg.get("param_scheduler")):
        _scale_scheduler(scheduler, scaled)
    if cfg.get("param_scheduler"):
        # A run of one iteration is all warm-up: nothing is left for the decay.
        cfg["param_scheduler"] = _without_empty(cfg["param_scheduler"])
    fit_warm_ups(cfg.get("param_scheduler"))
    by_epoch = unit == "max_epochs"
    named = dict(cfg.get("default_hooks") or {})
    for name, hook in [*named.items(), *(("", hook) for hook in cfg.get("custom_hooks") or [])]:
        kind = type_name(hook or {})
        if hook and (name == "checkpoint" or "CheckpointHook" in kind):
            if hook.get("by_epoch", by_epoch) == by_epoch:
                within(hook, "interval", "save_begin")
        elif "EMAHook" in kind:
            within(hook, "begin_epoch" if by_epoch else "begin_iter")


def _scale_scheduler(scheduler: Any, scaled: Callable[[int], int]) -> None:
    span = (scheduler.get("end") or 0) - (scheduler.get("begin") or 0)
    whole = scheduler.get("T_max") == span  # half a cosine over the whole span
    for key in _LENGTHS:
        value = scheduler.get(key)
        if value:
            is_list = isinstance(value, (list, tuple))
            scheduler[key] = list(map(scaled, value)) if is_list else scaled(value)
    if whole:
        scheduler["T_max"] = max(1, scheduler["end"] - (scheduler.get("begin") or 0))


def fit_warm_ups(schedulers: Any, epoch_length: int = 1) -> None:
    """Let a warm-up of one step start at its final rate, in place.

    MMEngine's ``LinearLR`` and ``ConstantLR`` reach their final rate in the last but one step of
    their span; over one step they keep the start rate for the whole run. ``epoch_length`` is in
    iterations, for schedulers that are converted from epochs.
    """
    for scheduler in _schedulers(schedulers):
        kind = type_name(scheduler)
        steps = (scheduler.get("end") or math.inf) - (scheduler.get("begin") or 0)
        if scheduler.get("convert_to_iter_based"):
            steps *= epoch_length
        if steps < 2 and "Linear" in kind:
            scheduler["start_factor"] = scheduler.get("end_factor", 1.0)
        elif steps < 2 and "Constant" in kind:
            scheduler["factor"] = 1.0


def check_counting(runner: Any, max_iters: int, epoch_length: int, by_epoch: bool) -> None:
    """Check that schedulers and hooks count in the unit of the training loop.

    In a loop of iterations, a scheduler or checkpoint hook that counts epochs never acts. The
    schedulers of the runner are not built yet; ``epoch_length`` is in iterations. Raises ValueError
    if one counts epochs, but not the loop (``by_epoch``), or a hook begins after the run.
    """
    for scheduler in _schedulers(runner.param_schedulers):
        counts_epochs = scheduler.get("by_epoch", True)
        converted = scheduler.get("convert_to_iter_based", False)
        kind = f"param_scheduler {type_name(scheduler)}"
        # ReduceOnPlateau counts validations, which both loops have.
        if counts_epochs and not (converted or by_epoch or "Plateau" in kind):
            raise ValueError(
                f"{kind} counts epochs (by_epoch=True is its default), and train_cfg counts "
                "iterations: it would never step; add by_epoch=False to it"
            )
        last = (scheduler.get("end") or 0) * (epoch_length if counts_epochs else 1)
        if "start_factor" in scheduler and last > max_iters:
            line = (
                f"the warm-up of {kind} ends at iteration {last:,}, after the run of "
                f"{max_iters:,}: the full rate is never reached; shorten it, or set the length of "
                "run and schedule together by --iterations"
            )
            print_log(line, logger="current", level=logging.WARNING)
    for hook in runner.hooks:
        kind = type(hook).__name__
        if getattr(hook, "begin_iter", 0) > max_iters:
            raise ValueError(
                f"{kind} begins at iteration {hook.begin_iter:,}, after the run of {max_iters:,}; "
                "lower its begin_iter"
            )
        if not by_epoch and getattr(hook, "begin_epoch", 0) > 1:
            raise ValueError(
                f"{kind} begins at epoch {hook.begin_epoch}, and train_cfg counts iterations; set "
                "begin_iter instead of begin_epoch"
            )
        if not by_epoch and getattr(hook, "by_epoch", False) and getattr(hook, "interval", 0) > 0:
            raise ValueError(
                f"{kind} counts epochs (by_epoch=True is its default), and train_cfg counts "
                "iterations: it would wait for the end of the run; add by_epoch=False to it"
            )


def _schedulers(settings: Any) -> Iterator[Any]:
    """Yield the configs of schedulers: of one, several, or some for each optimizer."""
    if isinstance(settings, dict) and "type" in settings:
        yield settings
    elif isinstance(settings, dict | list | tuple):
        for part in settings.values() if isinstance(settings, dict) else settings:
            yield from _schedulers(part)


def _without_empty(settings: Any) -> Any:
    if isinstance(settings, dict) and "type" not in settings:
        return {name: _without_empty(part) for name, part in settings.items()}
    return [
        scheduler
        for scheduler in _schedulers(settings)
        if (scheduler.get("begin") or 0) < (scheduler.get("end") or math.inf)
    ]
