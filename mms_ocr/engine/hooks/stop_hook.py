"""Saving and stopping a run on a signal."""

from __future__ import annotations

import os
import signal
import threading
from collections.abc import Sequence
from types import FrameType
from typing import Any

import torch
from mmengine import dist
from mmengine.hooks import Hook
from mmengine.runner import EpochBasedTrainLoop, Runner

from mms_ocr.engine.failures import ValidationStopped
from mms_ocr.engine.hooks.checkpoint_hook import AtomicCheckpointHook, between_updates
from mms_ocr.engine.hooks.watchdog_hook import is_running
from mms_ocr.engine.loops import Resumable
from mms_ocr.registry import HOOKS

# EX_TEMPFAIL of sysexits.h: nothing is wrong, and the same command resumes.
EXIT_AGAIN = 75
# Windows has no SIGUSR1.
_SIGNALS = tuple(name for name in ("SIGTERM", "SIGUSR1") if name in signal.Signals.__members__)


@HOOKS.register_module()
class StopOnSignalHook(Hook):
    """Saves and ends a run after the iteration in which any of its processes got a signal.

    Slurm sends such signals before it preempts a job and before its time is over. The ranks agree
    on the last iteration by a message that travels while they compute the next one, so that none
    waits. ``tools/train.py`` then exits with status 75, and ``--resume`` continues. With gradient
    accumulation, the run ends after the cycle. A run of one process stops in a validation if it has
    saved this iteration; other runs end it first. The resumed run repeats a cut validation.

    Args:
        signals: Names of the signals; by default SIGTERM and, where it exists, SIGUSR1.

    Raises:
        ValueError: This system has no such signal.
    """

    # Before the checkpoint hook, which then saves.
    priority = "LOW"

    def __init__(self, signals: Sequence[str] = _SIGNALS) -> None:
        unknown = [name for name in signals if name not in signal.Signals.__members__]
        if unknown:
            raise ValueError(f"signals={list(signals)}: this system has no {unknown[0]}")
        self.signals = [signal.Signals[name] for name in signals]
        self.stopped: str | None = None
        self._received: str | None = None
        self._agreed = False
        self._previous: dict[int, Any] = {}
        self._group: Any = None
        self._pending: Any = None
        self._flag = torch.zeros(1, dtype=torch.int32)

    def before_train(self, runner: Runner) -> None:
        """Install the signal handlers; ValueError if the loop cannot stop within an epoch."""
        loop = runner.train_loop
        if isinstance(loop, EpochBasedTrainLoop) and not isinstance(loop, Resumable):
            raise ValueError(
                f"{type(loop).__name__} cannot stop before the end of an epoch, which never comes "
                "with an endless sampler; set train_cfg=dict(type='mms_ocr.ResumableEpochLoop', "
                f"max_epochs={loop.max_epochs}), or remove StopOnSignalHook from default_hooks"
            )
        if _checkpoint_hook(runner) is None:
            runner.logger.warning(
                "a signal will end this run without saving, since it has no "
                "mms_ocr.AtomicCheckpointHook; set default_hooks.checkpoint.type to it"
            )
        if threading.current_thread() is threading.main_thread():
            self._previous = {number: signal.signal(number, self._note) for number in self.signals}
        if dist.get_world_size() > 1:
            # A separate group, on the CPU: its messages do not wait for those of the training.
            self._group = torch.distributed.new_group(backend="gloo")

    def after_train_iter(self, runner: Runner, *args: Any, **kwargs: Any) -> None:
        """Stop if any rank had a signal by the end of the last iteration, and all can be saved."""
        self._agreed = self._agreed or self._agree()
        if self._agreed and between_updates(runner):
            self._stop(runner, save=True)

    def after_val_iter(self, runner: Runner, *args: Any, **kwargs: Any) -> None:
        """Stop if everything is saved; the training loop catches ValidationStopped."""
        # Ranks may validate on different numbers of batches: they cannot agree here.
        if self._received is None or dist.get_world_size() > 1:
            return
        checkpoint = _checkpoint_hook(runner)
        if checkpoint is not None and checkpoint.saved_iteration == runner.iter:
            self._stop(runner, save=False)
            raise ValidationStopped

    def after_train(self, runner: Runner) -> None:
        """Restore the previous signal handlers."""
        if self._pending is not None:
            self._pending.wait()
            self._pending = None
        self._restore_handlers()

    def _note(self, number: int, frame: FrameType | None) -> None:
        if is_running(frame):
            self._received = signal.Signals(number).name
            return
        # Training has ended by an error, and the process continues without it.
        self._restore_handlers()
        os.kill(os.getpid(), number)

    def _restore_handlers(self) -> None:
        for number, handler in self._previous.items():
            signal.signal(number, handler)
        self._previous = {}

    def _agree(self) -> bool:
        if self._group is None:
            return self._received is not None
        agreed = False
        if self._pending is not None:
            self._pending.wait()
            agreed = bool(self._flag)
        self._flag.fill_(self._received is not None)
        self._pending = torch.distributed.all_reduce(
            self._flag, torch.distributed.ReduceOp.MAX, group=self._group, async_op=True
        )
        return agreed

    def _stop(self, runner: Runner, save: bool) -> None:
        self.stopped = self._received or "a signal to another rank"
        checkpoint = _checkpoint_hook(runner)
        if save and checkpoint is not None:
            checkpoint.is_requested = True
        runner.train_loop.stop_training = True
        place = "here" if checkpoint is not None else "the last checkpoint: nothing is saved now"
        runner.logger.warning(
            f"stopping after iteration {runner.iter + save} because of {self.stopped}; "
            f"--resume continues from {place}"
        )


def _checkpoint_hook(runner: Runner) -> AtomicCheckpointHook | None:
    hooks = [hook for hook in runner.hooks if isinstance(hook, AtomicCheckpointHook)]
    return hooks[0] if hooks else None
