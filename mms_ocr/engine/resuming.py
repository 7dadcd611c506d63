"""Finding the checkpoint to go on from, and reading it without trust."""

from __future__ import annotations

import logging
import os
from collections.abc import Mapping
from pathlib import Path
from typing import Any
from urllib.parse import urlparse

import torch
from mmengine import dist
from mmengine.logging import print_log
from mmengine.runner import CheckpointLoader
from mmengine.runner import checkpoint as mmengine_checkpoint

from mms_ocr.models.weights import read_checkpoint
from mms_ocr.utils.sealing import DamagedCheckpointError, check_seal, saved_at

PARTS = ("meta", "state_dict", "optimizer", "message_hub")


def newest_whole_checkpoint(folder: str | os.PathLike[str]) -> tuple[str | None, list[str]]:
    """The newest checkpoint to go on from, and what is wrong with newer ones.

    Looked at are the files and folders ``iter_*.pth`` and ``epoch_*.pth``, and what the file
    ``last_checkpoint`` names.

    Args:
        folder: Work folder of a run; may be missing.

    Returns:
        Path, or None where there is no checkpoint; and one line for every damaged one passed over.
    """
    folder = Path(folder)
    found = {path for kind in ("iter_*.pth", "epoch_*.pth") for path in folder.glob(kind)}
    pointer = folder / "last_checkpoint"
    if pointer.is_file():
        # Where the folder was moved, it still names the old one.
        named = folder / Path(pointer.read_text("utf-8", "replace").strip()).name
        found |= {named} if named.suffix and named.exists() else set()
    faults = []
    for path in sorted(found, key=lambda path: (saved_at(path), path.name), reverse=True):
        try:
            if path.is_file():
                check_parts(read_checkpoint(path), path)
            else:
                check_seal(path)
        except (ValueError, FileNotFoundError) as error:
            faults.append(str(error))
        else:
            return str(path), faults
    return None, faults


def check_parts(checkpoint: Mapping[str, Any], path: str | os.PathLike[str] | None) -> None:
    """Make sure that a checkpoint holds all that it takes to resume.

    Raises:
        ValueError: It does not.
    """
    missing = [key for key in PARTS if not isinstance(checkpoint.get(key), Mapping)]
    if not missing and not isinstance(checkpoint["meta"].get("iter"), int):
        missing = ["number of its iteration"]
    if missing:
        raise ValueError(
            f"{path} cannot be resumed from: it holds no {' and no '.join(missing)}; its weights "
            "alone are taken by --cfg-options load_from=… without --resume"
        )


def find_resume_point(runner: Any) -> None:
    """Name the checkpoint that a run is to resume from to its runner.

    ``resume`` of its config is a checkpoint, or ``'auto'`` for the newest whole one of the work
    folder; True means ``load_from`` or, where that is not set, ``'auto'``. The first rank looks,
    for all of them. Where there is no checkpoint at all, the run starts from ``load_from`` or from
    scratch.

    Raises:
        DamagedCheckpointError: There are checkpoints, and none of them is whole.
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
        print_log(f"{fault}; looking for the one before it", "current", logging.WARNING)
    if path is not None:
        runner._resume, runner._load_from = True, path
        print_log(f"resuming from {path}, the newest whole checkpoint", "current")
    elif faults:
        raise DamagedCheckpointError(
            f"no checkpoint in {runner.work_dir} is whole ({faults[0]}); to start from scratch, "
            "leave --resume out"
        )
    else:
        runner._resume = False
        start = runner._load_from or "scratch"
        print_log(f"no checkpoint in {runner.work_dir}: starting from {start}", "current")


def load_from_file(path: str, map_location: Any = None) -> dict[str, Any]:
    """Read a file, for MMEngine, which prints the end of this function's name.

    Args:
        path: The file.
        map_location: Not looked at: from the CPU, weights and states are copied to their devices,
            and the GPU does not hold them twice.
    """
    return without_program(read_checkpoint(os.path.expanduser(path)))


def load_from_url(url: str, map_location: Any = None, **kwargs: Any) -> dict[str, Any]:
    """Fetch a checkpoint once per machine, and read it as one on the disk."""
    folder = Path(kwargs.get("model_dir") or Path(torch.hub.get_dir(), "checkpoints"))
    path = folder / Path(urlparse(url).path).name
    # MMEngine knows a process's number on its machine only after init_local_group.
    if int(os.environ.get("LOCAL_RANK", 0)) == 0 and not path.is_file():
        folder.mkdir(parents=True, exist_ok=True)
        torch.hub.download_url_to_file(url, str(path), progress=False)
    dist.barrier()
    return without_program(read_checkpoint(path))


def refuse(path: str, map_location: Any = None) -> dict[str, Any]:
    """In place of reading what only MMEngine could read, without a check.

    Raises:
        ValueError: Always.
    """
    raise ValueError(
        f"{path} is not read: checkpoints are taken from disks and http(s) addresses only; copy it"
    )


def without_program(checkpoint: dict[str, Any]) -> dict[str, Any]:
    """A checkpoint without the config in its ``meta``, which MMEngine would run to resume."""
    meta = checkpoint.get("meta")
    if not isinstance(meta, Mapping) or "config" not in meta:
        return checkpoint
    return {**checkpoint, "meta": {key: meta[key] for key in meta if key != "config"}}


def use_checked_reading() -> None:
    """From now on MMEngine reads every checkpoint of this process by :func:`read_checkpoint`.

    By itself it falls back to plain unpickling, which runs whatever a file carries.
    """
    CheckpointLoader.register_scheme("", load_from_file, force=True)
    CheckpointLoader.register_scheme(("http://", "https://"), load_from_url, force=True)
    for unchecked in ("pavi://", r"(\S+\:)?s3://", r"(\S+\:)?petrel://"):
        CheckpointLoader.register_scheme(unchecked, refuse, force=True)
    # The schemes of model zoos end in this one.
    mmengine_checkpoint.load_url = load_from_url
