"""Damage checkpoints in every way, and check what is read, refused and resumed from.

python tests/faults/fault_checkpoints.py [--places 100] [--seed 0] [--folder DIR]

Truncated, changed, emptied and foreign files are looked at as ``--resume`` does, in all their
variants; of each kind one is resumed from by ``tools/train.py``, which has to report it, to
continue from the checkpoint before it, and to end as if nothing had happened.
"""

from __future__ import annotations

import argparse
import os
import pickle
import random
import shutil
import sys
import tempfile
from collections.abc import Callable, Iterator
from pathlib import Path

import numpy as np
import torch
from fault_runs import Zygote, row, same_weights, write_run

from mms_ocr.engine.resuming import newest_whole_checkpoint
from mms_ocr.models.weights import read_checkpoint
from mms_ocr.utils.devices import describe_machine

NEWEST, BEFORE, LAST = "iter_20.pth", "iter_16.pth", "iter_24.pth"


class Attack:
    """Runs a command where it is unpickled."""

    def __init__(self, marker: Path) -> None:
        self.marker = marker

    def __reduce__(self) -> tuple:
        return os.system, (f"touch {self.marker}",)


def truncated(good: bytes, places: int, rng: random.Random) -> Iterator[bytes]:
    """The file cut at random places, and one byte before its end."""
    for _ in range(places - 1):
        yield good[: rng.randrange(1, len(good))]
    yield good[:-1]


