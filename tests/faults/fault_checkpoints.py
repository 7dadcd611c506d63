"""Damage checkpoints in every way, and check what is read, refused and resumed from.

python tests/faults/fault_checkpoints.py [--places 100] [--seed 0] [--folder DIR]

Truncated, changed, emptied and foreign files are read as ``--resume`` does, in all their variants;
of each kind one is resumed from by ``tools/train.py``, which has to report it, to continue from the
checkpoint before it, and to end as if nothing had happened.
"""

from __future__ import annotations

import io
import os
import pickle
import random
import shutil
import sys
from collections.abc import Callable, Iterator
from pathlib import Path

import torch
from fault_runs import Zygote, parse_args, row, same_weights, write_run

from mms_ocr.engine.resuming import newest_whole_checkpoint
from mms_ocr.models.weights import read_checkpoint

NEWEST, BEFORE, LAST = "iter_20.pth", "iter_16.pth", "iter_24.pth"
LOST = "nothing: named, and the one before it resumed from"
Damage = Callable[[Path, int, random.Random, Path], Iterator[bytes]]


class Attack:
    """Runs a command when it is unpickled."""

    def __init__(self, marker: Path) -> None:
        self.marker = marker

    def __reduce__(self) -> tuple:
        return os.system, (f"touch {self.marker}",)


def saved(content: object, **options: object) -> bytes:
    """Return the bytes that torch writes for an object."""
    file = io.BytesIO()
    torch.save(content, file, **options)
    return file.getvalue()


def truncated(path: Path, places: int, rng: random.Random, marker: Path) -> Iterator[bytes]:
    """Cut the file at random places, and one byte before its end."""
    good = path.read_bytes()
    for _ in range(places - 1):
        yield good[: rng.randrange(1, len(good))]
    yield good[:-1]


