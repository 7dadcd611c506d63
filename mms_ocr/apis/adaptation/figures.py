"""Figures of an adaptation: how well each reader reads the test words, and what that took."""

from __future__ import annotations

import datetime
import json
import math
from collections.abc import Mapping, Sequence
from importlib.metadata import PackageNotFoundError, version
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray
from rapidfuzz.distance import Levenshtein

from mms_ocr import __version__
from mms_ocr.apis.adaptation.context import Reader, Reconstructions, ReportContext
from mms_ocr.apis.adaptation.pictures import masked_errors, reconstruct_crops
from mms_ocr.evaluation.benchmark_scores import PROTOCOLS, ReadWord
from mms_ocr.evaluation.intervals import accuracy_interval, difference_interval
from mms_ocr.evaluation.word_benchmark import compared_text, headline_protocol, judge_words
from mms_ocr.visualization.curves import read_scalars, training_curves, validation_curves

#: Words that the report shows with their crops, and how many of them may have one label.
WORST_WORDS, SAME_LABEL = 20, 3
#: Test crops, relative to the output folder, and how many of them the masked error is taken of.
TEST_CROPS, MEASURED_CROPS = "data/test.lmdb", 128
_TEST_NAMES = "data/test_names.txt"
_PACKAGES = ("mmengine", "onedl-mmengine", "mmpretrain", "onedl-mmpretrain", "mmocr")
_EXACT = "word_acc"


def summarize(folder: Path, context: ReportContext) -> dict[str, Any]:
    """Compute the figures of a report from the words that each reader has read; JSON data.

    Accuracies are shares with 95% intervals, by protocol. ``written`` is the reader with the
    largest share of correct words by the protocol ``headline``; of equal ones the one with more
    by all characters, then the later reader.

    Raises:
        FileNotFoundError: A file of words or a work folder is missing.
        ValueError: A file of words is damaged, or readers were tested on different words.
    """
    words = {
        reader.name: read_words(folder / reader.words) for reader in context.readers if reader.words
    }
    if not words:
        raise ValueError(f"no reader in {folder} was tested: a report needs one")
    _check_same(words)
    labels = [word.label for word in next(iter(words.values()))]
    headline, reason = headline_protocol(labels)
    judged = {name: _judge(read) for name, read in words.items()}
    readers = [_reader(reader, judged.get(reader.name), context) for reader in context.readers]
    shares = {
        name: (right[headline].mean(), right[_EXACT].mean()) for name, right in judged.items()
    }
    written = max(reversed(list(shares)), key=shares.__getitem__)
    return {
        "folder": str(folder.resolve()),
        "written": written,
        "headline": {"protocol": headline, "title": PROTOCOLS[headline], "reason": reason},
        "words": len(labels),
        "without_letters": sum(not compared_text(label) for label in labels),
        "readers": readers,
        "differences": _differences(judged),
        "data": _plain(context.facts),
        "trainings": {
            name: {**vars(training), "views": training.views}
            for name, training in context.trainings.items()
        },
        "curves": {
            name: _curves(folder / training.run) for name, training in context.trainings.items()
        },
        "wrong_words": int((~judged[written][headline]).sum()),
        "worst_words": _name(
            folder, _worst_words(words, written, judged[written][headline], headline)
        ),
        "reconstructions": _reconstructions(folder, context.reconstructions),
        "parameters": context.parameters,
        "file_sizes": _plain(context.file_sizes),
        "speeds": _plain(context.speeds),
        "seconds": _plain(context.seconds),
        "machine": context.machine,
        "versions": _versions(),
        "date": f"{datetime.datetime.now(datetime.timezone.utc):%Y-%m-%d %H:%M} UTC",
        "options": _plain(context.options),
        "commands": [list(command) for command in context.commands],
        "notes": list(context.notes),
    }


def read_words(path: Path) -> list[ReadWord]:
    """Read a file of ``tools/test.py --save-words``.

    The index is the number of the image in its LMDB, from 0, or of the line for another source.

    Raises:
        FileNotFoundError: There is no such file.
        ValueError: It has no words, or a line is damaged.
    """
    words = []
    with open(path, encoding="utf-8", errors="surrogateescape") as file:
        for number, line in enumerate(file):
            try:
                row = json.loads(line)
                label, text, where = (row[name] + "" for name in ("label", "text", "path"))
                confidence = _finite(row.get("confidence"))
            except (ValueError, KeyError, TypeError, AttributeError) as error:
                raise ValueError(f"{path}, line {number + 1}: no word of a test ({error!r})")
            key = where.rpartition(":image-")[2]
            index = int(key) - 1 if key.isdecimal() else number
            words.append(ReadWord(index, label, text, confidence, where))
    if not words:
        raise ValueError(f"{path} has no words; test the reader again")
    return words


def _check_same(words: Mapping[str, Sequence[ReadWord]]) -> None:
    (first, expected), *others = (
        (name, [(word.index, word.label) for word in read]) for name, read in words.items()
    )
    for name, found in others:
        if found != expected:
            raise ValueError(
                f"the readers {first} and {name} were tested on different words ({len(expected):,} "
                f"and {len(found):,}); test both again"
            )


