"""Finding the checkpoint that a run resumes from."""

from __future__ import annotations

import logging
import os
import re
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from mmengine import dist
from mmengine.logging import print_log

from mms_ocr.compat.running import read_checkpoints_by
from mms_ocr.models.weights import read_checkpoint
from mms_ocr.models.weights.reading import DamagedCheckpointError

PARTS = ("meta", "state_dict", "optimizer", "message_hub")


def newest_whole_checkpoint(folder: str | os.PathLike[str]) -> tuple[str | None, list[str]]:
    """Find the newest checkpoint that can be resumed from.

    Candidates are the checkpoint that the file ``last_checkpoint`` names, and then the files
    ``iter_*.pth`` and ``epoch_*.pth`` by the time of their last change.

    Args:
        folder: Work folder of a run; may be missing.

    Returns:
        Its path, or None if there is none; and a message for every newer one that is damaged.
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
    faults = []
    for path in candidates:
        try:
            check_parts(read_checkpoint(path), path)
        except (ValueError, FileNotFoundError) as error:
            faults.append(str(error))
        else:
            return str(path), faults
    return None, faults


def _age(path: Path) -> tuple[int, int]:
    number = re.search(r"\d+", path.stem)
    return path.stat().st_mtime_ns, int(number[0]) if number else 0


def check_parts(checkpoint: Mapping[str, Any], path: str | os.PathLike[str] | None) -> None:
    """Check that a checkpoint has all parts that resuming needs.

    Raises:
        ValueError: A part is missing.
    """
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
    all. If there is no checkpoint, the run starts from ``load_from`` or from scratch.

    Raises:
        DamagedCheckpointError: There are checkpoints, and all are damaged.
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
