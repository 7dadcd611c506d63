"""The state that a resumed run needs beside MMEngine's checkpoint."""

from __future__ import annotations

import logging
from collections.abc import Mapping
from typing import Any

import torch
from mmengine import dist
from mmengine.hooks import Hook
from mmengine.logging import print_log
from mmengine.runner import Runner

from mms_ocr.engine.loops import Resumable, find_sampler
from mms_ocr.engine.resuming import check_parts, find_resume_point, own_weights
from mms_ocr.models.weights import fit_weights
from mms_ocr.registry import HOOKS
from mms_ocr.utils.randomness import put_random_states, take_random_states

_KEY = "exact_resume"


@HOOKS.register_module()
class ExactResumeHook(Hook):
    """Stores the random generators of every rank and the sampler's position in checkpoints.

    Validation leaves the generators as they were, so that a run which is killed in it resumes with
    the same numbers. A checkpoint that lacks a part or does not fit the model is refused. With
    another number of processes, or on a GPU after the CPU, the position is kept and the generators
    are seeded again, which the log reports.
    """

    priority = "VERY_HIGH"

    def __init__(self) -> None:
        self._gathered: list[dict[str, Any]] | None = None
        self._resumed: dict[str, Any] | None = None
        self._before_validation: dict[str, Any] | None = None

    def before_run(self, runner: Runner) -> None:
        """Find the checkpoint, if the run resumes from the newest."""
        find_resume_point(runner)

    def before_gathering_checkpoint(self, runner: Runner) -> None:
        """Gather the generators' states of all ranks; called on all of them."""
        # A best checkpoint is saved at the end of a validation, whose draws are undone later.
        self._gathered = dist.all_gather_object(self._before_validation or take_random_states())

    def before_save_checkpoint(self, runner: Runner, checkpoint: dict) -> None:
        """Store generators and position in the checkpoint."""
        gathered, self._gathered = self._gathered, None
        if gathered is None and dist.get_world_size() == 1:
            gathered = [take_random_states()]
        state: dict[str, Any] = {"random": gathered or [], "world_size": dist.get_world_size()}
        loop = runner.train_loop
        if isinstance(loop, Resumable):
            iteration = checkpoint["meta"]["iter"]
            sampler = find_sampler(loop.dataloader)
            if hasattr(sampler, "set_position"):
                # Loader workers have drawn further ahead than what was trained on.
                state["sampler"] = sampler.state_dict(loop.drawn_by(iteration))
            validated = self._before_validation is not None or loop.validated_at == iteration
            state["validated"] = validated
            if checkpoint["meta"]["epoch"] == runner.epoch:
                state["in_epoch"] = loop.in_epoch(iteration)
        checkpoint[_KEY] = state

    def after_load_checkpoint(self, runner: Runner, checkpoint: dict) -> None:
        """Take the stored state from the checkpoint of a run that is resumed, and check it.

        Raises:
            ValueError: A part is missing, or the checkpoint is of another model or schedule.
        """
        if not runner._resume:
            return
        path = runner._load_from
        check_parts(checkpoint, path)
        if runner.param_schedulers and not checkpoint.get("param_schedulers"):
            raise ValueError(f"{path} cannot be resumed from: it has no schedule, this run has one")
        own = own_weights(runner)
        if own is not None:
            checkpoint["state_dict"] = fit_weights(
                own, checkpoint["state_dict"], path, "the model of this config"
            )
        _compare_schedules(runner.param_schedulers, checkpoint.get("param_schedulers"), path)
        self._resumed = checkpoint.get(_KEY)
        if self._resumed is None:
            print_log(f"{path} holds no random generators: random numbers differ", "current")

    def before_train(self, runner: Runner) -> None:
        """Give the stored state to the loop."""
        loop = runner.train_loop
        if self._resumed is not None and isinstance(loop, Resumable):
            loop.resumed_sampler = self._resumed.get("sampler")
            loop.resumed_in_epoch = self._resumed.get("in_epoch", 0)
            loop.validated_at = runner.iter if self._resumed.get("validated") else None

    def before_train_iter(
        self, runner: Runner, batch_idx: int, data_batch: dict | tuple | list | None = None
    ) -> None:
        """Restore the generators, after everything that draws at the start."""
        if self._resumed is None:
            return
        states, self._resumed = self._resumed["random"], None
        if len(states) != dist.get_world_size():
            print_log(
                f"the checkpoint is of {len(states)} processes, and these are "
                f"{dist.get_world_size()}: their random generators are seeded again",
                "current",
            )
            return
        state = states[dist.get_rank()]
        put_random_states(state)
        if ("cuda" in state) != torch.cuda.is_available():
            before, now = ("a GPU", "the CPU") if "cuda" in state else ("the CPU", "a GPU")
            print_log(
                f"the checkpoint is of a run on {before}, and this one is on {now}: random numbers "
                "drawn there differ",
                "current",
            )

    def before_val(self, runner: Runner) -> None:
        """Take the generators' states."""
        self._before_validation = take_random_states()

    def after_val(self, runner: Runner) -> None:
        """Restore them."""
        if self._before_validation is not None:
            put_random_states(self._before_validation)
            self._before_validation = None


def _compare_schedules(own: Any, stored: Any, path: str | None) -> None:
    """Warn if a run of another length resumes: it follows the stored schedule."""
    if not isinstance(own, list) or not isinstance(stored, list):
        return
    ends = [getattr(scheduler, "end", 0) for scheduler in own]
    stored_ends = [state.get("end", 0) for state in stored if isinstance(state, Mapping)]
    if ends and stored_ends and max(ends) != max(stored_ends):
        print_log(
            f"the schedule of {path} ends at {max(stored_ends):,}, and that of this config at "
            f"{max(ends):,}: learning rates follow the checkpoint; for a schedule of this length, "
            "start a new run with load_from=CHECKPOINT",
            "current",
            logging.WARNING,
        )
