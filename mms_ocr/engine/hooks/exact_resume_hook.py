"""What a resumed run needs beside MMEngine's checkpoint to do what it would have done."""

from __future__ import annotations

import logging
from collections.abc import Mapping
from typing import Any

import torch
from mmengine import dist
from mmengine.hooks import Hook
from mmengine.logging import print_log
from mmengine.runner import Runner

from mms_ocr.engine.load_from import own_weights
from mms_ocr.engine.loops import Resumable, find_sampler
from mms_ocr.engine.resuming import check_parts, find_resume_point
from mms_ocr.models.weights import fit_weights
from mms_ocr.registry import HOOKS
from mms_ocr.utils.randomness import put_random_states, take_random_states

_KEY = "exact_resume"


@HOOKS.register_module()
class ExactResumeHook(Hook):
    """Keeps the random generators of every rank and the sampler's position in the checkpoints.

    Validation leaves the generators as they were before it, so that a run which was killed in it
    goes on with the same numbers. A checkpoint that lacks what it takes to resume, or does not fit
    the model, is refused rather than loaded in parts.

    A run that goes on with another number of processes keeps its place in the data, and its
    generators start anew. So do a GPU's where the run was on the CPU before. The log says so.
    """

    priority = "VERY_HIGH"

    def __init__(self) -> None:
        self._gathered: list[dict[str, Any]] | None = None
        self._meta: dict[str, Any] = {}
        self._resumed: dict[str, Any] | None = None
        self._before_validation: dict[str, Any] | None = None

    def before_run(self, runner: Runner) -> None:
        """Find the checkpoint, where the run is to resume from the newest."""
        if hasattr(runner, "_resume"):
            find_resume_point(runner)

    def before_gathering_checkpoint(self, runner: Runner, meta: dict[str, Any]) -> None:
        """Bring the generators' states of all ranks together; called on all of them."""
        self._meta = dict(meta)
        # A best checkpoint is found at the end of a validation, whose draws are to be undone.
        self._gathered = dist.all_gather_object(self._before_validation or take_random_states())

    def before_save_checkpoint(self, runner: Runner, checkpoint: dict) -> None:
        """Put what was brought together into the checkpoint."""
        gathered, self._gathered = self._gathered, None
        # MMEngine's FlexibleRunner counts one too many after a validation.
        checkpoint["meta"].update(self._meta)
        self._meta = {}
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
        """Take what is needed out of the checkpoint of a run that is resumed.

        Raises:
            ValueError: It is no checkpoint to resume from, or of another model.
        """
        if not getattr(runner, "_resume", False):
            return
        path = runner._load_from
        check_parts(checkpoint, path)
        if runner.param_schedulers and not checkpoint.get("param_schedulers"):
            raise ValueError(
                f"{path} holds no schedule, and this run has one: it cannot be resumed from"
            )
        own = own_weights(runner)
        if own is not None:
            checkpoint["state_dict"] = fit_weights(
                own, checkpoint["state_dict"], path, "the model of this config"
            )
        _compare_schedules(runner.param_schedulers, checkpoint.get("param_schedulers"), path)
        self._resumed = checkpoint.get(_KEY)
        if self._resumed is None:
            print_log(
                f"{path} holds no random generators: what is drawn differs from here on", "current"
            )

    def before_train(self, runner: Runner) -> None:
        """Hand the loop what it needs to resume."""
        loop = runner.train_loop
        if self._resumed is not None and isinstance(loop, Resumable):
            loop.resumed_sampler = self._resumed.get("sampler")
            loop.resumed_in_epoch = self._resumed.get("in_epoch", 0)
            loop.validated_at = runner.iter if self._resumed.get("validated") else None

    def before_train_iter(
        self, runner: Runner, batch_idx: int, data_batch: dict | tuple | list | None = None
    ) -> None:
        """Restore the generators, once everything that draws at the start has drawn."""
        if self._resumed is None:
            return
        states, self._resumed = self._resumed["random"], None
        if len(states) != dist.get_world_size():
            print_log(
                f"the checkpoint is of {len(states)} processes, and these are "
                f"{dist.get_world_size()}: their random generators start anew",
                "current",
            )
            return
        state = states[dist.get_rank()]
        put_random_states(state)
        if ("cuda" in state) != torch.cuda.is_available():
            kinds = ("a GPU", "the CPU") if "cuda" in state else ("the CPU", "a GPU")
            print_log(
                f"the checkpoint is of a run on {kinds[0]}, and this one is on {kinds[1]}: what is "
                "drawn there differs from here on",
                "current",
            )

    def before_val(self, runner: Runner) -> None:
        """Keep the generators' states."""
        self._before_validation = take_random_states()

    def after_val(self, runner: Runner) -> None:
        """Put them back."""
        if self._before_validation is not None:
            put_random_states(self._before_validation)
            self._before_validation = None


def _compare_schedules(own: Any, stored: Any, path: str | None) -> None:
    """Tell that a run of another length goes on by the schedule that it was begun with."""
    if not isinstance(own, list) or not isinstance(stored, list):
        return
    ends = [getattr(scheduler, "end", 0) for scheduler in own]
    begun = [state.get("end", 0) for state in stored if isinstance(state, Mapping)]
    if ends and begun and max(ends) != max(begun):
        print_log(
            f"the schedule of {path} ends at {max(begun):,}, and that of this config at "
            f"{max(ends):,}: learning rates go on by that of the checkpoint; for one of this "
            "length start a new run, with load_from=CHECKPOINT",
            "current",
            logging.WARNING,
        )
