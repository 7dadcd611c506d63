"""Signals, lost processes, hanging ranks, losses that are not finite, lost data and full disks.

python tools/benchmarks/fault_processes.py [--times 5] [--only NAME …] [--seed 0] [--folder DIR]

Every run is a small one of ``tools/train.py``. Where it is lost, it is resumed by the same command,
and its end compared bit by bit with that of a run that nothing happened to.
"""

from __future__ import annotations

import argparse
import os
import shutil
import signal
import sys
import tempfile
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path

from fault_lab import SLOW, Lab, children, until
from fault_runs import row
from machine import describe_machine

AGAIN = 75

# Code that is run before training, see fault_runs.Zygote.start.
LOSS = """
from mmengine.logging import MessageHub
from mms_ocr.models.pretraining import MMS
_loss = MMS.loss
def loss(self, *args, **kwargs):
    losses = _loss(self, *args, **kwargs)
    if MessageHub.get_current_instance().get_info("iter") in {iterations}:
        losses["loss_pixel"] = losses["loss_pixel"] {change}
    return losses
MMS.loss = loss
"""
TELL_WEIGHTS = """
import hashlib
from mms_ocr.engine.loops import ResumableTrainLoop
_run = ResumableTrainLoop.run
def run(self):
    model = _run(self)
    digest = hashlib.md5()
    for tensor in model.state_dict().values():
        digest.update(tensor.numpy().tobytes())
    print("weights", digest.hexdigest(), flush=True)
    return model
ResumableTrainLoop.run = run
"""
HANG_TRAINING = """
import time
from mmengine.logging import MessageHub
from mms_ocr.models.pretraining import MMS
_loss = MMS.loss
def loss(self, *args, **kwargs):
    if MessageHub.get_current_instance().get_info("iter") == 7:
        time.sleep(1000)
    return _loss(self, *args, **kwargs)
MMS.loss = loss
"""
HANG_READING = """
import time
from mms_ocr.engine.loops import ResumableTrainLoop
_next = ResumableTrainLoop._next_batch
def next_batch(self):
    if self._iter == 7:
        time.sleep(1000)
    return _next(self)
ResumableTrainLoop._next_batch = next_batch
"""
SMALL_FILES = """
import resource
resource.setrlimit(resource.RLIMIT_FSIZE, ({size}, {size}))
"""
NO_SPACE = """
import errno, os
from mms_ocr import sealing
from mms_ocr.engine.hooks import checkpoint_hook
def failing(*args, **kwargs):
    raise OSError(errno.ENOSPC, os.strerror(errno.ENOSPC))
{module}.{name} = failing
"""


def stop_by_signal(lab: Lab, number: int) -> None:
    """A signal to all processes of a run, as slurm sends it."""
    work = lab.work()
    pid = lab.begin(work)
    time.sleep(lab.rng.uniform(0, 0.6))
    # Workers first: they must not take the run with them.
    for process in [*children(pid), pid]:
        os.kill(process, number)
    ended = lab.zygotes[0].wait()
    lab.expect(ended, AGAIN)
    lab.expect_same_end(work)


def lose_worker(lab: Lab) -> None:
    """A loader worker is killed, as for want of memory."""
    work = lab.work()
    pid = lab.begin(work)
    os.kill(lab.rng.choice(children(pid)), signal.SIGKILL)
    lab.expect(lab.zygotes[0].wait(), 2, "lost (Killed)")
    lab.expect_same_end(work)


def lose_data(lab: Lab) -> None:
    """The folder of the training data vanishes."""
    work = lab.work()
    lab.begin(work)
    lab.words.rename(lab.folder / "gone")
    ended = lab.zygotes[0].wait()
    (lab.folder / "gone").rename(lab.words)
    lab.expect(ended, 2, str(lab.words))
    lab.expect_same_end(work)


def lose_rank(lab: Lab) -> None:
    """One of two processes dies."""
    work = lab.work()
    slow = SLOW.format(seconds=0.05)
    lab.start_two(work, (slow, slow))
    until(lambda: list(work.glob("iter_*.pth")))
    lab.zygotes[1].signal(signal.SIGKILL)
    first, second = lab.wait_two()
    if second.status != -signal.SIGKILL:
        raise AssertionError("the process had ended before")
    lab.expect(first, 2, "rank 0 lost another process")


