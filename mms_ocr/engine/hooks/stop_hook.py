"""Stopping a run by a signal, with everything saved."""

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
from mms_ocr.engine.heartbeats import is_running
from mms_ocr.engine.hooks.checkpoint_hook import AtomicCheckpointHook, between_updates
from mms_ocr.engine.loops import Resumable
from mms_ocr.registry import HOOKS

# EX_TEMPFAIL of sysexits.h: nothing is wrong, and the same command resumes.
EXIT_AGAIN = 75
# Windows has no SIGUSR1.
_SIGNALS = tuple(name for name in ("SIGTERM", "SIGUSR1") if name in signal.Signals.__members__)


@HOOKS.register_module()
class StopOnSignalHook(Hook):
    """Ends a run after the iteration in which any of its processes got a signal, and saves.

    With gradient accumulation it ends after the cycle, as half a cycle's gradients are not saved.

    Slurm sends such signals before it preempts a job and before its time is over. All ranks agree
    on the iteration to stop at: each tells the others whether it was signaled while it computes
    the next iteration, so that nobody waits. ``tools/train.py`` then exits with status 75, and goes
    on with ``--resume``.

    A run of one process that is signaled in a validation stops at once if it has a checkpoint of
    this iteration; others end the validation first. The resumed run makes up for a validation that
    did not end.

    Args:
        signals: Names of the signals; by default SIGTERM and, where it exists, SIGUSR1.
    """

    # Before the checkpoint hook, which then saves.
    priority = "LOW"

    def __init__(self, signals: Sequence[str] = _SIGNALS) -> None:
        unknown = [name for name in signals if name not in signal.Signals.__members__]
        if unknown:
            raise ValueError(f"there is no signal {unknown[0]} here; signals={list(signals)}")
        self.signals = [signal.Signals[name] for name in signals]
        self.stopped: str | None = None
        self._received: str | None = None
        self._agreed = False
        self._previous: dict[int, Any] = {}
        self._group: Any = None
        self._pending: Any = None
        self._flag = torch.zeros(1, dtype=torch.int32)

    def before_train(self, runner: Runner) -> None:
        """Install the signal handlers.

        Raises:
            ValueError: The loop does not stop before the end of an epoch.
        """
        loop = runner.train_loop
        if isinstance(loop, EpochBasedTrainLoop) and not isinstance(loop, Resumable):
            raise ValueError(
                f"{type(loop).__name__} continues to the end of an epoch after a signal, and never "
                "ends one of an endless sampler; set train_cfg=dict(type='mms_ocr."
                f"ResumableEpochLoop', max_epochs={loop.max_epochs}), or take StopOnSignalHook out "
                "of default_hooks"
            )
        if _checkpoint_hook(runner) is None:
            runner.logger.warning(
                "a signal will end this run without saving, as it has no "
                "mms_ocr.AtomicCheckpointHook; set default_hooks.checkpoint.type to it"
            )
        if threading.current_thread() is threading.main_thread():
            self._previous = {number: signal.signal(number, self._note) for number in self.signals}
        if dist.get_world_size() > 1:
            # A group of its own, on the CPU: its messages wait for none of the training.
            self._group = torch.distributed.new_group(backend="gloo")

    def after_train_iter(
        self,
        runner: Runner,
        batch_idx: int,
        data_batch: dict | tuple | list | None = None,
        outputs: dict | None = None,
    ) -> None:
        """Stop, if any rank was signaled by the end of the last iteration, and all can be saved."""
        self._agreed = self._agreed or self._agree()
        if self._agreed and between_updates(runner):
            self._stop(runner, save=True)

    def after_val_iter(
        self,
        runner: Runner,
        batch_idx: int,
        data_batch: dict | tuple | list | None = None,
        outputs: Sequence | None = None,
    ) -> None:
        """Stop, if everything is saved.

        Raises:
            ValidationStopped: It is; the loop of the training ends.
        """
        # Ranks may have different numbers of batches to validate on: they cannot agree here.
        if self._received is None or dist.get_world_size() > 1:
            return
        saved = _checkpoint_hook(runner)
        if saved is not None and saved.saved_iteration == runner.iter:
            self._stop(runner, save=False)
            raise ValidationStopped

    def after_train(self, runner: Runner) -> None:
        """Listen no more."""
        if self._pending is not None:
            self._pending.wait()
            self._pending = None
        self._listen_no_more()

    def _note(self, number: int, frame: FrameType | None) -> None:
        if is_running(frame, "train"):
            self._received = signal.Signals(number).name
            return
        # Training has ended by an error, and the process goes on without it.
        self._listen_no_more()
        os.kill(os.getpid(), number)

    def _listen_no_more(self) -> None:
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
            checkpoint.wanted = True
        runner.train_loop.stop_training = True
        place = "here" if checkpoint is not None else "the last checkpoint: nothing is saved now"
        runner.logger.warning(
            f"stopping after iteration {runner.iter + save} because of {self.stopped}; "
            f"--resume continues from {place}"
        )


def _checkpoint_hook(runner: Runner) -> AtomicCheckpointHook | None:
    hooks = [hook for hook in runner.hooks if isinstance(hook, AtomicCheckpointHook)]
    return hooks[0] if hooks else None
