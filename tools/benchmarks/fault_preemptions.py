"""Preempt a run under a real slurm again and again; it has to end as one that was left alone.

A slurm of two nodes is started on this machine (local_slurm.py), and ``tools/slurm_train.sh`` with
``REQUEUE=1`` trains a tiny model over both. Jobs of a partition that goes first push it out at
random moments: of its training, and of its start, when nothing handles a signal yet. Slurm queues
it again by itself. Weights, their average and the optimiser's state are compared bit by bit with
those of a run that nothing happened to.

    python tools/benchmarks/fault_preemptions.py --preemptions 20
"""

from __future__ import annotations

import argparse
import os
import random
import re
import sys
import tempfile
import time
from dataclasses import dataclass, field
from pathlib import Path

from fault_runs import ROOT, row, same_weights, write_run
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
    """What became of a run that was preempted.

    Attributes:
        state: Of its job in the end, in slurm's words.
        injected: Preemptions.
        attempts: How often slurm started it.
        repeated: Iterations that were trained more than once.
    """

    state: str = ""
    injected: int = 0
    attempts: int = 0
    repeated: int = 0
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
    """Whether a job has ended for good."""
    state = slurm.job(number).get("JobState", "COMPLETED")
    return state not in ("PENDING", "RUNNING", "COMPLETING", "REQUEUED", "PREEMPTED")


def trained(work_dir: Path) -> list[int]:
    """The iterations that the job has logged, in order."""
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
    at_start: float = 0.2,
) -> Preempted:
    """Train, and preempt the run so many times.

    Args:
        slurm: The cluster.
        config: Of the run.
        work_dir: Its work folder.
        times: Preemptions.
        rng: Of the moments.
        arguments: Further ones of ``tools/train.py``.
        at_start: Share of the preemptions that come while the run starts.
    """
    number = submit(slurm, config, work_dir, *arguments)
    outcome = Preempted()
    for _ in range(times):
        before = len(trained(work_dir))
        running = lambda: slurm.job(number).get("JobState") == "RUNNING"  # noqa: E731
        slurm.wait_until(
            lambda: running() or is_over(slurm, number), _START, "the run starts again"
        )
        if rng.random() < at_start:
            time.sleep(rng.uniform(0.5, 4))
        else:
            slurm.wait_until(
                lambda: len(trained(work_dir)) > before or is_over(slurm, number),
                _START,
                "the run goes on",
            )
            time.sleep(rng.uniform(0, 1.5))
        if is_over(slurm, number):
            break
        preempt(slurm)
        outcome.injected += 1
    slurm.wait_until(lambda: is_over(slurm, number), _START, "the run ends")
    told = slurm.job(number)
    outcome.state = told.get("JobState", "forgotten")
    outcome.attempts = 1 + int(told.get("Restarts", 0))
    done = trained(work_dir)
    outcome.repeated = len(done) - len(set(done))
    outcome.log = next(iter(work_dir.glob("slurm-*.out"))).read_text(errors="replace")
    return outcome


def main() -> int:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--preemptions", type=int, default=20)
    parser.add_argument("--iterations", type=int, default=1000)
    parser.add_argument("--seed", type=int, default=0)
    parser.add_argument("--folder", type=Path, help="for everything (default: a temporary one)")
    args = parser.parse_args()
    if missing_programs():
        print("no slurm here: tools/benchmarks/local_slurm.py --install", file=sys.stderr)
        return 1
    folder = args.folder or Path(tempfile.mkdtemp(prefix="preemptions_"))
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
    print(f"bitwise the same weights, averages and optimiser states: {same}\n")
    survived = run.injected if run.state == "COMPLETED" and same else 0
    command = f"tools/benchmarks/fault_preemptions.py --preemptions {args.preemptions}"
    lost = f"{run.repeated} iterations trained twice"
    print(row("preempted by real slurm, two nodes", run.injected, survived, lost, command))
    return 0 if survived == args.preemptions else 1


if __name__ == "__main__":
    sys.exit(main())
