"""Finding the checkpoint to go on from, and reading it without trust."""

from __future__ import annotations

import logging
import os
from pathlib import Path
from typing import Any
from urllib.parse import urlparse

import torch
from mmengine import dist
from mmengine.logging import print_log
from mmengine.runner import CheckpointLoader
from mmengine.runner import checkpoint as mmengine_checkpoint

from mms_ocr.models.weights import read_checkpoint
from mms_ocr.sealing import DamagedCheckpointError, check_seal, saved_at

__all__ = [
    "find_resume_point",
    "newest_whole_checkpoint",
    "read_whole_checkpoint",
    "use_checked_reading",
]


def newest_whole_checkpoint(folder: str | os.PathLike[str]) -> tuple[str | None, list[str]]:
    """The newest checkpoint to go on from, and what is wrong with newer ones.

    Looked at are the ``*.pth`` files and folders, but for those of the best scores, which hold
    weights only.

    Args:
        folder: Work folder of a run; may be missing.

    Returns:
        Path, or None where there is no checkpoint; and one line for every damaged one passed over.
    """
    folder = Path(folder)
    found = [path for path in folder.glob("*.pth") if not path.name.startswith("best_")]
    faults = []
    for path in sorted(found, key=lambda path: (saved_at(path), path.name), reverse=True):
        try:
            check_seal(path)
            content = None if path.is_dir() else read_checkpoint(path)
        except (ValueError, FileNotFoundError) as error:
            faults.append(str(error))
            continue
        if content is None or "optimizer" in content:
            return str(path), faults
    return None, faults


def find_resume_point(runner: Any) -> None:
    """Where a run is to resume and no checkpoint is named, name the newest whole one to its runner.

    The first rank looks, for all of them. Where there is no checkpoint at all, the run starts from
    scratch.

    Raises:
        DamagedCheckpointError: There are checkpoints, and none of them is whole.
    """
    if runner._resume is not True or runner._load_from is not None:
        return
    outcome: list[Any] = [None, []]
    if dist.is_main_process():
        outcome = list(newest_whole_checkpoint(runner.work_dir))
    dist.broadcast_object_list(outcome)
    path, faults = outcome
    for fault in faults:
        print_log(f"{fault}; looking for the one before it", "current", logging.WARNING)
    if path is not None:
        runner._load_from = path
        print_log(f"resuming from {path}, the newest whole checkpoint", "current")
    elif faults:
        raise DamagedCheckpointError(
            f"no checkpoint in {runner.work_dir} is whole ({faults[0]}); to start from scratch, "
            "leave --resume out"
        )
    else:
        runner._resume = False
        print_log(f"no checkpoint in {runner.work_dir}: starting from scratch", "current")


def read_whole_checkpoint(path: str, map_location: Any = None) -> dict[str, Any]:
    """Read a checkpoint that is what was written, and run nothing that it carries.

    Args:
        path: The file.
        map_location: Not looked at. Everything is read to the CPU, from where weights and states
            are copied to their devices, so that the GPU does not hold them twice.

    Raises:
        FileNotFoundError: There is no such file.
        ValueError: It is damaged, no checkpoint, or carries objects.
    """
    path = os.path.expanduser(path)
    if not os.path.isfile(path):
        raise FileNotFoundError(f"no checkpoint {path}")
    check_seal(path)
    return read_checkpoint(path)


def _read_url(url: str, map_location: Any = None, **kwargs: Any) -> dict[str, Any]:
    """Fetch a checkpoint once per machine, and read it as one on the disk."""
    folder = Path(kwargs.get("model_dir") or Path(torch.hub.get_dir(), "checkpoints"))
    path = folder / Path(urlparse(url).path).name
    if dist.get_local_rank() == 0 and not path.is_file():
        folder.mkdir(parents=True, exist_ok=True)
        torch.hub.download_url_to_file(url, str(path), progress=False)
    dist.barrier()
    return read_whole_checkpoint(str(path))


def use_checked_reading() -> None:
    """From now on MMEngine reads every checkpoint of this process by :func:`read_whole_checkpoint`.

    By itself it falls back to plain unpickling, which runs whatever a file carries.
    """
    CheckpointLoader.register_scheme("", read_whole_checkpoint, force=True)
    CheckpointLoader.register_scheme(("http://", "https://"), _read_url, force=True)
    # The schemes of model zoos end in this one.
    mmengine_checkpoint.load_url = _read_url
