"""The stages of an adaptation: each runs once, and a killed one resumes."""

from __future__ import annotations

import json
import re
import shutil
import statistics
import sys
from dataclasses import asdict, dataclass
from math import ceil
from pathlib import Path
from typing import Any

from mms_ocr.apis.adaptation.configs import (
    BATCH,
    BUNDLED,
    FINETUNE,
    PLAIN,
    PRETRAIN,
    VALIDATIONS,
    Start,
    Training,
    write_config,
)
from mms_ocr.apis.adaptation.plan import (
    LEAST_ITERATIONS,
    MAX_PASSES,
    MAX_WORDS,
    Lengths,
    Pace,
    in_hours,
    is_long_enough,
    least_seconds,
    plan_finetuning,
    plan_lengths,
)
from mms_ocr.apis.adaptation.running import Bar, run, shell_line, tool
from mms_ocr.apis.adaptation.state import State
from mms_ocr.utils.devices import usable_cores

_TIMED_STEPS = 24
_WARM_UP_STEPS = 4
_SAVE_SECONDS = 60  # between checkpoints
_TAIL_STARTS = 4  # start-up times of a program that writing the reader and the report takes
_MAX_WORKERS = 4
_OVERRUN = 1.25  # of its planned time, after which a training is stopped
_TOLERANCE = 0.07  # of the whole time, which the last training may take beyond it
_VALIDATION = re.compile(rb"Iter\(val\) *\[ *\d+/(\d+)\]")
TITLES = {
    PRETRAIN: "pretraining",
    FINETUNE: "fine-tuning after pretraining",
    PLAIN: "fine-tuning without pretraining",
}


