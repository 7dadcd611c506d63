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
from mms_ocr.utils.sealing import put_in_place, remove, seal, write_whole

_UNFINISHED = ".{}.saving"
_WITHIN_EPOCH = "ckpt_within_epoch"


@HOOKS.register_module()
class AtomicCheckpointHook(CheckpointHook):
    """MMEngine's checkpoints, of which there is a whole one at any moment.

    A checkpoint is written under another name, given its checksum
    (:mod:`mms_ocr.utils.sealing`), flushed to the disk and renamed; only then is the name of the
    last one changed, and only then are older ones deleted. With gradient accumulation, it is put
    off to the end of a cycle, as half a cycle's gradients are in no checkpoint.

    Args:
        **kwargs: Arguments of MMEngine's ``CheckpointHook``, which mean the same: ``interval``,
            ``max_keep_ckpts``, ``save_best``, ….
    """

    out_dir: str

    def __init__(self, **kwargs: Any) -> None:
        super().__init__(**kwargs)
        self._kept: list[int] = []
        self._put_off = False
        self.wanted = False  # by whoever is about to end the run
        self.saved_iteration: int | None = None

    def before_train(self, runner: Runner) -> None:
        """Clear what a killed run left unfinished, and take over which checkpoints are kept."""
        if "://" in str(self.out_dir or ""):
            raise ValueError(
                f"AtomicCheckpointHook writes to disks only, not to {self.out_dir}; use "
                "CheckpointHook there"
            )
        super().before_train(runner)
        self._kept = list(getattr(self, "keep_ckpt_ids", []))
        if dist.is_main_process():
            for left in Path(self.out_dir).glob(_UNFINISHED.format("*")):
                remove(left)
        dist.barrier()

    def after_train_iter(
        self,
        runner: Runner,
        batch_idx: int,
        data_batch: dict | tuple | list | None = None,
        outputs: dict | None = None,
    ) -> None:
        """Save where it is time to."""
        if self.by_epoch and not self.wanted:
            return
        due = not self.by_epoch and (
            self.every_n_train_iters(runner, self.interval, self.save_begin)
            or (self.save_last and self.is_last_train_iter(runner))
        )
        if not (due or self.wanted or self._put_off):
            return
        self._put_off = not between_updates(runner)
        if not self._put_off:
            runner.logger.info(f"Saving checkpoint at {runner.iter + 1} iterations")
            if self.by_epoch:
                self._save_within_epoch(runner)
            else:
                self._save_checkpoint(runner)
            self.wanted = False

    def _save_within_epoch(self, runner: Runner) -> None:
        """Save before the end of an epoch; the next checkpoint takes the place of this one."""
        meta = dict(epoch=runner.epoch, iter=runner.iter + 1)
        name = f"iter_{meta['iter']}.pth"
        self.last_ckpt = str(Path(self.out_dir, name))
        before = runner.message_hub.runtime_info.get(_WITHIN_EPOCH)
        runner.message_hub.update_info(_WITHIN_EPOCH, name)
        self._write(
            runner, name, pointer=True, save_optimizer=self.save_optimizer,
            save_param_scheduler=self.save_param_scheduler, meta=meta, by_epoch=False, **self.args,
        )  # fmt: skip
        self.saved_iteration = meta["iter"]
        if before and before != name:
            self._delete(Path(self.out_dir, before))

    def _save_checkpoint_with_step(self, runner: Runner, step: int, meta: dict) -> None:
        hub = runner.message_hub
        self._kept = [*(kept for kept in self._kept if kept != step), step]
        # The older ones are still there: a run killed before they are deleted deletes them.
        hub.update_info("keep_ckpt_ids", list(self._kept))
        name = self.filename_tmpl.format(step)
        self.last_ckpt = str(Path(self.out_dir, name))
        hub.update_info("last_ckpt", self.last_ckpt)
        self._write(
            runner,
            name,
            pointer=True,
            save_optimizer=self.save_optimizer,
            save_param_scheduler=self.save_param_scheduler,
            meta=meta,
            by_epoch=self.by_epoch,
            **self.args,
        )
        self.saved_iteration = meta["iter"]
        while 0 < self.max_keep_ckpts < len(self._kept):
            self._delete(Path(self.out_dir, self.filename_tmpl.format(self._kept.pop(0))))
        hub.update_info("keep_ckpt_ids", list(self._kept))
        if within := hub.runtime_info.pop(_WITHIN_EPOCH, None):
            self._delete(Path(self.out_dir, within))

    def _save_best_checkpoint(self, runner: Runner, metrics: dict) -> None:
        if not self.save_best:
            return
        if "auto" in self.key_indicators:
            self._init_rule(self.rules, [next(iter(metrics))])
        step = runner.epoch if self.by_epoch else runner.iter
        meta = dict(epoch=runner.epoch, iter=runner.iter)
        better = [name for name in self.key_indicators if self._is_best(runner, metrics, name)]
        for name in better:
            info = self._best_name(name)
            file = f"best_{name}_{self.filename_tmpl.format(step)}".replace("/", "_")
            path = str(Path(self.out_dir, file))
            before = runner.message_hub.runtime_info.get(f"best_ckpt{info}")
            runner.message_hub.update_info(f"best_score{info}", metrics[name])
            runner.message_hub.update_info(f"best_ckpt{info}", path)
            self._write(
                runner, file, save_optimizer=False, save_param_scheduler=False,
                meta=dict(meta), by_epoch=False,
            )  # fmt: skip
            if before and before != path:
                # By its name: a run that was copied leaves those of the original alone.
                self._delete(Path(self.out_dir, Path(before).name))
            if info:
                self.best_ckpt_path_dict[name] = path
            else:
                self.best_ckpt_path = path
            runner.logger.info(f"The best checkpoint, with {metrics[name]:0.4f} {name}: {file}")
        # Again, as the last one was saved before the validation and does not know of the best.
        if better and self.saved_iteration == runner.iter:
            self._save_checkpoint_with_step(runner, step, meta)

    def _is_best(self, runner: Runner, metrics: dict, name: str) -> bool:
        if name not in metrics:
            raise ValueError(
                f"save_best={name!r}, and validation gives no such score but {', '.join(metrics)}"
            )
        score = metrics[name]
        best = runner.message_hub.runtime_info.get(f"best_score{self._best_name(name)}")
        rule = self.rules[list(self.key_indicators).index(name)]
        return score is not None and self.is_better_than[name](
            score, self.init_value_map[rule] if best is None else best
        )

    def _best_name(self, name: str) -> str:
        return "" if len(self.key_indicators) == 1 else f"_{name}"

    def _write(self, runner: Runner, name: str, pointer: bool = False, **options: Any) -> None:
        """Write a checkpoint under its name, once it is whole; on all ranks.

        Raises:
            CheckpointNotSavedError: It could not be written, on all ranks.
        """
        # Hooks that need something of every rank collect it now.
        runner.call_hook("before_gathering_checkpoint", meta=options["meta"])
        unfinished = Path(self.out_dir, _UNFINISHED.format(name))
        fault: Exception | None = None
        try:
            runner.save_checkpoint(
                self.out_dir, unfinished.name, backend_args=self.backend_args, **options
            )
        except OSError as error:
            fault = error
        faults = _all_faults(fault)
        if not faults and dist.is_main_process():
            try:
                seal(unfinished)
                put_in_place(unfinished, Path(self.out_dir, name))
                if pointer:
                    write_whole(Path(runner.work_dir, "last_checkpoint"), str(self.last_ckpt))
            except (OSError, ValueError) as error:
                fault = error
        faults = faults or _all_faults(fault)
        if faults:
            if dist.is_main_process():
                remove(unfinished)
            raise CheckpointNotSavedError(
                f"the checkpoint {Path(self.out_dir, name)} could not be written ({faults[0]}); "
                "those saved before are untouched: make room and go on with --resume"
            ) from fault

    def _delete(self, path: Path) -> None:
        if dist.is_main_process():
            remove(path)


def between_updates(runner: Runner) -> bool:
    """Whether no gradients are waiting to be added to, in a run that accumulates them."""
    wrapper = runner.optim_wrapper
    return not hasattr(wrapper, "should_update") or wrapper.should_update()


def _all_faults(fault: BaseException | None) -> list[str]:
    """What went wrong on any rank, known to all of them."""
    text = None
    if fault is not None:
        text = (
            os.strerror(fault.errno) if isinstance(fault, OSError) and fault.errno else str(fault)
        )
    if dist.get_world_size() == 1:
        return [text] if text else []
    return [text for text in dist.all_gather_object(text) if text]
