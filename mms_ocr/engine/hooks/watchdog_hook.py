"""Ending a run that hangs, with the stacks of every rank."""

from __future__ import annotations

import faulthandler
import os
import sys
import threading
import time
from pathlib import Path
from types import FrameType
from typing import Any

from mmengine import dist
from mmengine.hooks import Hook
from mmengine.runner import Runner

from mms_ocr.registry import HOOKS
from mms_ocr.utils.errors import report_error

_STATUS = 1
_GRACE = 10.0  # seconds between two ranks that notice the same hang, at most
_RUNS = {method.__code__ for method in (Runner.train, Runner.val, Runner.test)}


@HOOKS.register_module()
class WatchdogHook(Hook):
    """Ends a process that makes no progress, and writes the stacks of its threads to a file.

    If the process neither trains, validates nor saves for ``timeout`` seconds, a thread writes
    ``<log_dir>/hang_rank<R>.txt``, prints one line with the name of that file, and ends the process
    with status 1. In a job, every rank does so: the one at fault does not wait for others.

    Args:
        timeout: Seconds without progress. The time-out of the process group
            (``env_cfg.dist_cfg.timeout``) should be longer, since it writes no stacks.

    Raises:
        ValueError: ``timeout`` is not positive.
    """

    # After all other hooks, an iteration is done.
    priority = "LOWEST"

    def __init__(self, timeout: float = 1800) -> None:
        if timeout <= 0:
            raise ValueError(f"timeout must be positive, got {timeout} seconds")
        self.timeout = timeout
        self._over = threading.Event()
        self._progress("starting")

    def before_run(self, runner: Runner) -> None:
        """Start the thread."""
        self._over.clear()
        self._progress("starting")
        arguments = (threading.get_ident(), Path(runner.log_dir))
        threading.Thread(target=self._watch, args=arguments, name="watchdog", daemon=True).start()

    def before_train_iter(self, runner: Runner, *args: Any, **kwargs: Any) -> None:
        """Note that a batch was read."""
        self._progress(f"training at iteration {runner.iter}")

    def after_train_iter(self, runner: Runner, *args: Any, **kwargs: Any) -> None:
        """Note that an iteration is done."""
        self._progress(f"reading the batch of iteration {runner.iter + 1}")

    def before_save_checkpoint(self, runner: Runner, *args: Any, **kwargs: Any) -> None:
        """Note that a checkpoint is about to be written."""
        self._progress(f"saving a checkpoint at iteration {runner.iter}")

    def after_val_iter(self, runner: Runner, *args: Any, **kwargs: Any) -> None:
        """Note that a validation starts, continues or ends."""
        self._progress(f"validating at iteration {runner.iter}")

    before_val = after_val = after_val_iter

    def after_test_iter(self, runner: Runner, batch_idx: int, *args: Any, **kwargs: Any) -> None:
        """Note that a batch was tested."""
        self._progress(f"testing after batch {batch_idx}")

    def after_run(self, runner: Runner) -> None:
        """Stop the thread."""
        self._over.set()

    def _progress(self, activity: str) -> None:
        self._activity, self._since = activity, time.monotonic()

    def _watch(self, thread: int, log_dir: Path) -> None:
        while not self._over.wait(max(0.01, self._since + self.timeout - time.monotonic())):
            if time.monotonic() - self._since < self.timeout:
                continue
            if is_running(sys._current_frames().get(thread)):
                self._end(log_dir)
            return

    def _end(self, log_dir: Path) -> None:
        rank, seconds = dist.get_rank(), time.monotonic() - self._since
        line = f"rank {rank} has made no progress for {seconds:.0f} s, {self._activity}"
        path = log_dir / f"hang_rank{rank}.txt"
        try:
            with path.open("w") as file:
                faulthandler.dump_traceback(file)
            line += f"; the stacks of its threads are in {path}"
        except OSError:
            faulthandler.dump_traceback()
        report_error("train.py", f"{line}; continue with --resume")
        # Other ranks end when this process does: let them write their stacks first.
        if dist.get_world_size() > 1:
            time.sleep(min(_GRACE, self.timeout))
        os._exit(_STATUS)


def is_running(frame: FrameType | None) -> bool:
    """Return whether the thread whose innermost frame this is, is in a run of MMEngine's runner.

    A run that ends by an error calls no hook, and the process may continue without it.
    """
    while frame is not None:
        if frame.f_code in _RUNS:
            return True
        frame = frame.f_back
    return False
