"""Ending a run that hangs, and naming the rank that does."""

from __future__ import annotations

import atexit
import faulthandler
import os
import sys
import threading
import time
from collections.abc import Sequence
from pathlib import Path

from mmengine import dist
from mmengine.hooks import Hook
from mmengine.runner import Runner

from mms_ocr.engine.heartbeats import Report, Reports, current_place, describe_stall, is_running
from mms_ocr.registry import HOOKS

_STATUS = 1
_BETWEEN = 5.0  # seconds between two reports, where the time-out allows
_FULL_SPEED = 100  # ranks that may report as often
_MOST_TO_END = 20.0  # seconds that the watching thread is given to answer and to end

Batch = dict | tuple | list | None


@HOOKS.register_module()
class WatchdogHook(Hook):
    """Ends every process of a run that makes no progress, with a line that names who is at fault.

    A thread of each rank reports every few seconds where it is. A rank that neither trains,
    validates nor saves for ``timeout`` seconds, or whose peers have fallen silent for ``silence``
    seconds while it waits, looks at the reports of all ranks, prints one line, writes where all its
    threads are to ``<log_dir>/hang_rank<R>.txt``, and ends itself; whatever started the job ends
    the others.

    Args:
        timeout: Seconds without progress. The time-out of the process group should be longer
            (``env_cfg.dist_cfg.timeout``), as it cannot tell who is at fault.
        silence: Seconds without a report after which a process counts as dead.
    """

    # Once all other hooks are done, an iteration is.
    priority = "LOWEST"

    def __init__(self, timeout: float = 1800, silence: float = 120) -> None:
        if timeout <= 0 or silence <= 0:
            raise ValueError(
                f"timeout and silence must be positive, got {timeout} and {silence} seconds"
            )
        self.timeout = timeout
        self.silence = min(silence, timeout)
        self._step, self._doing, self._since = -1, "starting", time.monotonic()
        self._beat = 0
        self._watched = 0
        self._over = threading.Event()
        self._thread: threading.Thread | None = None

    def before_run(self, runner: Runner) -> None:
        """Start to watch."""
        rank, world_size = dist.get_dist_info()
        self._over.clear()
        self._watched = threading.get_ident()
        self._step, self._doing, self._since = -1, "starting", time.monotonic()
        reports = Reports(runner.timestamp, rank, world_size)
        self._thread = threading.Thread(
            target=self._watch, args=(reports, runner.log_dir), name="watchdog", daemon=True
        )
        self._thread.start()
        atexit.register(self._stop)

    def before_train_iter(self, runner: Runner, batch_idx: int, data_batch: Batch = None) -> None:
        """A batch was read."""
        self._at(runner.iter, 3, "training at iteration")

    def after_train_iter(
        self,
        runner: Runner,
        batch_idx: int,
        data_batch: Batch = None,
        outputs: dict | None = None,
    ) -> None:
        """An iteration is done."""
        self._at(runner.iter + 1, 0, "reading the batch of iteration")

    def before_save_checkpoint(self, runner: Runner, checkpoint: dict) -> None:
        """A checkpoint is about to be written."""
        # Of one rank only: the others, which wait for it, are as far.
        self._doing, self._since = "saving a checkpoint", time.monotonic()

    def before_val(self, runner: Runner) -> None:
        """Validation starts."""
        self._at(runner.iter, 1, "validating at iteration")

    def after_val_iter(
        self,
        runner: Runner,
        batch_idx: int,
        data_batch: Batch = None,
        outputs: Sequence | None = None,
    ) -> None:
        """A batch was validated."""
        self._at(runner.iter, 1, "validating at iteration")

    def after_val(self, runner: Runner) -> None:
        """Validation is over."""
        self._at(runner.iter, 2, "reading the batch of iteration")

    def after_run(self, runner: Runner) -> None:
        """Watch no more."""
        self._stop()
        atexit.unregister(self._stop)

    def _stop(self) -> None:
        # Python ends threads at exit where they stand; within the store, in C++, that would abort
        # the process: "terminate called without an active exception".
        self._over.set()
        if self._thread is not None:
            self._thread.join(_MOST_TO_END)

    def _at(self, iteration: int, part: int, doing: str) -> None:
        # Not a count of calls: ranks may have different numbers of batches to validate on.
        self._step = 4 * iteration + part
        self._doing = f"{doing} {iteration}"
        self._since = time.monotonic()

    def _report(self) -> Report:
        place, waiting = current_place(self._watched)
        self._beat += 1
        idle = time.monotonic() - self._since
        return Report(self._step, self._doing, place, waiting, idle, self._beat)

    def _watch(self, reports: Reports, log_dir: str) -> None:
        between = min(_BETWEEN, self.timeout / 10, self.silence / 4)
        between *= max(1.0, reports.world_size / _FULL_SPEED)
        lost: tuple[float, str] | None = None
        while not self._over.wait(between):
            own = self._report()
            alone = {reports.rank: own}
            if own.idle < 2 * between:
                reports.forget()
            try:
                reports.publish(own)
                lost = None
                if own.idle < 2 * between:
                    continue
                known, ages = reports.collect(own)
                silent = {rank: age for rank, age in ages.items() if age >= self.silence}
            except RuntimeError as error:
                # The store is gone, and with it the process that kept it.
                lost = lost or (time.monotonic(), str(error).splitlines()[0])
                gone = time.monotonic() - lost[0]
                known, silent = alone, {0: gone} if gone >= self.silence else {}
            if own.idle >= self.timeout or (silent and own.idle >= self.silence):
                self._end(reports, known, silent, own, log_dir, between)

    def _end(
        self,
        reports: Reports,
        known: dict[int, Report],
        silent: dict[int, float],
        own: Report,
        log_dir: str,
        between: float,
    ) -> None:
        frame = sys._current_frames().get(self._watched)
        if not is_running(frame, "train", "val", "test"):
            # The run has ended by an error, and the process goes on without it.
            self._over.set()
            return
        _, line = describe_stall(known, silent, reports.world_size)
        stacks = Path(log_dir, f"hang_rank{reports.rank}.txt")
        try:
            with stacks.open("w") as file:
                faulthandler.dump_traceback(file)
            where = f"; where its threads are: {stacks}"
        except OSError:
            where = ""
        speaker = min(rank for rank in known if rank not in silent)
        if reports.rank != speaker:
            # One line for the job: if it is heard, whatever started the job ends this process.
            time.sleep(3 * between)
        if self._over.is_set():
            return
        sys.stderr.write(
            f"train.py: no progress for {own.idle:.0f} s: {line}{where}; --resume goes on from the "
            "last checkpoint\n"
        )
        sys.stderr.flush()
        os._exit(_STATUS)