@dataclass
class Stages:
    """Programs of an adaptation and their results, in its state."""

    state: State
    bar: Bar
    start: Start
    hours: float
    compare: bool | None  # None compares if the time is long enough
    gpus: int
    lock: int | None

    @property
    def folder(self) -> Path:
        """Folder of the adaptation, the current one of its programs."""
        return self.state.folder

    def test(self, name: str, checkpoint: str) -> dict[str, Any]:
        """Read the test words with the recognizer of a config."""
        stage = f"test_{name}"
        if result := self.state.get(stage):
            return result
        words = f"runs/{stage}/words.jsonl"
        command = [sys.executable, tool("test.py"), f"{name}.py", checkpoint]
        command += ["--work-dir", f"runs/{stage}", "--data", "test=data/test.lmdb"]
        command += ["--save-words", words]
        seconds = self._run(stage, "reading the test words", command)
        line = shell_line(command)
        return self.state.finish(stage, dict(words=words, seconds=seconds, command=line))

    def plan(self, images: int) -> Lengths:
        """Time some steps of each kind of training, and choose the lengths of all.

        ``images`` are those that are pretrained on.

        Raises:
            ValueError: The time is too short.
        """
        if stored := self.state.get("lengths"):
            return Lengths(*stored["lengths"])
        paces = {kind: self._pace(kind) for kind in (PRETRAIN, FINETUNE)}
        devices = max(1, self.gpus)
        limits = {
            PRETRAIN: ceil(MAX_PASSES * images / (BATCH[PRETRAIN] * devices)),
            FINETUNE: ceil(MAX_WORDS / (BATCH[FINETUNE] * devices)),
        }
        for compare in (True, False) if self.compare is None else (self.compare,):
            left = self._seconds_left(compare)
            lengths = plan_lengths(left, paces, limits, compare)
            if is_long_enough(lengths):
                break
        else:
            needed = self.hours * 3600 - left + least_seconds(paces, compare)
            advice = " or --no-compare" if compare else ""
            # The next call times the steps again: the machine may have been busy.
            self.state.forget(f"pace_{PRETRAIN}", f"pace_{FINETUNE}")
            raise ValueError(
                f"--hours {self.hours:g} is too short to train on this machine; give at least "
                f"{in_hours(needed):g}{advice}"
            )
        facts = dict(hours=self.hours, lengths=list(asdict(lengths).values()), limits=limits)
        self.state.finish("lengths", facts)
        return lengths

    def replan(self, lengths: Lengths) -> Lengths:
        """Fit the lengths of fine-tuning to the time that pretraining left.

        A comparison for which the time seemed too short is made if the machine became faster.
        """
        if self.state.get("finetuning") is None:
            result = self.state.get(PRETRAIN)
            expected = self._pace(PRETRAIN).seconds(result["iterations"])  # fewer if stopped
            slower = result["seconds"] / expected  # than in the timed steps
            pace = self._pace(FINETUNE)
            pace = Pace(pace.start * slower, pace.step * slower)
            limit = self.state.get("lengths")["limits"][FINETUNE]
            both = plan_finetuning(self._seconds_left(True), pace, limit, True)[0]
            may_compare = self.compare is None and both >= LEAST_ITERATIONS
            compare = bool(lengths.finetune_plain) or may_compare
            length = plan_finetuning(self._seconds_left(compare), pace, limit, compare)[0]
            # A training that is too long is stopped; a shorter one is of no use.
            length = max(length, LEAST_ITERATIONS // 2)
            self.state.finish("finetuning", [length, length if compare else 0])
        return Lengths(lengths.pretrain, *self.state.get("finetuning"))

    def train(self, name: str, iterations: int, is_last: bool = False) -> dict[str, Any]:
        """Train by the config of this name; the last training ends when the time does."""
        if result := self.state.get(name):
            return result
        kind = PRETRAIN if name == PRETRAIN else FINETUNE
        pace = self._pace(kind)
        # Fine-tunings that are compared have the same length, also if the first was stopped.
        other = self.state.get(PLAIN) if name == FINETUNE else None
        stop = other["iterations"] if other else iterations
        training = Training(iterations, stop, ceil(_SAVE_SECONDS / pace.step), self._workers())
        pretrained = None if name != FINETUNE else self.state.get(PRETRAIN)["checkpoint"]
        write_config(self.folder, name, self.start, training, pretrained)
        if name == PRETRAIN:
            limit = _OVERRUN * pace.seconds(iterations)
        elif is_last:
            compare = self.state.get(PLAIN) is not None
            limit = self._seconds_left(compare) + _TOLERANCE * self.hours * 3600
        else:
            limit = _OVERRUN * self._seconds_left(compare=True) / 2
        # Never before it has started and trained a little, even if the time is over.
        limit = max(limit, pace.seconds(LEAST_ITERATIONS // 2))
        command = self._training(name, f"runs/{name}")
        seconds = self._run(name, TITLES[name], [*command, "--resume"], limit)
        folder = self.folder / "runs" / name
        checkpoint = Path((folder / "last_checkpoint").read_text().strip()).name
        return self.state.finish(
            name,
            dict(
                iterations=int(checkpoint.removesuffix(".pth").rpartition("_")[2]),
                planned=iterations,
                batch=BATCH[kind] * max(1, self.gpus),
                seconds=seconds,
                checkpoint=f"runs/{name}/{checkpoint}",
                command=shell_line(command),  # which trains anew where the config was changed
            ),
        )

    def _training(self, name: str, work_dir: str) -> list[str]:
        program = [tool("train.py"), f"{name}.py", "--work-dir", work_dir]
        if self.gpus < 2:
            return [sys.executable, *program]
        launcher = ["-m", "torch.distributed.run", "--standalone", f"--nproc_per_node={self.gpus}"]
        return [sys.executable, *launcher, *program, "--launcher", "pytorch"]

    def _pace(self, kind: str) -> Pace:
        """Measure how fast a kind of training is, by some steps of it."""
        stage = f"pace_{kind}"
        if (stored := self.state.get(stage)) is None:
            name = PRETRAIN if kind == PRETRAIN else PLAIN
            training = Training(_TIMED_STEPS, _TIMED_STEPS, _TIMED_STEPS, self._workers())
            write_config(self.folder, name, self.start, training, None)
            work_dir = self.folder / "runs" / stage
            shutil.rmtree(work_dir, ignore_errors=True)
            command = [*self._training(name, f"runs/{stage}"), "--cfg-options"]
            command += ["default_hooks.logger.interval=1", "log_processor.window_size=1"]
            command += [f"train_cfg.val_interval={_TIMED_STEPS}"]
            began = self.state.seconds
            self._run(stage, "timing the steps", command)
            pace = _read_pace(
                work_dir, self.folder / f"runs/{stage}.txt", self.state.seconds - began
            )
            shutil.rmtree(work_dir)
            (self.folder / f"{name}.py").unlink()  # a training that is run gets another
            stored = self.state.finish(stage, asdict(pace))
        return Pace(**stored)

    def _run(self, stage: str, title: str, command: list[str], limit: float | None = None) -> float:
        """Run a program; return the seconds of the stage, with those of runs that were killed."""
        began = self.state.begin(stage)
        log = self.folder / "runs" / f"{stage}.txt"
        run(command, self.state, log, lambda detail: self.bar.show(title, detail), limit, self.lock)
        return self.state.seconds - began

    def _seconds_left(self, compare: bool) -> float:
        """Return the seconds for training that are left before the last tests and the report."""
        tests = (1 + compare) * self.state.get(f"test_{BUNDLED}")["seconds"]
        tail = tests + _TAIL_STARTS * self._pace(PRETRAIN).start
        return self.hours * 3600 - self.state.seconds - tail

    def _workers(self) -> int:
        """Return the loader workers of a process; on one core it reads the words itself."""
        return max(0, min(_MAX_WORKERS, usable_cores() // max(1, self.gpus) - 1))


def check_hours(state: State, hours: float) -> None:
    """Check that the time is the one that the lengths of the trainings were chosen for.

    Raises:
        ValueError: It is another.
    """
    stored = (state.get("lengths") or {}).get("hours", hours)
    if stored != hours:
        raise ValueError(
            f"{state.folder} is trained for {stored:g} hours, and --hours is {hours:g} now; give "
            "the same, or another --out"
        )


def _read_pace(work_dir: Path, log: Path, seconds: float) -> Pace:
    """Read the pace from the log of a short training that took some seconds."""
    rows = [
        json.loads(line)
        for file in work_dir.glob("*/vis_data/scalars.json")
        for line in file.read_text().splitlines()
    ]
    steps = [row["time"] for row in rows if "loss" in row]
    batches = [int(count) for count in _VALIDATION.findall(log.read_bytes())]
    validation = rows[-1]["time"] * batches[-1] if "loss" not in rows[-1] and batches else 0.0
    start = seconds - sum(steps) + (VALIDATIONS - 1) * validation
    return Pace(max(0.1, start), statistics.median(steps[_WARM_UP_STEPS:]))
