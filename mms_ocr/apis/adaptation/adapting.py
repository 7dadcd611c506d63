"""Adaptation of a reader to crops of your own, with ``mms-ocr adapt``."""

from __future__ import annotations

import contextlib
import hashlib
import json
import math
import os
from collections.abc import Mapping, Sequence
from dataclasses import asdict
from pathlib import Path
from typing import Any

import torch

from mms_ocr.apis.adaptation.configs import (
    BUNDLED,
    FINETUNE,
    PLAIN,
    PRETRAIN,
    READER,
    write_bundled,
)
from mms_ocr.apis.adaptation.context import Reader, Reconstructions, ReportContext, Training
from mms_ocr.apis.adaptation.data import prepare_data
from mms_ocr.apis.adaptation.facts import DataFacts, describe
from mms_ocr.apis.adaptation.figures import summarize
from mms_ocr.apis.adaptation.report import write_report
from mms_ocr.apis.adaptation.running import Bar
from mms_ocr.apis.adaptation.stages import TITLES, Stages, check_hours
from mms_ocr.apis.adaptation.starting import (
    READER_FILES,
    count_parameters,
    find_start,
    known_characters,
    write_reader,
)
from mms_ocr.apis.adaptation.state import State, claim
from mms_ocr.utils.bundled import SCHEME
from mms_ocr.utils.devices import describe_machine, usable_device
from mms_ocr.utils.escaping import is_unicode

Paths = str | os.PathLike[str] | Sequence[str | os.PathLike[str]]
_FIGURES = "report.json"


def adapt(
    unlabelled: Paths,
    labelled: Paths,
    out: str | os.PathLike[str],
    test: Paths = (),
    *,
    start: str | os.PathLike[str] = "mms_vit_n",
    hours: float = 2.0,
    compare: bool | None = None,
    gpus: int = 0,
    progress: bool = False,
) -> dict[str, Any]:
    """Pretrain on your crops, fine-tune a reader on your labels, and measure what that gave.

    A folder gets the better reader, as a checkpoint and in ONNX, a report, and the configs and
    logs of all that was run; see docs/adapt.md. A call that was killed resumes where it was, and
    that of a finished folder returns its figures.

    Args:
        unlabelled: Crops: folders, LMDBs or JSON-lines files.
        labelled: The same with labels, LMDBs or JSON-lines files.
        out: Folder to write.
        test: Labelled words to measure with; by default a fifth of ``labelled``. They and their
            near copies are left out of the training.
        start: Bundled encoder, or the checkpoint of a pretraining run with a bundled config.
        hours: Time for everything, which is kept to a tenth.
        compare: Fine-tune without the pretraining as well; None does so if there is time.
        gpus: Processes of the trainings, each on a GPU of its own; 0 uses one GPU, or the CPU.
        progress: Show a progress bar on standard error.

    Returns:
        The figures of the report, as ``report.json`` holds them.

    Raises:
        FileNotFoundError: Data or weights are missing.
        ValueError: The data cannot be used, the time is too short, or the folder holds another
            adaptation, or one of lists of images that have changed.
        OSError: The disk has no room.
        StoppedError: A signal stopped it; the same call resumes.
    """
    given = {"unlabelled": _paths(unlabelled), "labelled": _paths(labelled), "test": _paths(test)}
    folder = Path(out)
    _check_options(folder, hours, gpus)
    origin = find_start(os.fspath(start))
    begun_from = origin.encoder.removeprefix(SCHEME)  # the same in any current folder
    options = dict(**given, start=begun_from, compare=compare, gpus=gpus)
    with claim(folder) as lock:
        state = State(folder.absolute(), options)
        check_hours(state, hours)
        digests = _check_unchanged(state, [path for paths in given.values() for path in paths])
        with contextlib.closing(Bar(state, hours * 3600, progress)) as bar:
            if state.get("done"):
                bar.write(f"{folder} is finished, and nothing is run; for more, give a new --out")
                return json.loads((folder / _FIGURES).read_text(encoding="utf-8"))
            stages = Stages(state, bar, origin, hours, compare, gpus, lock)
            try:
                return _run_stages(stages, given, digests)
            finally:
                state.write()