def _judge(words: Sequence[ReadWord]) -> dict[str, NDArray[np.bool_]]:
    return {name: np.array(right) for name, right in judge_words(words).items()}


def _reader(
    reader: Reader, judged: Mapping[str, NDArray[np.bool_]] | None, context: ReportContext
) -> dict[str, Any]:
    trainings = [context.trainings[name] for name in reader.trainings]
    accuracy = {name: accuracy_interval(right)._asdict() for name, right in (judged or {}).items()}
    return {
        "name": reader.name,
        "title": reader.title,
        "accuracy": accuracy or None,
        "trainings": list(reader.trainings),
        "labels": reader.labels,
        "views": [training.views for training in trainings],
        "seconds": sum(training.seconds for training in trainings),
    }


def _differences(judged: Mapping[str, Mapping[str, NDArray[np.bool_]]]) -> list[dict[str, Any]]:
    """Compare every reader with those before it, the last reader first."""
    names = list(judged)[::-1]
    pairs = [(a, b) for i, a in enumerate(names, start=1) for b in names[i:]]
    return [
        {
            "reader": a,
            "than": b,
            **{
                protocol: difference_interval(right, judged[b][protocol])._asdict()
                for protocol, right in judged[a].items()
            },
        }
        for a, b in pairs
    ]


def _curves(run: Path) -> dict[str, Any] | None:
    """Collect the finite points of the loss and of the validations of a run; None without a log."""
    try:
        rows = read_scalars(run)
    except FileNotFoundError:
        return None  # the report says so; its other figures are not lost for that
    title, validations = validation_curves(rows)
    curves = {**training_curves(rows, with_parts=False), **validations}
    return {
        "title": title,
        "points": {
            name: [[step, float(value)] for step, value in points if math.isfinite(value)]
            for name, points in curves.items()
        },
    }


def _reconstructions(folder: Path, runs: Reconstructions | None) -> dict[str, Any] | None:
    """Compute the masked error of test crops before and after pretraining, by strategy."""
    if runs is None:
        return None
    weights = {"before": runs.before, "after": runs.after}
    filled = reconstruct_crops(folder, runs.config, weights, TEST_CROPS, MEASURED_CROPS)
    return {
        "config": runs.config,
        "weights": weights,
        "crops": len(filled["before"]),
        "errors": {
            name: {mask: _finite(error) for mask, error in masked_errors(samples).items()}
            for name, samples in filled.items()
        },
    }


def _worst_words(
    words: Mapping[str, Sequence[ReadWord]],
    written: str,
    right: NDArray[np.bool_],
    protocol: str,
) -> list[dict[str, Any]]:
    """List wrong words of the written reader, the largest edit distance first.

    Distances are normalized to [0, 1] and of what the protocol compares. Of equal ones, the word
    that the reader was more confident about is worse.
    """

    def distance(word: ReadWord) -> float:
        pair = (word.label, word.text)
        if protocol != _EXACT:
            pair = (compared_text(word.label), compared_text(word.text))
        return float(Levenshtein.normalized_distance(*pair))

    wrong = [i for i, is_right in enumerate(right) if not is_right]
    chosen = [(distance(words[written][i]), words[written][i].confidence or 0.0, i) for i in wrong]
    worst: list[dict[str, Any]] = []
    counts: dict[str, int] = {}
    for wrongness, _, i in sorted(chosen, key=lambda each: (-each[0], -each[1], each[2])):
        label = words[written][i].label
        counts[label] = counts.get(label, 0) + 1
        if counts[label] > SAME_LABEL:
            continue
        worst.append(
            {
                "index": words[written][i].index,
                "path": words[written][i].path,
                "label": label,
                "distance": wrongness,
                "confidence": words[written][i].confidence,
                "texts": {name: read[i].text for name, read in words.items()},
            }
        )
        if len(worst) == WORST_WORDS:
            break
    return worst


def _name(folder: Path, words: list[dict[str, Any]]) -> list[dict[str, Any]]:
    """Add the names that test images were given under, of ``data/test_names.txt``."""
    path = folder / _TEST_NAMES
    names = path.read_text("utf-8", "surrogateescape").split("\n") if path.exists() else []
    return [
        {**word, "name": names[word["index"]] if word["index"] < len(names) else word["path"]}
        for word in words
    ]


def _finite(value: float | None) -> float | None:
    """Return a finite number, or None, since JSON has no others."""
    return value if value is not None and math.isfinite(value) else None


def _versions() -> dict[str, str]:
    versions = {"mms_ocr": __version__}
    for package in _PACKAGES:
        try:
            versions[package] = version(package)
        except PackageNotFoundError:
            continue  # the other build of it is installed
    return versions


def _plain(values: Mapping[str, Any]) -> dict[str, Any]:
    """Return values as JSON data; paths become text."""
    plain: dict[str, Any] = json.loads(json.dumps(dict(values), default=str))
    return plain
