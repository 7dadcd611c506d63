"""Checkpoints that are whole or absent."""

from __future__ import annotations

import os
from pathlib import Path
from typing import Any

from mmengine import dist
from mmengine.hooks import CheckpointHook
from mmengine.runner import Runner

from mms_ocr.engine.failures import CheckpointNotSavedError
from mms_ocr.registry import HOOKS
from mms_ocr.utils.files import atomic_write, replace

_UNFINISHED = ".{}.saving"  # name while it is written
_WITHIN_EPOCH = "ckpt_within_epoch"


@HOOKS.register_module()
class AtomicCheckpointHook(CheckpointHook):
    """MMEngine's checkpoints, of which a whole one exists at any moment.

    A checkpoint is written under a temporary name, flushed to the disk and renamed; only then the
    file ``last_checkpoint`` changes, and only then older checkpoints are deleted. With gradient
    accumulation, saving waits for the end of a cycle, since no checkpoint holds gradients. The
    arguments are those of MMEngine's ``CheckpointHook``: ``interval``, ``max_keep_ckpts``, ….
    """

    out_dir: str

    def __init__(self, **kwargs: Any) -> None:
        super().__init__(**kwargs)
        self._kept: list[int] = []
        self._is_delayed = False
        self.is_requested = False  # set by a hook that stops the run
        self.saved_iteration: int | None = None

    def before_train(self, runner: Runner) -> None:
        """Delete unfinished files of a killed run, and restore the list of kept checkpoints.

        Raises:
            ValueError: ``out_dir`` is not on a disk.
        """
        if "://" in str(self.out_dir or ""):
            raise ValueError(
                f"AtomicCheckpointHook cannot write to {self.out_dir}, which is not a disk; use "
                "CheckpointHook"
            )
        super().before_train(runner)
        self._kept = list(getattr(self, "keep_ckpt_ids", []))
        for path in Path(self.out_dir).glob(_UNFINISHED.format("*")):
            _delete(path)
        dist.barrier()

    def after_train_iter(self, runner: Runner, *args: Any, **kwargs: Any) -> None:
        """Save if a checkpoint is due or requested.

        Raises:
            CheckpointNotSavedError: It could not be written; raised on all ranks.
        """
        if self.by_epoch and not self.is_requested:
            return
        is_due = not self.by_epoch and (
            self.every_n_train_iters(runner, self.interval, self.save_begin)
            or (self.save_last and self.is_last_train_iter(runner))
        )
        if not (is_due or self.is_requested or self._is_delayed):
            return
        self._is_delayed = not between_updates(runner)
        if not self._is_delayed:
            runner.logger.info(f"Saving checkpoint at {runner.iter + 1} iterations")
            if self.by_epoch:
                self._save_within_epoch(runner)
            else:
                self._save_checkpoint(runner)
            self.is_requested = False

    def _save_within_epoch(self, runner: Runner) -> None:
        """Save before the end of an epoch; the next checkpoint replaces this one."""
        meta = dict(epoch=runner.epoch, iter=runner.iter + 1)
        name = f"iter_{meta['iter']}.pth"
        self.last_ckpt = str(Path(self.out_dir, name))
        previous = runner.message_hub.runtime_info.get(_WITHIN_EPOCH)
        runner.message_hub.update_info(_WITHIN_EPOCH, name)
        self._write_last(runner, name, meta, by_epoch=False)
        if previous and previous != name:
            _delete(Path(self.out_dir, previous))

    def _save_checkpoint_with_step(self, runner: Runner, step: int, meta: dict) -> None:
        hub = runner.message_hub
        self._kept = [*(kept for kept in self._kept if kept != step), step]
        # Older ones still exist: a run that is killed before it deletes them deletes them later.
        hub.update_info("keep_ckpt_ids", list(self._kept))
        name = self.filename_tmpl.format(step)
        self.last_ckpt = str(Path(self.out_dir, name))
        hub.update_info("last_ckpt", self.last_ckpt)
        self._write_last(runner, name, meta, by_epoch=self.by_epoch)
        while 0 < self.max_keep_ckpts < len(self._kept):
            _delete(Path(self.out_dir, self.filename_tmpl.format(self._kept.pop(0))))
        hub.update_info("keep_ckpt_ids", list(self._kept))
        if within := hub.runtime_info.pop(_WITHIN_EPOCH, None):
            _delete(Path(self.out_dir, within))

    def _save_best_checkpoint(self, runner: Runner, metrics: dict) -> None:
        if not self.save_best:
            return
        if "auto" in self.key_indicators:
            self._init_rule(self.rules, [next(iter(metrics))])
        step = runner.epoch if self.by_epoch else runner.iter
        meta = dict(epoch=runner.epoch, iter=runner.iter)
        better = [name for name in self.key_indicators if self._is_best(runner, metrics, name)]
        for name in better:
            info = self._best_suffix(name)
            file = f"best_{name}_{self.filename_tmpl.format(step)}".replace("/", "_")
            path = str(Path(self.out_dir, file))
            previous = runner.message_hub.runtime_info.get(f"best_ckpt{info}")
            runner.message_hub.update_info(f"best_score{info}", metrics[name])
            runner.message_hub.update_info(f"best_ckpt{info}", path)
            options = dict(save_optimizer=False, save_param_scheduler=False, by_epoch=False)
            self._write(runner, file, meta=dict(meta), **options)
            if previous and previous != path:
                # By its name, so that a copied run does not delete the files of the original.
                _delete(Path(self.out_dir, Path(previous).name))
            if info:
                self.best_ckpt_path_dict[name] = path
            else:
                self.best_ckpt_path = path
            runner.logger.info(f"The best checkpoint, with {metrics[name]:0.4f} {name}: {file}")
        # Again: the last one was saved before the validation, and does not know the best.
        if better and self.saved_iteration == runner.iter:
            self._save_checkpoint_with_step(runner, step, meta)

    def _is_best(self, runner: Runner, metrics: dict, name: str) -> bool:
        if name not in metrics:
            scores = ", ".join(metrics)
            raise ValueError(f"save_best={name!r} is not among the validation's scores: {scores}")
        score = metrics[name]
        best = runner.message_hub.runtime_info.get(f"best_score{self._best_suffix(name)}")
        if best is None:
            best = self.init_value_map[self.rules[list(self.key_indicators).index(name)]]
        return score is not None and self.is_better_than[name](score, best)

    def _best_suffix(self, name: str) -> str:
        return "" if len(self.key_indicators) == 1 else f"_{name}"

    def _write_last(self, runner: Runner, name: str, meta: dict, by_epoch: bool) -> None:
        """Write a checkpoint to resume from, and name it in the file ``last_checkpoint``."""
        parts = dict(
            save_optimizer=self.save_optimizer, save_param_scheduler=self.save_param_scheduler
        )
        self._write(runner, name, True, meta=meta, by_epoch=by_epoch, **parts, **self.args)
        self.saved_iteration = meta["iter"]

    def _write(self, runner: Runner, name: str, is_last: bool = False, **options: Any) -> None:
        """Write a checkpoint on all ranks, or raise CheckpointNotSavedError on all of them."""
        # Hooks that need something from every rank collect it now.
        runner.call_hook("before_gathering_checkpoint")
        unfinished = Path(self.out_dir, _UNFINISHED.format(name))
        fault: OSError | None = None
        try:
            runner.save_checkpoint(
                self.out_dir, unfinished.name, backend_args=self.backend_args, **options
            )
            if dist.is_main_process():
                replace(unfinished, Path(self.out_dir, name))
                if is_last:
                    pointer = Path(runner.work_dir, "last_checkpoint")
                    atomic_write(pointer, str(self.last_ckpt), flush=True)
        except OSError as error:
            fault = error
        reason = fault and (os.strerror(fault.errno) if fault.errno else str(fault))
        reasons = [reason for reason in dist.all_gather_object(reason) if reason]
        if reasons:
            _delete(unfinished)
            raise CheckpointNotSavedError(
                f"the checkpoint {Path(self.out_dir, name)} could not be written ({reasons[0]}); "
                "earlier ones are untouched: free some space and continue with --resume"
            ) from fault


def between_updates(runner: Runner) -> bool:
    """Return whether no gradients are accumulated that wait for more."""
    wrapper = runner.optim_wrapper
    return not hasattr(wrapper, "should_update") or wrapper.should_update()


def _delete(path: Path) -> None:
    """Delete a file, if it exists; on the main process."""
    if dist.is_main_process():
        path.unlink(missing_ok=True)
