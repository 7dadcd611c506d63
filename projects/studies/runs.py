"""Trainings of a study: write their configs, run what is not finished, and read the results."""

from __future__ import annotations

import json
import os
import subprocess
import sys
import time
from collections.abc import Sequence
from pathlib import Path

from mmengine.config import Config

import mms_ocr.registry  # noqa: F401
from mms_ocr.engine.hooks.stop_hook import EXIT_AGAIN

ROOT = Path(__file__).resolve().parents[2]
#: Word accuracies in tables, by their names in logs.
PROTOCOLS = {
    "word_acc_ignore_case_symbol": "letters and digits, any case",
    "word_acc": "all characters, cased",
}


class StoppedError(Exception):
    """A signal ended a training; the same command resumes it."""


def call(
    *command: object, log: Path, pass_fds: Sequence[int] = (), python_path: Path | None = None
) -> str:
    """Run a program of this repository on one thread, and append its output to a log.

    Args:
        command: Path of the program and its arguments.
        log: File of the output.
        pass_fds: Descriptors that the program inherits.
        python_path: A folder to import from.

    Returns:
        The output.

    Raises:
        StoppedError: A signal ended it.
        ValueError: It failed.
    """
    environment = {"OMP_NUM_THREADS": "1", **os.environ}
    if python_path:
        paths = (str(python_path), os.environ.get("PYTHONPATH", ""))
        environment["PYTHONPATH"] = os.pathsep.join(filter(None, paths))
    start = log.stat().st_size if log.exists() else 0
    with open(log, "a") as output:
        process = subprocess.Popen(
            [sys.executable, *map(str, command)],
            cwd=ROOT,
            env=environment,
            stdin=subprocess.DEVNULL,
            stdout=output,
            stderr=subprocess.STDOUT,
            pass_fds=pass_fds,
        )
        try:
            status = process.wait()
        except BaseException:
            # A training writes a checkpoint when it is terminated.
            process.terminate()
            process.wait()
            raise
    text = log.read_bytes()[start:].decode(errors="replace")
    if status == EXIT_AGAIN:
        raise StoppedError(f"{command[0]} was stopped; the same command resumes it")
    if status:
        raise ValueError(f"{command[0]} failed, see {log}: {''.join(text.splitlines()[-1:])}")
    return text


def write_config(config: Config | str, folder: Path) -> Path:
    """Write ``study.py`` into a folder, or check that it is the same as before.

    Raises:
        ValueError: The folder has the config of another study.
    """
    text = config if isinstance(config, str) else config.pretty_text
    path = folder / "study.py"
    folder.mkdir(parents=True, exist_ok=True)
    if path.exists() and path.read_text() != text:
        raise ValueError(f"{path} is of another study; give another --work-dir, or remove it")
    path.write_text(text)
    return path


def train(
    config: Config | str,
    folder: Path,
    iterations: int,
    validations: int = 1,
    options: Sequence[str] = (),
) -> tuple[Path, float]:
    """Train, unless that is done.

    Args:
        config: What is trained; a Config or the text of one.
        folder: Work folder of the run.
        iterations: Length.
        validations: How many of them, at equal distances.
        options: Further ``KEY=VALUE`` of ``--cfg-options``.

    Returns:
        The last checkpoint, and the seconds that the training took.
    """
    folder = folder.resolve()
    path = write_config(config, folder)
    checkpoint, clock = folder / f"iter_{iterations}.pth", folder / "seconds.txt"
    if not (checkpoint.exists() and clock.exists()):
        start = time.perf_counter()
        call(
            *("tools/train.py", path, "--work-dir", folder, "--iterations", iterations),
            *("--cfg-options", f"train_cfg.val_interval={max(1, iterations // validations)}"),
            *(f"default_hooks.checkpoint.interval={iterations}", *options),
            log=folder / "train.txt",
        )
        clock.write_text(str(time.perf_counter() - start))
    return checkpoint, float(clock.read_text())


def validations(folder: Path, key: str) -> list[dict[str, float]]:
    """Read the validations of the newest run of a folder that measured ``key``, in their order."""
    newest = max(folder.glob("*/vis_data/scalars.json"))
    lines = [json.loads(line) for line in newest.read_text().splitlines()]
    return [line for line in lines if key in line]


def split_name(entry: str) -> tuple[str, str]:
    """Split ``NAME=PATH`` into name and absolute path; both are ``none`` for ``none``."""
    name, _, path = entry.partition("=")
    return name, str(Path(path).resolve()) if path else name


def pretrained(entry: str) -> dict[str, str] | None:
    """Return the ``init_cfg`` of an encoder ``NAME=CHECKPOINT``, or None for ``none``."""
    name, path = split_name(entry)
    return None if name == "none" else dict(type="mms_ocr.PretrainedTextViT", checkpoint=path)


def test_words(checkpoint: Path, sets: Sequence[str]) -> dict[str, dict[str, float]]:
    """Measure a recognizer on test sets ``NAME=PATH`` by ``tools/test.py``.

    Returns:
        Shares of words, by set and by name of the protocol.
    """
    folder = checkpoint.parent
    call(
        *("tools/test.py", folder / "study.py", checkpoint, "--work-dir", folder / "test"),
        *("--data", *("=".join(split_name(entry)) for entry in sets)),
        log=folder / "test.txt",
    )
    report = json.loads((folder / "test" / "benchmark.json").read_text())
    return {scores["name"]: scores["accuracy"] for scores in report["sets"]}