def stop_two(lab: Lab) -> None:
    """SIGTERM to one of two processes; both have to save and stop at the same iteration."""
    work = lab.work()
    slow = SLOW.format(seconds=0.05)
    lab.start_two(work, (slow, slow))
    until(lambda: list(work.glob("iter_*.pth")))
    time.sleep(lab.rng.uniform(0, 0.6))
    lab.zygotes[1].signal(signal.SIGTERM)
    for ended in lab.wait_two():
        lab.expect(ended, AGAIN)
    lab.expect_same_end_of_two(work)


def kill_two(lab: Lab) -> None:
    """SIGKILL of both of two processes."""
    work = lab.work()
    slow = SLOW.format(seconds=0.05)
    lab.start_two(work, (slow, slow))
    until(lambda: list(work.glob("iter_*.pth")))
    time.sleep(lab.rng.uniform(0, 0.6))
    for zygote in lab.zygotes:
        zygote.signal(signal.SIGKILL)
    lab.wait_two()
    lab.expect_same_end_of_two(work)


def hang(lab: Lab, setup: str, *words: str) -> None:
    """One of two processes hangs."""
    times = ("default_hooks.watchdog.timeout=5", "default_hooks.watchdog.silence=5")
    lab.start_two(lab.work(), ("", setup), times)
    first, second = lab.wait_two()
    for ended in (first, second):
        if ended.status == -signal.SIGKILL:
            raise AssertionError(f"it hung for ever: {ended.output[-2000:]}")
    lab.expect(first, 1, "no progress for", "rank 1", *words)


def freeze(lab: Lab) -> None:
    """One of two processes is frozen, as on a machine that is lost."""
    work = lab.work()
    times = ("default_hooks.watchdog.timeout=20", "default_hooks.watchdog.silence=4")
    slow = SLOW.format(seconds=0.05)
    lab.start_two(work, (slow, slow), times)
    until(lambda: list(work.glob("iter_*.pth")))
    lab.zygotes[1].signal(signal.SIGSTOP)
    first = lab.zygotes[0].wait()
    lab.zygotes[1].signal(signal.SIGKILL)
    lab.zygotes[1].wait()
    lab.expect(first, 1, "no progress for", "rank 1 is not heard of")


def skip_step(lab: Lab, change: str) -> None:
    """A loss that is not finite, on one of two processes; both have to skip the step."""
    bad = TELL_WEIGHTS + LOSS.format(iterations="(5, 6, 9)", change=change)
    lab.start_two(lab.work(), (TELL_WEIGHTS, bad))
    told = []
    for ended in lab.wait_two():
        lab.expect(ended, 0)
        told.append([line for line in ended.output.splitlines() if line.startswith("weights")])
    first = (lab.folder / "output_0.txt").read_text()
    if told[0] != told[1] or "3 in all" not in first or "2 in a row" not in first:
        raise AssertionError(f"not skipped alike: {told}")


def give_up(lab: Lab) -> None:
    """A loss that is NaN for good."""
    bad = LOSS.format(iterations="range(5, 99)", change="* float('nan')")
    ended = lab.run(lab.work(), bad, ("default_hooks.non_finite.max_in_row=4",))
    lab.expect(ended, 2, "4 steps in a row", "not finite")


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
    """A file system with little space, where this user may mount one."""
    folder.mkdir()
    mounted = os.system(f"mount -t tmpfs -o size={size} tmpfs {folder} 2>/dev/null") == 0
    try:
        yield folder if mounted else None
    finally:
        if mounted:
            os.system(f"umount {folder}")


def fill_tmpfs(lab: Lab) -> None:
    """The file system of the work folder runs full."""
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


