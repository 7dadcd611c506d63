"""Kill training runs at random moments, resume them, and compare how they end.

python tests/faults/fault_kills.py [--kills 50] [--seed 0] [--folder DIR]

Each run is killed (SIGKILL) again and again, at a random moment after its start or while it writes
a checkpoint, and resumed each time by the same command. Its weights, their average and the
optimizer's state at the end are compared, bit by bit, with those of a run that nobody killed.
"""

from __future__ import annotations

import argparse
import random
import signal
import sys
import tempfile
import time
from dataclasses import dataclass
from pathlib import Path

from fault_runs import Zygote, row, same_weights, write_run

from mms_ocr.utils.devices import describe_machine

LAST = "iter_24.pth"
# A checkpoint this small is written in no time: every flush to the disk takes 10 ms longer.
SLOW_DISK = """
import os, time
flush = os.fsync
os.fsync = lambda file: (time.sleep(0.01), flush(file))
"""


@dataclass
class Tally:
    """What was done and what came of it.

    Attributes:
        kills: Processes killed.
        saving: Of these, while a checkpoint was being written.
        runs: Runs that came to their end.
        equal: Of these, with the weights of the run that was not killed.
        failures: What went wrong with others.
    """

    kills: int = 0
    saving: int = 0
    runs: int = 0
    equal: int = 0
    failures: tuple[str, ...] = ()


def kill_soon(zygote: Zygote, folder: Path, span: float, rng: random.Random) -> None:
    """Kill the run that was just started, at a random moment.

    Args:
        zygote: What started it.
        folder: Its work folder.
        span: Seconds that a run takes.
        rng: Of the moment.
    """
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
    """Kill runs until so many kills are done; every run is resumed until it ends.

    Args:
        folder: For everything that the runs write.
        kills: How many.
        seed: Of the moments.
        zygote: What starts the runs.
    """
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
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--kills", type=int, default=50)
    parser.add_argument("--seed", type=int, default=0)
    parser.add_argument("--folder", type=Path)
    args = parser.parse_args()
    folder = args.folder or Path(tempfile.mkdtemp(prefix="fault_kills_"))
    zygote = Zygote()
    tally = kill_and_resume(folder, args.kills, args.seed, zygote)
    zygote.close()
    print(describe_machine())
    for failure in tally.failures:
        print(failure)
    good = tally.equal == tally.runs and not tally.failures
    print(
        row(
            f"SIGKILL at a random moment, {tally.saving} of them while a checkpoint was written; "
            f"{tally.runs} runs",
            tally.kills,
            tally.kills if good else 0,
            f"nothing: {tally.equal} of {tally.runs} runs end bit for bit as the one not killed",
            f"python tests/faults/fault_kills.py --kills {args.kills}",
        )
    )
    return 0 if good else 1


if __name__ == "__main__":
    sys.exit(main())