def _run_stages(
    stages: Stages, given: Mapping[str, list[str]], digests: Mapping[str, str]
) -> dict[str, Any]:
    """Run what is not finished, and return the figures of the report."""
    state, start = stages.state, stages.start
    folder = state.folder
    known = known_characters(start)
    facts = prepare_data(
        given["unlabelled"], given["labelled"], given["test"], folder, known, stages.bar.wrap
    )
    if state.get("data") is None:
        state.finish("data", digests)
        for line in describe(facts):
            stages.bar.write(line)
    write_bundled(folder)
    stages.test(BUNDLED, READER)
    lengths = stages.plan(facts.unlabelled.used + facts.labelled.used)
    stages.train(PRETRAIN, lengths.pretrain)
    lengths = stages.replan(lengths)
    names = [PLAIN, FINETUNE] if lengths.finetune_plain else [FINETUNE]
    for name in names:
        stages.train(name, lengths.finetune, is_last=name == names[-1])
    for name in names:
        stages.test(name, state.get(name)["checkpoint"])
    stages.bar.show("writing the reader and the report")
    figures = summarize(folder, _context(stages, facts, names))
    written = figures["written"]
    checkpoint = READER if written == BUNDLED else state.get(written)["checkpoint"]
    figures["notes"] += write_reader(folder, start, written, checkpoint)
    files = [folder / name for name in READER_FILES if (folder / name).is_file()]
    figures["file_sizes"] = {path.name: path.stat().st_size for path in files}
    figures["parameters"] = count_parameters(folder)
    figures["seconds"]["all"] = state.seconds
    write_report(folder, figures)
    state.finish("done", True)
    return figures


def _context(stages: Stages, facts: DataFacts, names: Sequence[str]) -> ReportContext:
    """Collect what the report is about; ``names`` are the fine-tunings."""
    state, start = stages.state, stages.start
    trainings = {
        name: Training(
            TITLES[name],
            f"runs/{name}",
            state.get(name)["iterations"],
            state.get(name)["batch"],
            state.get(name)["seconds"],
        )
        for name in (PRETRAIN, *names)
    }
    readers = [
        Reader(BUNDLED, f"bundled reader {READER.removeprefix(SCHEME)}", _words(state, BUNDLED))
    ]
    for name in names:
        used = (PRETRAIN, FINETUNE) if name == FINETUNE else (PLAIN,)
        title = "pretrained on your crops and fine-tuned" if name == FINETUNE else "fine-tuned"
        readers.append(Reader(name, title, _words(state, name), used, facts.labelled.used))
    ran = [f"test_{BUNDLED}", PRETRAIN, *names, *(f"test_{name}" for name in names)]
    return ReportContext(
        readers=readers,
        trainings=trainings,
        facts=asdict(facts),
        options={**state.options, "hours": stages.hours},
        commands=[(_title(name), state.get(name)["command"]) for name in ran],
        seconds={_title(name): state.get(name)["seconds"] for name in ran},
        speeds={TITLES[name]: t.views / t.seconds for name, t in trainings.items()},
        machine=describe_machine(usable_device()),
        reconstructions=Reconstructions(
            f"{PRETRAIN}.py", start.encoder, state.get(PRETRAIN)["checkpoint"]
        ),
        notes=_notes(stages, names),
    )


def _words(state: State, name: str) -> str:
    return str(state.get(f"test_{name}")["words"])


def _title(stage: str) -> str:
    return TITLES.get(stage, f"reading the test words ({stage.removeprefix('test_')})")


def _notes(stages: Stages, names: Sequence[str]) -> list[str]:
    """Say what is not as it was asked for."""
    notes = []
    for name in (PRETRAIN, *names):
        result = stages.state.get(name)
        if result["iterations"] < result["planned"]:
            notes.append(
                f"The {TITLES[name]} was stopped after {result['iterations']:,} of "
                f"{result['planned']:,} iterations, since the machine was slower than in the "
                "timed steps."
            )
    if PLAIN not in names and stages.compare is None:
        notes.append(
            "The time was too short to fine-tune without pretraining as well; give more --hours "
            "for a comparison."
        )
    return notes


def _check_unchanged(state: State, paths: Sequence[str]) -> dict[str, str]:
    """Return digests of lists of images; ValueError if one is not as it was when it was read."""
    digests = {path: _digest(path) for path in paths if os.path.isfile(path)}
    stored = state.get("data")
    for path, digest in digests.items() if isinstance(stored, dict) else ():
        if stored.get(path, digest) != digest:
            raise ValueError(
                f"{path} has changed since {state.folder} was begun with it; give another --out"
            )
    return digests


def _digest(path: str) -> str:
    digest = hashlib.sha256()
    with open(path, "rb") as file:
        while block := file.read(1 << 20):
            digest.update(block)
    return digest.hexdigest()


def _check_options(folder: Path, hours: float, gpus: int) -> None:
    path = folder.absolute().as_posix()
    if not is_unicode(path) or set(path) & set('"\\\n\r'):
        raise ValueError(
            f"the path {path!r} of --out has a character that configs cannot hold; give another"
        )
    if not 0 < hours < math.inf:
        raise ValueError(f"hours is {hours}; give a positive number, such as 2")
    available = torch.cuda.device_count()
    if gpus < 0 or gpus > max(1, available):
        raise ValueError(f"gpus is {gpus}, and torch finds {available}; give at most that many")


def _paths(given: Paths) -> list[str]:
    paths = [given] if isinstance(given, str | os.PathLike) else given
    return [os.path.abspath(path) for path in paths]
