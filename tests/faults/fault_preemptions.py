"""Preempt a run under a real slurm many times; it must end like an undisturbed run.

A slurm of two nodes is started on this machine (local_slurm.py), and ``tools/slurm_train.sh`` with
``REQUEUE=1`` trains a tiny model over both. Jobs of a partition that goes first push it out at
random moments: of its training, and of its start, when nothing handles a signal yet. Slurm queues
it again by itself. Weights, their average and the optimizer's state are compared bit by bit with
those of a run that nothing happened to.

    python tests/faults/fault_preemptions.py --preemptions 20
"""

from __future__ import annotations

import os
import random
import re
import sys
import time
from collections.abc import Callable
from dataclasses import dataclass, field
from pathlib import Path

from fault_runs import ROOT, parse_args, row, same_weights, write_run
from local_slurm import LocalSlurm, missing_programs

TOOLS = ROOT / "tools"
#: Two tasks on two nodes, without GPUs.
ON_TWO_NODES = {
    "GPUS": "0",
    "NTASKS": "2",
    "NNODES": "2",
    "CPUS_PER_TASK": "1",
    "OMP_NUM_THREADS": "1",
    "MKL_NUM_THREADS": "1",
    "PYTHONPATH": str(Path(__file__).parent),
}
_START = 300  # seconds within which a queued run has to start


@dataclass
class Preempted:
    """Outcome of a run that was preempted."""

    state: str = ""  # of its job in the end, in slurm's words
    injected: int = 0  # preemptions
    attempts: int = 0  # times that slurm started it
    repeated: int = 0  # iterations that were trained more than once
    at_start: int = 0  # signals that came before anything handled them
    log: str = field(default="", repr=False)


def submit(slurm: LocalSlurm, config: Path, work_dir: Path, *arguments: str) -> str:
    """Submit a training that is queued again; returns the job's number."""
    done = slurm.run(
        TOOLS / "slurm_train.sh",
        *("low", "train", config, work_dir, *arguments),
        env={**ON_TWO_NODES, "REQUEUE": "1"},
    )
    if done.returncode:
        raise RuntimeError(f"sbatch refused the job: {done.stderr}")
    return done.stdout.strip()


def preempt(slurm: LocalSlurm) -> None:
    """Let a job that goes first take all nodes for a moment, and wait until it is over."""
    nodes = str(len(slurm.names))
    done = slurm.run(
        *("sbatch", "--parsable", "--partition=high", f"--nodes={nodes}", "--exclusive"),
        *("--output=/dev/null", "--wrap", "true"),
    )
    if done.returncode:
        raise RuntimeError(f"sbatch refused the preempting job: {done.stderr}")
    first = done.stdout.strip()
    slurm.wait_until(lambda: is_over(slurm, first), _START, f"job {first}, which preempts")


def is_over(slurm: LocalSlurm, number: str) -> bool:
    """Return whether a job has ended and is not queued again."""
    state = slurm.job(number).get("JobState", "COMPLETED")
    return state not in ("PENDING", "RUNNING", "COMPLETING", "REQUEUED", "PREEMPTED")


def trained(work_dir: Path) -> list[int]:
    """Read the iterations that the job has logged, in order."""
    logs = sorted(work_dir.glob("slurm-*.out"))
    text = logs[-1].read_text(errors="replace") if logs else ""
    return [int(number) for number in re.findall(r"Iter\(train\) \[ *(\d+)/", text)]


def preempted_run(
    slurm: LocalSlurm,
    config: Path,
    work_dir: Path,
    times: int,
    rng: random.Random,
    arguments: tuple[str, ...] = (),
    every_at_start: int = 4,
) -> Preempted:
    """Train, preempting the run ``times`` times, every ``every_at_start``-th time at its start."""
    number = submit(slurm, config, work_dir, *arguments)
    outcome = Preempted()
    for turn in range(1, times + 1):
        seen = len(trained(work_dir))
        wait_for_run(slurm, number, lambda: slurm.job(number).get("JobState") == "RUNNING")
        if every_at_start and turn % every_at_start == 0:
            time.sleep(rng.uniform(0, 2))
        else:
            wait_for_run(slurm, number, lambda seen=seen: len(trained(work_dir)) > seen)
            time.sleep(rng.uniform(0, 1.5))
        if is_over(slurm, number):
            break
        preempt(slurm)
        outcome.injected += 1
    slurm.wait_until(lambda: is_over(slurm, number), _START, "the run ends")
    facts = slurm.job(number)
    outcome.state = facts.get("JobState", "forgotten")
    outcome.attempts = 1 + int(facts.get("Restarts", 0))
    done = trained(work_dir)
    outcome.repeated = len(done) - len(set(done))
    outcome.log = next(iter(work_dir.glob("slurm-*.out"))).read_text(errors="replace")
    outcome.at_start = outcome.log.count("(status 143) and is queued again")
    return outcome


def wait_for_run(slurm: LocalSlurm, number: str, holds: Callable[[], bool]) -> None:
    """Wait until the run continues, or is over."""
    slurm.wait_until(lambda: holds() or is_over(slurm, number), _START, "the run continues")


def main() -> int:
    args = parse_args(__doc__, preemptions=20, iterations=1000, seed=0)
    if missing_programs():
        print("no slurm here: tests/faults/local_slurm.py --install", file=sys.stderr)
        return 1
    folder = args.folder
    config = write_run(folder / "run", args.iterations, interval=20, workers=0)
    last = f"iter_{args.iterations}.pth"
    # Slurm starts `python`: this one.
    path = f"{Path(sys.executable).parent}:{os.environ['PATH']}"
    arguments = ("--cfg-options", "train_cfg.val_interval=100", "default_hooks.logger.interval=1")
    with LocalSlurm(folder / "slurm") as slurm:
        slurm.environment["PATH"] = f"{path}:{slurm.environment['PATH']}"
        alone = preempted_run(slurm, config, folder / "alone", 0, random.Random(), arguments)
        print(f"left alone: {alone}", flush=True)
        rng = random.Random(args.seed)
        run = preempted_run(slurm, config, folder / "hit", args.preemptions, rng, arguments)
    print(f"preempted: {run}", flush=True)
    same = (folder / "hit" / last).is_file() and same_weights(
        folder / "alone" / last, folder / "hit" / last
    )
    print(f"bitwise the same weights, averages and optimizer states: {same}\n")
    survived = run.injected if run.state == "COMPLETED" and same else 0
    command = f"tests/faults/fault_preemptions.py --preemptions {args.preemptions}"
    lost = f"nothing: {run.repeated} iterations trained twice"
    fault = f"preempted by real slurm, two nodes ({run.at_start} of them while starting)"
    print(row(fault, run.injected, survived, lost, command))
    return 0 if survived == args.preemptions else 1


if __name__ == "__main__":
    sys.exit(main())
