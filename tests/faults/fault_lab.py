"""Runs of tools/train.py into which fault_processes.py injects faults."""

from __future__ import annotations

import random
import socket
import time
from collections.abc import Callable
from pathlib import Path

from fault_runs import Ended, Zygote, same_weights, write_run

LAST = "iter_24.pth"
AGAIN = 75  # exit status of a run that was asked to stop
#: Seconds that a run to injure waits at each step, and within which it is injured, from its first
#: checkpoint on. At the 20 steps after that it waits four: on a busy machine the injury may come
#: late, and must not find a run that has ended.
STEP, MOMENTS = 0.2, 1.5
# Code that is run before training, see fault_runs.Zygote.start.
SLOW = f"""
from mms_ocr.engine.loops import ResumableTrainLoop
import time
_step = ResumableTrainLoop.run_iter
def run_iter(self, batch):
    time.sleep({STEP})
    _step(self, batch)
ResumableTrainLoop.run_iter = run_iter
"""


def children(pid: int) -> list[int]:
    """List the processes that a process has started."""
    pids = []
    for stat in Path("/proc").glob("[0-9]*/stat"):
        try:
            fields = stat.read_text().rsplit(")", 1)[1].split()
        except OSError:
            continue
        if int(fields[1]) == pid:
            pids.append(int(stat.parent.name))
    return pids


def until(condition: Callable[[], object], seconds: float = 60) -> None:
    """Wait for a condition, or raise TimeoutError."""
    end = time.monotonic() + seconds
    while not condition():
        if time.monotonic() > end:
            raise TimeoutError("the run did not come to where it was to be injured")
        time.sleep(0.005)


class Lab:
    """Runs with injected faults, and an undisturbed one; all write into ``folder``."""

    def __init__(self, folder: Path, seed: int = 0) -> None:
        self.folder = folder
        self.rng = random.Random(seed)
        self.config = write_run(folder)
        self.words = folder / "words"
        self.zygotes = [Zygote()]
        self._number = 0
        self.undisturbed = folder / "undisturbed"
        self.expect(self.run(self.undisturbed), 0)

    def close(self) -> None:
        """End what was started."""
        for zygote in self.zygotes:
            zygote.close()

    def work(self) -> Path:
        """Make a new work folder."""
        self._number += 1
        path = self.folder / f"run_{self._number}"
        path.mkdir()
        return path

    def start(self, work: Path, setup: str = "", options: tuple[str, ...] = ()) -> int:
        """Start a run that resumes if it can; returns its process."""
        more = ["--cfg-options", *options] if options else []
        return self.zygotes[0].start(
            self.config, "--work-dir", work, "--resume", *more,
            output=self.folder / "output.txt", setup=setup,
        )  # fmt: skip

    def run(self, work: Path, setup: str = "", options: tuple[str, ...] = ()) -> Ended:
        """Run to the end."""
        self.start(work, setup, options)
        return self.zygotes[0].wait()

    def start_two(self, work: Path, setups: tuple[str, str], options: tuple[str, ...] = ()) -> None:
        """Start a run of two processes."""
        while len(self.zygotes) < 2:
            self.zygotes.append(Zygote())
        with socket.socket() as probe:
            probe.bind(("127.0.0.1", 0))
            port = str(probe.getsockname()[1])
        for rank, (zygote, setup) in enumerate(zip(self.zygotes, setups)):
            zygote.start(
                self.config, "--work-dir", work, "--launcher", "pytorch", "--resume",
                *(["--cfg-options", *options] if options else []),
                output=self.folder / f"output_{rank}.txt", setup=setup, RANK=str(rank),
                LOCAL_RANK=str(rank), WORLD_SIZE="2", LOCAL_WORLD_SIZE="2",
                MASTER_ADDR="127.0.0.1", MASTER_PORT=port,
            )  # fmt: skip

    def wait_two(self) -> list[Ended]:
        """Wait for both."""
        return [zygote.wait() for zygote in self.zygotes]

    def expect(self, ended: Ended, status: int, *words: str) -> Ended:
        """Check the status of a run, and that its line has the words; else raise AssertionError."""
        if ended.status != status:
            raise AssertionError(f"status {ended.status}: {ended.output[-2000:]}")
        missing = [word for word in words if word not in ended.line]
        if missing or (words and ended.traceback):
            raise AssertionError(f"no {missing} in {ended.line!r}: {ended.output[-2000:]}")
        return ended

    def expect_same_end(self, work: Path) -> None:
        """Check that a run ends as the undisturbed one; else raise AssertionError."""
        self.expect(self.run(work), 0)
        if not same_weights(work / LAST, self.undisturbed / LAST):
            raise AssertionError(f"{work} ended with other weights")

    def expect_same_end_of_two(self, work: Path) -> None:
        """Do the same for a run of two processes."""
        both = self.folder / "undisturbed_two"
        for folder in [work] if (both / LAST).is_file() else [both, work]:
            self.start_two(folder, ("", ""))
            for ended in self.wait_two():
                self.expect(ended, 0)
        if not same_weights(work / LAST, both / LAST):
            raise AssertionError(f"{work} ended with other weights")

    def begin(self, work: Path) -> int:
        """Start a run and wait until it has saved once; returns its process."""
        pid = self.start(work, SLOW)
        until(lambda: list(work.glob("iter_*.pth")))
        return pid

    def begin_two(self, *options: str) -> Path:
        """Start a run of two processes and wait until it has saved once; returns its folder."""
        work = self.work()
        self.start_two(work, (SLOW, SLOW), options)
        until(lambda: list(work.glob("iter_*.pth")))
        return work
