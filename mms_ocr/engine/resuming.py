"""The checkpoint that a run starts from: the newest one to resume from, or ``load_from``."""

from __future__ import annotations

import logging
import os
import re
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from mmengine import dist
from mmengine.hooks import Hook
from mmengine.logging import print_log
from mmengine.model import is_model_wrapper
from mmengine.runner import Runner
from torch import Tensor, nn
from torch.nn.parallel import DistributedDataParallel

from mms_ocr.compat.running import read_checkpoints_by
from mms_ocr.models.strict_init import use_strict_loading
from mms_ocr.models.weights import check_values, fit_weights, read_checkpoint
from mms_ocr.models.weights.files import DamagedCheckpointError

PARTS = ("meta", "state_dict", "optimizer", "message_hub")


def newest_whole_checkpoint(folder: str | os.PathLike[str]) -> tuple[str | None, list[str]]:
    """Find the newest checkpoint of a work folder that can be resumed from.

    Candidates are the checkpoint that the file ``last_checkpoint`` names, and then the files
    ``iter_*.pth`` and ``epoch_*.pth`` by the time of their last change. Returns its path, or None,
    and a message for every newer one that is damaged.
    """
    folder = Path(folder)
    paths = {path for kind in ("iter_*.pth", "epoch_*.pth") for path in folder.glob(kind)}
    candidates = sorted(paths, key=_age, reverse=True)
    pointer = folder / "last_checkpoint"
    if pointer.is_file():
        # Only the name: the folder may have been moved.
        last = folder / Path(pointer.read_text("utf-8", "replace").strip()).name
        if last.suffix and last.exists():
            candidates = [last, *(path for path in candidates if path != last)]
    faults: list[str] = []
    for path in candidates:
        try:
            check_parts(read_checkpoint(path), path)
            return str(path), faults
        except (ValueError, FileNotFoundError) as error:
            faults.append(str(error))
    return None, faults


def _age(path: Path) -> tuple[int, int]:
    number = re.search(r"\d+", path.stem)
    return path.stat().st_mtime_ns, int(number[0]) if number else 0


def check_parts(checkpoint: Mapping[str, Any], path: str | os.PathLike[str] | None) -> None:
    """Raise ValueError if a checkpoint lacks a part that resuming needs."""
    missing = [key for key in PARTS if not isinstance(checkpoint.get(key), Mapping)]
    if not missing and not isinstance(checkpoint["meta"].get("iter"), int):
        missing = ["iteration number"]
    if missing:
        raise ValueError(
            f"{path} cannot be resumed from: it has no {' and no '.join(missing)}; to start from "
            "its weights, use --cfg-options load_from=… without --resume"
        )


def find_resume_point(runner: Any) -> None:
    """Set the checkpoint that a runner resumes from.

    ``resume`` of its config is a checkpoint, or ``'auto'`` for the newest whole one of the work
    folder; True means ``load_from`` or, if that is not set, ``'auto'``. The first rank searches for
    all. If there is no checkpoint, the run starts from ``load_from`` or from scratch; if all are
    damaged, it raises DamagedCheckpointError.
    """
    resume = runner._resume
    if isinstance(resume, str) and resume != "auto":
        runner._resume, runner._load_from = True, resume
    if not resume or (resume != "auto" and runner._load_from is not None):
        return
    outcome: list[Any] = [None, []]
    if dist.is_main_process():
        outcome = list(newest_whole_checkpoint(runner.work_dir))
    dist.broadcast_object_list(outcome)
    path, faults = outcome
    for fault in faults:
        print_log(f"{fault}; trying the checkpoint before it", "current", logging.WARNING)
    if path is not None:
        runner._resume, runner._load_from = True, path
        print_log(f"resuming from {path}, the newest whole checkpoint", "current")
    elif faults:
        raise DamagedCheckpointError(
            f"no checkpoint in {runner.work_dir} is whole ({faults[0]}); to start from scratch, "
            "omit --resume"
        )
    else:
        runner._resume = False
        start = runner._load_from or "scratch"
        print_log(f"no checkpoint in {runner.work_dir}: starting from {start}", "current")


