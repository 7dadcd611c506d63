"""Kill training runs at random moments, resume them, and compare how they end.

python tests/faults/fault_kills.py [--kills 50] [--seed 0] [--folder DIR]

Each run is killed (SIGKILL) again and again, at a random moment after its start or while it writes
a checkpoint, and resumed each time by the same command. Its weights, their average and the
optimizer's state at the end are compared, bit by bit, with those of a run that nobody killed.
"""

from __future__ import annotations

import random
import signal
import sys
import time
from dataclasses import dataclass
from pathlib import Path

from fault_runs import Zygote, parse_args, row, same_weights, write_run

LAST = "iter_24.pth"
# A checkpoint this small is written in no time: every flush to the disk takes 10 ms longer.
SLOW_DISK = """
import os, time
flush = os.fsync
os.fsync = lambda file: (time.sleep(0.01), flush(file))
"""


@dataclass
class Tally:
    """Counts of kills and of their outcomes."""

    kills: int = 0  # processes killed
    saving: int = 0  # of these, while a checkpoint was being written
    runs: int = 0  # that came to their end
    equal: int = 0  # of these, with the weights of the run that was not killed
    failures: tuple[str, ...] = ()


def kill_soon(zygote: Zygote, folder: Path, span: float, rng: random.Random) -> None:
    """Kill the run that was just started, at a random moment of the ``span`` seconds it takes."""
    if rng.random() < 0.5:
        time.sleep(rng.uniform(0, span))
    else:
        # While the n-th checkpoint from now on is written.
        saves, seen = rng.randint(1, 4), set()
        until = time.monotonic() + span
        while time.monotonic() < until and len(seen) < saves:
            seen |= {path.name for path in folder.glob(".iter_*.saving")}
            time.sleep(0.0005)
        time.sleep(rng.uniform(0, 0.04))
    zygote.signal(signal.SIGKILL)


def kill_and_resume(folder: Path, kills: int, seed: int, zygote: Zygote) -> Tally:
    """Kill runs until ``kills`` are done; every run is resumed until it ends."""
    rng, tally = random.Random(seed), Tally()
    config = write_run(folder)
    output = folder / "output.txt"

    def start(work: Path) -> None:
        zygote.start(config, "--work-dir", work, "--resume", output=output, setup=SLOW_DISK)

    start(folder / "undisturbed")
    undisturbed = zygote.wait()
    if undisturbed.status != 0:
        raise RuntimeError(f"the run that nobody killed failed: {undisturbed.output[-2000:]}")
    while tally.kills < kills and not tally.failures:
        work = folder / f"killed_{tally.runs}"
        while not tally.failures:
            start(work)
            # The last run is let go once there were enough kills.
            if tally.kills < kills:
                kill_soon(zygote, work, undisturbed.seconds, rng)
            ended = zygote.wait()
            if ended.status == -signal.SIGKILL:
                tally.kills += 1
                tally.saving += bool(list(work.glob(".*.saving")))
            elif ended.status == 0:
                break
            else:
                tally.failures = (f"{work.name}: status {ended.status}: {ended.output[-2000:]}",)
        tally.runs += 1
        if not tally.failures:
            tally.equal += same_weights(folder / "undisturbed" / LAST, work / LAST)
    return tally


def main() -> int:
    args = parse_args(__doc__, kills=50, seed=0)
    zygote = Zygote()
    tally = kill_and_resume(args.folder, args.kills, args.seed, zygote)
    zygote.close()
    for failure in tally.failures:
        print(failure)
    good = tally.equal == tally.runs and not tally.failures
    fault = f"SIGKILL at a random moment, {tally.saving} of them while a checkpoint was written"
    lost = f"nothing: {tally.equal} of {tally.runs} runs end bit for bit as the one not killed"
    command = f"python tests/faults/fault_kills.py --kills {args.kills}"
    print(row(fault, tally.kills, tally.kills if good else 0, lost, command))
    return int(not good)


if __name__ == "__main__":
    sys.exit(main())