def flipped(good: bytes, places: int, rng: random.Random) -> Iterator[bytes]:
    """The file with one byte changed: somewhere, and in each of the last 150, a zip's directory."""
    random_places = [rng.randrange(len(good)) for _ in range(places)]
    # The last one is in the pickle or a tensor, which a run is started on.
    for place in [*range(len(good) - 150, len(good)), *random_places, len(good) // 2]:
        changed = bytearray(good)
        changed[place] ^= rng.randrange(1, 256)
        yield bytes(changed)


def garbage(good: bytes, places: int, rng: random.Random) -> Iterator[bytes]:
    """Files that never were checkpoints."""
    yield b""
    yield b"\0" * len(good)
    yield rng.randbytes(len(good))
    yield b"PK" + rng.randbytes(10_000)
    yield b"this is a text"
    yield good[: len(good) // 2] + b"\0" * (len(good) - len(good) // 2)
    yield good + b"\0"


def incomplete(good: Path) -> Iterator[dict]:
    """Whole files that lack something."""
    checkpoint = read_checkpoint(good)
    for part in ("meta", "state_dict", "optimizer", "message_hub"):
        yield {key: value for key, value in checkpoint.items() if key != part}
    yield {**checkpoint, "meta": {}}
    yield checkpoint["state_dict"]


def attacks(good: Path, marker: Path, folder: Path) -> Iterator[Path]:
    """Files that run a command when they are unpickled, of the current and older formats."""
    checkpoint = read_checkpoint(good)
    armed = {**checkpoint, "attack": Attack(marker)}
    hidden = {**checkpoint, "meta": {**checkpoint["meta"], "seed": Attack(marker)}}
    for number, content in enumerate((armed, hidden)):
        path = folder / f"zip_{number}"
        torch.save(content, path)
        yield path
        path = folder / f"older_{number}"
        torch.save(content, path, _use_new_zipfile_serialization=False)
        yield path
    path = folder / "pickle"
    path.write_bytes(pickle.dumps(Attack(marker)))
    yield path


def is_handled(work: Path, good: Path) -> bool:
    """Whether the newest checkpoint is named in one line and the one before it used.

    A changed byte that holds no content, such as one of the padding, leaves a whole checkpoint: it
    is used, and every value in it has to be what was written.
    """
    path, faults = newest_whole_checkpoint(work)
    if path == str(work / NEWEST):
        return not faults and _same(read_checkpoint(path), read_checkpoint(good))
    named = len(faults) == 1 and str(work / NEWEST) in faults[0] and "\n" not in faults[0]
    return named and path == str(work / BEFORE)


def _same(first: object, second: object) -> bool:
    """Whether two checkpoints hold the same values."""
    if isinstance(first, torch.Tensor) and isinstance(second, torch.Tensor):
        return first.dtype == second.dtype and first.numpy().tobytes() == second.numpy().tobytes()
    if isinstance(first, dict) and isinstance(second, dict):
        return first.keys() == second.keys() and all(_same(first[k], second[k]) for k in first)
    if isinstance(first, list | tuple) and isinstance(second, list | tuple):
        return len(first) == len(second) and all(map(_same, first, second))
    if hasattr(first, "__dict__") and hasattr(second, "__dict__"):
        return type(first) is type(second) and _same(vars(first), vars(second))
    if isinstance(first, np.ndarray) and isinstance(second, np.ndarray):
        return first.tobytes() == second.tobytes()
    return first == second or (first != first and second != second)


def count(work: Path, good: Path, variants: Iterator[Callable[[], None]]) -> tuple[int, int, int]:
    """Count the variants of a damage, those that were handled, and those that left it whole."""
    handled, whole = [], 0
    for damage in variants:
        damage()
        handled.append(is_handled(work, good))
        whole += newest_whole_checkpoint(work)[0] == str(work / NEWEST)
    return len(handled), sum(handled), whole


def resumes(zygote: Zygote, config: Path, work: Path, good: Path) -> str:
    """What is wrong with how a run passes over the newest checkpoint; '' for nothing."""
    ended = zygote.run(config, "--work-dir", work, "--resume", output=work / "output.txt")
    if ended.status != 0:
        return f"status {ended.status}: {ended.output[-1000:]}"
    if str(work / NEWEST) not in ended.output or f"{BEFORE}, the newest" not in ended.output:
        return "the damaged file or the one before it was not named"
    return "" if same_weights(work / LAST, good) else "it ended with other weights"


def explicit(zygote: Zygote, config: Path, work: Path, weights_only: bool) -> str:
    """What is wrong with how the damaged file is refused where it is asked for by name.

    Args:
        zygote: What starts runs.
        config: Of the run.
        work: Where the file is.
        weights_only: It holds whole weights, which may well be loaded.
    """
    options = [["--resume", work / NEWEST], ["--cfg-options", f"load_from={work / NEWEST}"]]
    for option in options[: 1 if weights_only else 2]:
        ended = zygote.run(
            config, "--work-dir", work / "named", *option, output=work / "output.txt"
        )
        if ended.status != 2 or ended.traceback or str(work / NEWEST) not in ended.line:
            return f"{option[0]}: status {ended.status}, {ended.output[-1000:]}"
    return ""


def resumes_without_running(
    zygote: Zygote, config: Path, folder: Path, good: Path, marker: Path
) -> dict:
    """What came of a whole checkpoint with a program for a config, which MMEngine would run."""
    work = folder / "program"
    work.mkdir()
    checkpoint = read_checkpoint(good / NEWEST)
    program = f"import os\nos.system('touch {marker}')\n"
    torch.save({**checkpoint, "meta": {**checkpoint["meta"], "config": program}}, work / NEWEST)
    ended = zygote.run(config, "--work-dir", work, "--resume", output=work / "output.txt")
    faults = [] if ended.status == 0 else [f"status {ended.status}: {ended.output[-1000:]}"]
    if marker.exists():
        faults.append("the program was run")
    elif not faults and not same_weights(work / LAST, good / LAST):
        faults.append("it ended with other weights")
    return dict(
        name="checkpoint whose config is a program",
        injected=1,
        survived=int(not faults),
        faults=faults,
        lost="nothing: resumed from, and the program not run",
    )


def damage_everything(
    folder: Path, places: int, seed: int, zygote: Zygote, runs: bool = True
) -> list[dict]:
    """Damage checkpoints; what came of each kind.

    Args:
        folder: For everything that is written.
        places: How many places a file is cut or changed at.
        seed: Of the places.
        zygote: What starts runs.
        runs: Whether one of each kind is resumed from as well.
    """
    rng = random.Random(seed)
    config = write_run(folder)
    good = folder / "good"
    ended = zygote.run(
        config, "--work-dir", good, "--cfg-options", "default_hooks.checkpoint.max_keep_ckpts=6",
        output=folder / "output.txt",
    )  # fmt: skip
    if ended.status != 0:
        raise RuntimeError(ended.output[-2000:])
    content, marker = (good / NEWEST).read_bytes(), folder / "attacked"

    def writing(kind: Callable, work: Path) -> Iterator[Callable[[], None]]:
        for damaged in kind(content, places, rng):
            yield lambda damaged=damaged: (work / NEWEST).write_bytes(damaged)

    def saving(work: Path) -> Iterator[Callable[[], None]]:
        def save(checkpoint: dict) -> None:
            torch.save(checkpoint, work / NEWEST)

        for checkpoint in incomplete(good / NEWEST):
            yield lambda checkpoint=checkpoint: save(checkpoint)

    def attacking(work: Path) -> Iterator[Callable[[], None]]:
        files = folder / "attacks"
        files.mkdir(exist_ok=True)
        for path in attacks(good / NEWEST, marker, files):
            yield lambda path=path: shutil.copyfile(path, work / NEWEST)

    kinds = {
        "truncated checkpoint": lambda work: writing(truncated, work),
        "checkpoint with a changed byte": lambda work: writing(flipped, work),
        "empty file, zeros, noise, text, half a file, more than a file": lambda work: writing(
            garbage, work
        ),
        "checkpoint that lacks a part": saving,
        "checkpoint that runs a command when unpickled": attacking,
    }
    results = []
    for number, (name, variants) in enumerate(kinds.items()):
        work = folder / f"damaged_{number}"
        work.mkdir()
        for file in (BEFORE, NEWEST):
            shutil.copyfile(good / file, work / file)
        injected, survived, whole = count(work, good / NEWEST, variants(work))
        faults = []
        if runs:
            # The last variant is still there; of changed bytes, one that is damaged.
            weights_only = variants is saving
            faults = [
                explicit(zygote, config, work, weights_only),
                resumes(zygote, config, work, good / LAST),
            ]
        if marker.exists():
            faults.append("the command was run")
        results.append(
            dict(
                name=name,
                injected=injected,
                survived=survived,
                whole=whole,
                faults=[fault for fault in faults if fault],
            )
        )
    if runs:
        results.append(resumes_without_running(zygote, config, folder, good, marker))
    return results


def main() -> int:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--places", type=int, default=100)
    parser.add_argument("--seed", type=int, default=0)
    parser.add_argument("--folder", type=Path)
    args = parser.parse_args()
    folder = args.folder or Path(tempfile.mkdtemp(prefix="fault_checkpoints_"))
    zygote = Zygote()
    results = damage_everything(folder, args.places, args.seed, zygote)
    zygote.close()
    print(describe_machine())
    command = f"python tests/faults/fault_checkpoints.py --places {args.places}"
    for result in results:
        lost = result.get("lost", "nothing: named, and the one before it resumed from")
        if result.get("whole"):
            lost += f"; in {result['whole']} the byte holds no content, and all values are whole"
        lost = "; ".join(result["faults"]) or lost
        print(row(result["name"], result["injected"], result["survived"], lost, command))
    good = all(r["injected"] == r["survived"] and not r["faults"] for r in results)
    return 0 if good else 1


if __name__ == "__main__":
    sys.exit(main())