def use_checked_reading() -> None:
    """Have MMEngine read every checkpoint of this process by :func:`read_checkpoint`."""
    read_checkpoints_by(read_checkpoint)


class LoadFromHook(Hook):
    """Checks that all weights of ``load_from`` fit the model; MMEngine skips those that do not.

    Modules or weights whose names are in ``exclude`` keep their initial values.
    """

    # Before EMAHook, which loads the same weights.
    priority = "VERY_HIGH"

    def __init__(self, exclude: list[str]) -> None:
        self.exclude = exclude

    def after_load_checkpoint(self, runner: Runner, checkpoint: dict) -> None:
        """Check the weights, and rename them to the names of the model.

        Raises:
            ValueError: They do not fit, or a resumed run groups its parameters in another way.
        """
        path = str(runner._load_from)
        if runner._resume:
            _check_groups(runner.optim_wrapper, checkpoint.get("optimizer"), path)
        own = own_weights(runner)
        if own is None:
            return
        check_values(checkpoint["state_dict"], path)
        exclude = [] if runner._resume else self.exclude
        try:
            weights: Any = fit_weights(
                own, checkpoint["state_dict"], path, "the model of this config", exclude
            )
        except ValueError as error:
            if runner._resume:
                raise
            raise ValueError(
                f"{error}; load_from takes whole models: list parts that differ in "
                "load_from_exclude, such as [decoder], or load an encoder alone by init_cfg "
                "(mms_ocr.PretrainedTextViT)"
            ) from error
        kept = {key: value for key, value in own.items() if key not in weights}
        if kept:
            parts = ", ".join(self.exclude)
            print_log(f"{len(kept)} weights of {parts} are initialized, not loaded", "current")
        # MMEngine would log each of them as missing.
        weights.update(kept)
        checkpoint["state_dict"] = weights


def prepare_loading(runner: Any) -> None:
    """Make a runner that has not started load ``load_from`` and ``init_cfg`` strictly.

    ``load_from_exclude`` of its config lists parts of the model that ``load_from`` leaves out. An
    encoder from ``load_from`` counts as pretrained for layer-wise learning rates
    (``pretrained_only``), also when the run is resumed.
    """
    exclude = runner.cfg.get("load_from_exclude") or []
    exclude = [exclude] if isinstance(exclude, str) else list(exclude)
    runner.register_hook(LoadFromHook(exclude))
    if isinstance(runner.model, nn.Module):
        use_strict_loading(runner.model)
    # With resume=True in a config, load_from is the checkpoint to resume from, as in MMEngine.
    starts_from = runner.cfg.get("load_from") and runner.cfg.get("resume") is not True
    wrapper = runner.optim_wrapper
    if starts_from and "backbone" not in exclude and isinstance(wrapper, dict):
        settings = wrapper.get("paramwise_cfg") or {}
        if settings.get("pretrained_only"):
            settings["pretrained_only"] = False


def _check_groups(wrapper: Any, stored: Any, path: str) -> None:
    """Raise ValueError if a resumed run groups its parameters in another way."""
    own = getattr(getattr(wrapper, "optimizer", None), "param_groups", None)
    groups = stored.get("param_groups") if isinstance(stored, Mapping) else None
    if own is not None and groups is not None and len(own) != len(groups):
        counts = f"{len(groups)} groups of learning rates, and this run {len(own)}"
        raise ValueError(
            f"{path} cannot be resumed from: it has {counts}; use the init_cfg, load_from and "
            "paramwise_cfg of the first run"
        )


def own_weights(runner: Runner) -> dict[str, Tensor] | None:
    """Return the model's weights by name; None if another library has wrapped the model."""
    model = runner.model
    if isinstance(model, DistributedDataParallel):
        model = model.module
    return None if is_model_wrapper(model) else model.state_dict()