def flipped(path: Path, places: int, rng: random.Random, marker: Path) -> Iterator[bytes]:
    """Change one byte: a random one, and each of the last 150, the directory of the zip."""
    good = path.read_bytes()
    random_places = [rng.randrange(len(good)) for _ in range(places)]
    # The last one is in the pickle or a tensor, which a run is started on.
    for place in [*range(len(good) - 150, len(good)), *random_places, len(good) // 2]:
        changed = bytearray(good)
        changed[place] ^= rng.randrange(1, 256)
        yield bytes(changed)


def garbage(path: Path, places: int, rng: random.Random, marker: Path) -> Iterator[bytes]:
    """Yield files that are not checkpoints."""
    good = path.read_bytes()
    yield b""
    yield b"\0" * len(good)
    yield rng.randbytes(len(good))
    yield b"PK" + rng.randbytes(10_000)
    yield b"this is a text"
    yield good[: len(good) // 2] + b"\0" * (len(good) - len(good) // 2)
    yield good + b"\0"


def incomplete(path: Path, places: int, rng: random.Random, marker: Path) -> Iterator[bytes]:
    """Whole files that lack something; the last one has nothing but weights."""
    checkpoint = read_checkpoint(path)
    for part in ("meta", "state_dict", "optimizer", "message_hub"):
        yield saved({key: value for key, value in checkpoint.items() if key != part})
    yield saved({**checkpoint, "meta": {}})
    yield saved(checkpoint["state_dict"])


def attacks(path: Path, places: int, rng: random.Random, marker: Path) -> Iterator[bytes]:
    """Yield files of the current and older formats that run a command when they are unpickled."""
    checkpoint = read_checkpoint(path)
    armed = {**checkpoint, "attack": Attack(marker)}
    hidden = {**checkpoint, "meta": {**checkpoint["meta"], "seed": Attack(marker)}}
    for content in (armed, hidden):
        yield saved(content)
        yield saved(content, _use_new_zipfile_serialization=False)
    yield pickle.dumps(Attack(marker))


KINDS: dict[str, Damage] = {
    "truncated checkpoint": truncated,
    "checkpoint with a changed byte": flipped,
    "empty file, zeros, noise, text, half a file, more than a file": garbage,
    "checkpoint that lacks a part": incomplete,
    "checkpoint that runs a command when unpickled": attacks,
}


def handling(work: Path, good: Path) -> str:
    """Read the newest checkpoint: ``'named'`` in one line, ``'whole'``, or ``'wrong'``.

    A changed byte that has no content, such as one of the padding, leaves a whole checkpoint, whose
    values have to be what was written.
    """
    path, faults = newest_whole_checkpoint(work)
    if path == str(work / NEWEST):
        is_same = saved(read_checkpoint(path)) == saved(read_checkpoint(good))
        return "whole" if is_same and not faults else "wrong"
    is_named = len(faults) == 1 and str(work / NEWEST) in faults[0] and "\n" not in faults[0]
    return "named" if is_named and path == str(work / BEFORE) else "wrong"


def resume_faults(zygote: Zygote, config: Path, work: Path, good: Path) -> list[str]:
    """List the faults of a run that should skip the newest checkpoint, or refuse it when named."""
    faults = []
    options = [["--resume", work / NEWEST], ["--cfg-options", f"load_from={work / NEWEST}"]]
    if (work / NEWEST).read_bytes() == saved(read_checkpoint(good / NEWEST)["state_dict"]):
        del options[1]  # whole weights may well be loaded
    for option in options:
        ended = zygote.run(config, "--work-dir", work / "named", *option, output=work / "out.txt")
        if ended.status != 2 or ended.traceback or str(work / NEWEST) not in ended.line:
            faults.append(f"{option[0]}: status {ended.status}, {ended.output[-1000:]}")
    ended = zygote.run(config, "--work-dir", work, "--resume", output=work / "out.txt")
    if ended.status != 0:
        faults.append(f"status {ended.status}: {ended.output[-1000:]}")
    elif str(work / NEWEST) not in ended.output or f"{BEFORE}, the newest" not in ended.output:
        faults.append("the damaged file or the one before it was not named")
    elif not same_weights(work / LAST, good / LAST):
        faults.append("it ended with other weights")
    return faults


def resume_without_running(
    zygote: Zygote, config: Path, folder: Path, good: Path, marker: Path
) -> dict:
    """Resume from a whole checkpoint with a program for a config, which MMEngine would run."""
    work = folder / "program"
    work.mkdir()
    checkpoint = read_checkpoint(good / NEWEST)
    program = f"import os\nos.system('touch {marker}')\n"
    torch.save({**checkpoint, "meta": {**checkpoint["meta"], "config": program}}, work / NEWEST)
    ended = zygote.run(config, "--work-dir", work, "--resume", output=work / "out.txt")
    faults = [] if ended.status == 0 else [f"status {ended.status}: {ended.output[-1000:]}"]
    if marker.exists():
        faults.append("the program was run")
    elif not faults and not same_weights(work / LAST, good / LAST):
        faults.append("it ended with other weights")
    name = "checkpoint whose config is a program"
    lost = "nothing: resumed from, and the program not run"
    return dict(name=name, injected=1, survived=int(not faults), faults=faults, lost=lost)


def damage_everything(folder: Path, places: int, seed: int, zygote: Zygote) -> list[dict]:
    """Damage checkpoints at ``places`` places; what came of each kind."""
    rng = random.Random(seed)
    config, good, marker = write_run(folder), folder / "good", folder / "attacked"
    ended = zygote.run(
        config, "--work-dir", good, "--cfg-options", "default_hooks.checkpoint.max_keep_ckpts=6",
        output=folder / "out.txt",
    )  # fmt: skip
    if ended.status != 0:
        raise RuntimeError(ended.output[-2000:])
    results = []
    for number, (name, damage) in enumerate(KINDS.items()):
        work = folder / f"damaged_{number}"
        work.mkdir()
        shutil.copyfile(good / BEFORE, work / BEFORE)
        handled = []
        for content in damage(good / NEWEST, places, rng, marker):
            (work / NEWEST).write_bytes(content)
            handled.append(handling(work, good / NEWEST))
        # The last variant is still there; of changed bytes, one that is damaged.
        faults = resume_faults(zygote, config, work, good)
        if marker.exists():
            faults.append("the command was run")
        whole, survived = handled.count("whole"), len(handled) - handled.count("wrong")
        lost = f"{LOST}; in {whole} the byte has no content" if whole else LOST
        injected = len(handled)
        results.append(
            dict(name=name, injected=injected, survived=survived, faults=faults, lost=lost)
        )
    return [*results, resume_without_running(zygote, config, folder, good, marker)]


def main() -> int:
    args = parse_args(__doc__, places=100, seed=0)
    zygote = Zygote()
    results = damage_everything(args.folder, args.places, args.seed, zygote)
    zygote.close()
    command = f"python tests/faults/fault_checkpoints.py --places {args.places}"
    for result in results:
        lost = "; ".join(result["faults"]) or result["lost"]
        print(row(result["name"], result["injected"], result["survived"], lost, command))
    return int(any(r["injected"] != r["survived"] or r["faults"] for r in results))


if __name__ == "__main__":
    sys.exit(main())
