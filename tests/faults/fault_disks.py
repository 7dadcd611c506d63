"""Disks that run full, for fault_processes.py."""

from __future__ import annotations

import shutil
import signal
import subprocess
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from fault_lab import AGAIN, Lab


def fill_disk(lab: Lab, setup: str, *words: str) -> None:
    """Checkpoints cannot be written any more."""
    work = lab.work()
    lab.begin(work)
    lab.zygotes[0].signal(signal.SIGTERM)
    lab.expect(lab.zygotes[0].wait(), AGAIN)
    before = {path.name: path.read_bytes() for path in work.glob("iter_*.pth")}
    lab.expect(lab.run(work, setup), 2, "could not be written", "untouched", *words)
    left = [path.name for path in work.iterdir() if path.name.endswith(".saving")]
    after = {path.name: path.read_bytes() for path in work.glob("iter_*.pth")}
    if left or not before.items() <= after.items():
        raise AssertionError(f"left behind: {left}; there were {list(before)}, are {list(after)}")
    lab.expect_same_end(work)


@contextmanager
def small_disk(folder: Path, size: int) -> Iterator[Path | None]:
    """Mount a file system with little space, if this user is allowed to."""
    folder.mkdir()
    mount = ["mount", "-t", "tmpfs", "-o", f"size={size}", "tmpfs", str(folder)]
    mounted = (
        shutil.which("mount") is not None
        and subprocess.run(mount, capture_output=True, check=False).returncode == 0
    )
    try:
        yield folder if mounted else None
    finally:
        if mounted:
            subprocess.run(["umount", str(folder)], check=False)


def fill_tmpfs(lab: Lab) -> None:
    """Fill the file system of the work folder."""
    with small_disk(lab.work() / "disk", 1_100_000) as disk:
        if disk is None:
            raise PermissionError("no file system can be mounted here")
        work = disk / "work"
        work.mkdir()
        # Space for less than three checkpoints; two are kept, and the third is written first.
        ended = lab.run(work)
        lab.expect(ended, 2, "No space left on device")
        saved = sorted(path.name for path in work.glob("iter_*.pth"))
        if not saved or list(work.glob(".*.saving")):
            raise AssertionError(f"left: {sorted(path.name for path in work.iterdir())}")
        larger = lab.work()
        for name in saved:
            shutil.copyfile(work / name, larger / name)
    lab.expect_same_end(larger)