RESUMED = "nothing: one line, and the resumed run ends bit for bit as undisturbed"
NAMED = "nothing but the time since the last checkpoint: one line"
FAULTS: dict[str, tuple[str, Callable[[Lab], None], str]] = {
    "sigterm": (
        "SIGTERM to a run and its workers",
        lambda lab: stop_by_signal(lab, signal.SIGTERM),
        "nothing: saved, status 75, the resumed run ends bit for bit as undisturbed",
    ),
    "sigusr1": (
        "SIGUSR1 to a run and its workers",
        lambda lab: stop_by_signal(lab, signal.SIGUSR1),
        "nothing: saved, status 75, the resumed run ends bit for bit as undisturbed",
    ),
    "worker": ("SIGKILL of a loader worker", lose_worker, RESUMED),
    "data": ("the training data vanish", lose_data, RESUMED),
    "rank": ("SIGKILL of one of two ranks", lose_rank, f"{NAMED} of the other rank"),
    "sigterm-rank": (
        "SIGTERM to one of two ranks",
        stop_two,
        "nothing: both save at the same iteration, the resumed run ends bit for bit as undisturbed",
    ),
    "two-ranks": (
        "SIGKILL of both of two ranks",
        kill_two,
        "nothing: the resumed run ends bit for bit as undisturbed",
    ),
    "hang-reading": (
        "one of two ranks hangs in reading",
        lambda lab: hang(lab, HANG_READING, "reading the batch of iteration 7"),
        f"{NAMED} names rank, place and iteration",
    ),
    "hang-training": (
        "one of two ranks hangs in the model",
        lambda lab: hang(lab, HANG_TRAINING, "training at iteration 7", "in loss"),
        f"{NAMED} names rank, place and iteration",
    ),
    "freeze": ("one of two ranks is frozen (SIGSTOP)", freeze, f"{NAMED} names the rank"),
    "nan": (
        "NaN loss on one of two ranks, in 3 steps",
        lambda lab: skip_step(lab, "* float('nan')"),
        "3 steps: skipped on both ranks, which keep the same weights",
    ),
    "inf": (
        "infinite loss on one of two ranks, in 3 steps",
        lambda lab: skip_step(lab, "+ float('inf')"),
        "3 steps: skipped on both ranks, which keep the same weights",
    ),
    "nan-forever": ("NaN loss for good", give_up, f"{NAMED}, after max_in_row steps"),
    "file-limit": (
        "a checkpoint may not grow to its size (EFBIG)",
        lambda lab: fill_disk(lab, SMALL_FILES.format(size=300_000), "File too large"),
        RESUMED,
    ),
    "no-space-seal": (
        "no space for a checkpoint's seal",
        lambda lab: fill_disk(
            lab, NO_SPACE.format(module="checkpoint_hook", name="seal"), "No space left"
        ),
        RESUMED,
    ),
    "no-space-flush": (
        "no space when a checkpoint is flushed",
        lambda lab: fill_disk(
            lab, NO_SPACE.format(module="sealing.os", name="fsync"), "No space left"
        ),
        RESUMED,
    ),
    "no-space-rename": (
        "no space when a checkpoint is renamed",
        lambda lab: fill_disk(
            lab, NO_SPACE.format(module="sealing.os", name="replace"), "No space left"
        ),
        RESUMED,
    ),
    "full-disk": ("a file system (tmpfs) runs full", fill_tmpfs, RESUMED),
}


def main() -> int:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--times", type=int, default=5)
    parser.add_argument("--only", nargs="+", choices=FAULTS, default=list(FAULTS))
    parser.add_argument("--seed", type=int, default=0)
    parser.add_argument("--folder", type=Path)
    args = parser.parse_args()
    folder = args.folder or Path(tempfile.mkdtemp(prefix="fault_processes_"))
    lab = Lab(folder, args.seed)
    print(describe_machine(), flush=True)
    failed = False
    for name in args.only:
        fault, inject, lost = FAULTS[name]
        survived, faults = 0, []
        for _ in range(args.times):
            try:
                inject(lab)
                survived += 1
            except (AssertionError, OSError) as error:
                faults.append(str(error))
        failed |= bool(faults)
        command = f"python tools/benchmarks/fault_processes.py --only {name} --times {args.times}"
        print(row(fault, args.times, survived, faults[0] if faults else lost, command), flush=True)
    lab.close()
    return int(failed)


if __name__ == "__main__":
    sys.exit(main())
