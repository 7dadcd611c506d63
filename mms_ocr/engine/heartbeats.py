"""Who is where in a job of several processes, and who keeps the others waiting."""

from __future__ import annotations

import json
import sys
import time
from collections.abc import Mapping
from dataclasses import asdict, dataclass
from datetime import timedelta
from pathlib import Path
from types import FrameType
from typing import Any

import torch

# A process that stands here waits for others: collectives, the backward pass of a wrapped model
# which holds some, and wherever the host waits for a GPU that waits for others.
_WAITING_FILES = (
    "torch/distributed/",
    "torch/autograd/",
    "torch/nn/parallel/distributed.py",
    "torch/amp/grad_scaler.py",
)
_WAITING_PLACES = (
    "_get_valid_value",
    "all_finite",
    "_on_all_ranks",
    "_clip_grad",
    "_agreed",
    "synchronize",
)
_ANSWER = timedelta(seconds=10)


@dataclass(frozen=True)
class Report:
    """What a rank says of itself.

    Attributes:
        step: How far it is in the run; the same number at the same place on all ranks.
        doing: In words.
        place: Function, file and line that its main thread is in.
        waiting: Whether that is a place to wait for other ranks.
        idle: Seconds since its last step.
        beat: Number of the report; a rank whose number stands still is dead or frozen.
    """

    step: int
    doing: str
    place: str
    waiting: bool
    idle: float
    beat: int


class Reports:
    """The reports of all ranks, kept in the store by which the job was joined.

    Args:
        name: Of this run, the same on all ranks.
        rank: This process.
        world_size: All processes.
    """

    def __init__(self, name: str, rank: int, world_size: int) -> None:
        self.rank, self.world_size = rank, world_size
        self._changed: dict[int, tuple[int, float]] = {}
        self._store: Any = None
        if world_size > 1:
            store = torch.distributed.distributed_c10d._get_default_store()
            # A connection of its own: the other is taken while the main thread waits in it.
            store = store.clone() if hasattr(store, "clone") else store
            self._store = torch.distributed.PrefixStore(f"mms_ocr/{name}", store)
            self._store.set_timeout(_ANSWER)

    def publish(self, report: Report) -> None:
        """Tell the other ranks."""
        if self._store is not None:
            self._store.set(str(self.rank), json.dumps(asdict(report)))

    def collect(self, own: Report) -> tuple[dict[int, Report], dict[int, float]]:
        """The last reports of all ranks that gave one, and for how many seconds each is unchanged.

        Args:
            own: Report of this rank.
        """
        reports = {self.rank: own}
        for rank in range(self.world_size):
            if rank != self.rank and self._store.check([str(rank)]):
                reports[rank] = Report(**json.loads(self._store.get(str(rank))))
        now = time.monotonic()
        for rank in range(self.world_size):
            beat = reports[rank].beat if rank in reports else -1
            if self._changed.get(rank, (None, 0))[0] != beat:
                self._changed[rank] = (beat, now)
        return reports, {rank: now - since for rank, (_, since) in self._changed.items()}

    def forget(self) -> None:
        """Look at the ranks anew: this one has gone on."""
        self._changed.clear()


def is_running(frame: FrameType | None, *parts: str) -> bool:
    """Whether a frame was called, over any number of others, from a runner.

    Args:
        frame: Innermost frame of a thread.
        *parts: Of these methods of the runner: ``'train'``, ``'val'``, ``'test'``.
    """
    while frame is not None:
        if frame.f_code.co_name in parts and "mmengine/runner/" in frame.f_code.co_filename:
            return True
        frame = frame.f_back
    return False


def current_place(thread: int) -> tuple[str, bool]:
    """Function, file and line that a thread is in, and whether it waits for other ranks there."""
    frame = sys._current_frames().get(thread)
    if frame is None:
        return "nowhere", False
    code = frame.f_code
    file = code.co_filename
    waiting = any(part in file for part in _WAITING_FILES) or code.co_name in _WAITING_PLACES
    return f"{code.co_name} ({Path(file).name}:{frame.f_lineno})", waiting


def describe_stall(
    reports: Mapping[int, Report], silent: Mapping[int, float], world_size: int
) -> tuple[list[int], str]:
    """Which ranks keep the others waiting, and the line that says so.

    Ranks that are silent are at fault, or else those which are behind, or else those which are not
    waiting for others.

    Args:
        reports: The last report of every rank that gave one.
        silent: Seconds since the last report, of the ranks that should have given a newer one.
        world_size: Number of ranks.

    Returns:
        The ranks, none where it cannot be told, and the line.
    """
    if silent:
        ranks = sorted(silent)
        what = f"not heard of for {min(silent.values()):.0f} s: the process is dead or frozen"
        return ranks, f"{_named(ranks)} {_is(ranks)} {what}"
    first = min(report.step for report in reports.values())
    ranks = sorted(rank for rank, report in reports.items() if report.step == first)
    if len(ranks) == world_size:
        busy = [rank for rank in ranks if not reports[rank].waiting]
        ranks = busy if 0 < len(busy) < world_size or world_size == 1 else []
    if not ranks:
        report = reports[min(reports)]
        return [], f"all ranks are {report.doing}, rank {min(reports)} in {report.place}"
    report = reports[ranks[0]]
    who = "" if world_size == 1 else f"{_named(ranks)} {'hangs' if len(ranks) == 1 else 'hang'}, "
    return ranks, f"{who}{report.doing}, in {report.place}"


def _named(ranks: list[int]) -> str:
    listed = ", ".join(map(str, ranks[:8])) + ("…" if len(ranks) > 8 else "")
    return f"rank{'s' if len(ranks) > 1 else ''} {listed}"


def _is(ranks: list[int]) -> str:
    return "is" if len(ranks) == 1 else "are"
