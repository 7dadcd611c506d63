"""Signals, lost processes, hanging ranks, losses that are not finite, lost data and full disks.

python tests/faults/fault_processes.py [--times 5] [--only NAME …] [--seed 0] [--folder DIR]

Every run is a small one of ``tools/train.py``. Where it is lost, it is resumed by the same command,
and its end compared bit by bit with that of a run that nothing happened to.
"""

from __future__ import annotations

import os
import signal
import sys
import time
from collections.abc import Callable

from fault_disks import fill_disk, fill_tmpfs
from fault_lab import AGAIN, MOMENTS, Lab, children
from fault_runs import parse_args, row
from fault_setups import HANG_READING, HANG_TRAINING, LOSS, NO_SPACE, PRINT_WEIGHTS, SMALL_FILES


def stop_by_signal(lab: Lab, number: int) -> None:
    """Send a signal to all processes of a run, as slurm does."""
    work = lab.work()
    pid = lab.begin(work)
    time.sleep(lab.rng.uniform(0, MOMENTS))
    # Workers first: they must not take the run with them.
    for process in [*children(pid), pid]:
        os.kill(process, number)
    ended = lab.zygotes[0].wait()
    lab.expect(ended, AGAIN)
    lab.expect_same_end(work)


def lose_worker(lab: Lab) -> None:
    """Kill a loader worker, as a system without free memory does."""
    work = lab.work()
    pid = lab.begin(work)
    os.kill(lab.rng.choice(children(pid)), signal.SIGKILL)
    lab.expect(lab.zygotes[0].wait(), 2, "DataLoader worker")
    lab.expect_same_end(work)


def lose_data(lab: Lab) -> None:
    """Remove the folder of the training data."""
    work = lab.work()
    lab.begin(work)
    lab.words.rename(lab.folder / "gone")
    ended = lab.zygotes[0].wait()
    (lab.folder / "gone").rename(lab.words)
    lab.expect(ended, 2, str(lab.words))
    lab.expect_same_end(work)


def lose_rank(lab: Lab) -> None:
    """Kill one of two processes."""
    lab.begin_two()
    lab.zygotes[1].signal(signal.SIGKILL)
    first, second = lab.wait_two()
    if second.status != -signal.SIGKILL:
        raise AssertionError("the process had ended before")
    lab.expect(first, 2, "rank 0 lost another process")


def stop_two(lab: Lab) -> None:
    """Send SIGTERM to one of two processes; both must save and stop at the same iteration."""
    work = lab.begin_two()
    time.sleep(lab.rng.uniform(0, MOMENTS))
    lab.zygotes[1].signal(signal.SIGTERM)
    for ended in lab.wait_two():
        lab.expect(ended, AGAIN)
    lab.expect_same_end_of_two(work)


def kill_two(lab: Lab) -> None:
    """Send SIGKILL to both of two processes."""
    work = lab.begin_two()
    time.sleep(lab.rng.uniform(0, MOMENTS))
    for zygote in lab.zygotes:
        zygote.signal(signal.SIGKILL)
    lab.wait_two()
    lab.expect_same_end_of_two(work)


def hang(lab: Lab, setup: str, function: str, *words: str) -> None:
    """Let one of two processes hang."""
    work = lab.work()
    # On a busy machine the first steps take seconds, and the time-out must not end before.
    lab.start_two(work, ("", setup), ("default_hooks.watchdog.timeout=12",))
    for rank, ended in enumerate(lab.wait_two()):
        stacks = list(work.glob(f"*/hang_rank{rank}.txt"))
        if len(stacks) != 1:
            raise AssertionError(f"rank {rank}: {len(stacks)} files: {ended.output[-2000:]}")
        lab.expect(ended, 1, f"rank {rank}", "no progress for", str(stacks[0]))
        # The stack of the rank that hangs shows where, and that of the other a collective.
        if (f"in {function}" in stacks[0].read_text()) != (rank == 1):
            raise AssertionError(stacks[0].read_text())
    lab.expect(ended, 1, *words)


def freeze(lab: Lab) -> None:
    """Freeze one of two processes, as on a machine that is lost."""
    lab.begin_two("default_hooks.watchdog.timeout=12")
    lab.zygotes[1].signal(signal.SIGSTOP)
    first = lab.zygotes[0].wait()
    lab.zygotes[1].signal(signal.SIGKILL)
    lab.zygotes[1].wait()
    lab.expect(first, 1, "rank 0", "no progress for", "hang_rank0.txt")


def skip_step(lab: Lab, change: str) -> None:
    """Make the loss of one of two processes not finite; both must skip the step."""
    bad = PRINT_WEIGHTS + LOSS.format(iterations="(5, 6, 9)", change=change)
    lab.start_two(lab.work(), (PRINT_WEIGHTS, bad))
    weights = []
    for ended in lab.wait_two():
        lab.expect(ended, 0)
        weights.append([line for line in ended.output.splitlines() if line.startswith("weights")])
    first = (lab.folder / "output_0.txt").read_text()
    if weights[0] != weights[1] or "3 in all" not in first or "2 in a row" not in first:
        raise AssertionError(f"not skipped alike: {weights}")


def give_up(lab: Lab) -> None:
    """Make the loss stay NaN."""
    bad = LOSS.format(iterations="range(5, 99)", change="* float('nan')")
    ended = lab.run(lab.work(), bad, ("default_hooks.non_finite.max_in_row=4",))
    lab.expect(ended, 2, "4 steps in a row", "not finite")


RESUMED = "nothing: one line, and the resumed run ends bit for bit as undisturbed"
STOPPED = "nothing: saved, status 75, the resumed run ends bit for bit as undisturbed"
NAMED = "nothing but the time since the last checkpoint: one line"
FAULTS: dict[str, tuple[str, Callable[[Lab], None], str]] = {
    "sigterm": (
        "SIGTERM to a run and its workers",
        lambda lab: stop_by_signal(lab, signal.SIGTERM),
        STOPPED,
    ),
    "sigusr1": (
        "SIGUSR1 to a run and its workers",
        lambda lab: stop_by_signal(lab, signal.SIGUSR1),
        STOPPED,
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
        lambda lab: hang(lab, HANG_READING, "next_batch", "reading the batch of iteration 7"),
        f"{NAMED} of each rank names the iteration and the file with its stacks",
    ),
    "hang-training": (
        "one of two ranks hangs in the model",
        lambda lab: hang(lab, HANG_TRAINING, "loss", "training at iteration 7"),
        f"{NAMED} of each rank names the iteration and the file with its stacks",
    ),
    "freeze": ("one of two ranks is frozen (SIGSTOP)", freeze, f"{NAMED} of the other rank"),
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
    "no-space-flush": (
        "no space when a checkpoint is flushed",
        lambda lab: fill_disk(lab, NO_SPACE.format(name="fsync"), "No space left"),
        RESUMED,
    ),
    "no-space-rename": (
        "no space when a checkpoint is renamed",
        lambda lab: fill_disk(lab, NO_SPACE.format(name="replace"), "No space left"),
        RESUMED,
    ),
    "full-disk": ("a file system (tmpfs) runs full", fill_tmpfs, RESUMED),
}


def main() -> int:
    args = parse_args(__doc__, only=FAULTS, times=5, seed=0)
    lab = Lab(args.folder, args.seed)
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
        command = f"python tests/faults/fault_processes.py --only {name} --times {args.times}"
        print(row(fault, args.times, survived, faults[0] if faults else lost, command), flush=True)
    lab.close()
    return int(failed)


if __name__ == "__main__":
    sys.exit(main())
