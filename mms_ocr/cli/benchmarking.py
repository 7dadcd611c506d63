"""Options of ``tools/test.py`` for labelled test sets, and the report of word accuracy on them."""

from __future__ import annotations

import argparse
import json
import os
import re
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

from mmengine.config import Config, ConfigDict
from mmengine.runner import Runner

from mms_ocr.apis.bundled_configs import find_config
from mms_ocr.evaluation import benchmark_scores as tables
from mms_ocr.evaluation.benchmark_scores import ReadWord, SetScore
from mms_ocr.registry import nested_settings, type_name
from mms_ocr.utils.escaping import printable, to_json
from mms_ocr.utils.files import atomic_write, write_lines
from mms_ocr.utils.output_checks import check_outputs

_BASE = "_base_/datasets/rec_benchmark"
_FOLDER = "textrecog/benchmarks"
# Parts of paths that are not the name of a test set.
_SUFFIX = re.compile(r"(\.lmdb|\.mdb|\.jsonl|\.json)+$")
_FILE_NAMES = ("test", "labels", "annotation", "data", "words")
_SKIPPED_SHOWN = 1000


def add_benchmark_options(parser: argparse.ArgumentParser) -> None:
    """Declare the options of measuring a recognizer on labelled test sets."""
    group = parser.add_argument_group(
        "test sets, for recognizers",
        "Word accuracy of every set, in one table. Without them the config's own test set is used.",
    )
    group.add_argument(
        "--benchmark", metavar="NAME",
        help="common, common_small, union14m, or a config file with test sets; --data NAME=PATH "
        "gives the path of a set, and --data PATH adds one"
    )  # fmt: skip
    group.add_argument("--benchmark-root", metavar="DIR", help="folder of the benchmark's sets")
    group.add_argument("--sets", nargs="+", metavar="NAME", help="only these sets")
    group.add_argument(
        "--held-out", action="store_true",
        help="with --data: only the part of it that the config itself uses for testing"
    )  # fmt: skip
    group.add_argument(
        "--save-words", metavar="FILE", help="write every label and what was read (JSON lines)"
    )


def uses_benchmark(cfg: Config, args: argparse.Namespace) -> bool:
    """Return whether the options ask for word accuracy on test sets.

    Raises:
        ValueError: They name no test sets.
    """
    options = (args.benchmark, args.benchmark_root, args.sets, args.held_out, args.save_words)
    if any(options) and not (args.benchmark or args.data):
        raise ValueError("no test sets are named: give --benchmark NAME, or --data PATH …")
    return any(options) or bool(args.data and reads_words(cfg))


def reads_words(cfg: Config) -> bool:
    """Return whether a config's test metrics compare words, as those of a recognizer."""
    settings = nested_settings(cfg.get("test_evaluator"))
    return any(type_name(metric) in ("WordMetric", "WordBenchmark") for metric in settings)


def set_benchmark(cfg: Config, args: argparse.Namespace) -> None:
    """Replace a config's test set by the test sets that the options name.

    Images go through the transforms of the model's own test set.

    Raises:
        FileNotFoundError: There is no such benchmark.
        ValueError: The config reads no words, or the options contradict each other.
    """
    if not reads_words(cfg):
        raise ValueError(
            f"{cfg.filename} reads no words (it has no WordMetric), so it has no word accuracy; "
            "--benchmark, --sets and the like are for recognizers"
        )
    path = find_config(args.benchmark or _BASE, _FOLDER if args.benchmark else "")
    benchmark = Config.fromfile(path)
    loader = benchmark.get("test_dataloader")
    if loader is None or (args.benchmark and not loader.dataset.get("sets")):
        raise ValueError(f"{path} names no test sets (test_dataloader.dataset.sets)")
    own: Mapping[str, Any] = (cfg.get("test_dataloader") or {}).get("dataset") or {}
    dataset = loader.dataset
    sets = dict(dataset.get("sets") or {})
    for name, data in name_sets(args.data or (), known=sets).items():
        sets[name] = {**sets.get(name, {}), "path": os.path.abspath(data)}
    dataset.sets = ConfigDict(sets)
    if own.get("pipeline"):
        dataset.pipeline = own["pipeline"]
    if args.benchmark_root:
        dataset.root = args.benchmark_root
    if args.sets:
        dataset.chosen = list(args.sets)
    if args.held_out:
        part = {key: own[key] for key in ("holdout", "indices") if own.get(key) is not None}
        if args.benchmark or not part:
            raise ValueError(
                "--held-out needs --data and a config whose test set is a part of its data, "
                "such as configs/textrecog/mms_vit_s_ar_words.py"
            )
        dataset.update(part)
    cfg.test_dataloader = loader
    cfg.test_evaluator = benchmark.test_evaluator
    cfg.test_cfg = benchmark.test_cfg


def name_sets(paths: Sequence[str], known: Mapping[str, Any] = {}) -> dict[str, str]:
    """Return names and paths of test sets given as ``PATH`` or ``NAME=PATH``.

    A path alone is named by its last parts: ``data/iiit5k/test.jsonl`` is ``iiit5k``. Raises
    ValueError if two sets have one name, or a path alone has a name ``known`` to the benchmark.
    """
    named: dict[str, str] = {}
    for word in paths:
        name, equals, path = word.partition("=")
        if not equals or os.path.exists(word):
            name, path = _name_of(word), word
            if name in known:
                raise ValueError(f"--data {word}: to put it in place of a set, give {name}={word}")
        if not name or not path or "/" in name:
            raise ValueError(f"--data {word}: give PATH or NAME=PATH")
        if name in named:
            example = f"first={named[name]} second={path}"
            raise ValueError(f"--data: two sets are called {name!r}; name them, as in {example}")
        named[name] = path
    return named


def check_reports(cfg: Config, args: argparse.Namespace) -> None:
    """Raise ValueError or OSError if a report cannot be written or would replace an input."""
    dataset = cfg.test_dataloader.dataset
    root = dataset.get("root") or ""
    sets = [os.path.join(root, test.path) for test in dataset.sets.values() if test.get("path")]
    inputs = [args.config, args.checkpoint, *sets, *(args.recognizer or [])]
    stem = _report_stem(cfg, args)
    stem.parent.mkdir(parents=True, exist_ok=True)
    outputs = [f"{stem}.json", f"{stem}.md", *filter(None, [args.save_words])]
    check_outputs(outputs, inputs)


def report_benchmark(runner: Runner, args: argparse.Namespace) -> str:
    """Write the report of a test, and the words for ``--save-words``; return what to print."""
    # Not at the top, since it needs MMOCR, which pretraining does without.
    from mms_ocr.evaluation.word_benchmark import WordBenchmark

    metrics = runner.test_loop.evaluator.metrics
    metric = next(metric for metric in metrics if isinstance(metric, WordBenchmark))
    dataset = runner.test_loop.dataloader.dataset
    if args.save_words:
        write_words(args.save_words, metric.words, metric.scores)
    read = {word.index for word in metric.words}
    unread = [index for index in range(len(dataset)) if index not in read]
    skipped = [dataset.image_name(index) for index in unread[:_SKIPPED_SHOWN]]
    measured = {score.name for score in metric.scores}
    sets = runner.cfg.test_dataloader.dataset.sets
    left_out = [test.get("title", name) for name, test in sets.items() if name not in measured]
    return write_report(runner.cfg, args, metric.scores, left_out, skipped)


def write_report(
    cfg: Config,
    args: argparse.Namespace,
    scores: Sequence[SetScore],
    left_out: Sequence[str] = (),
    skipped: Sequence[str] = (),
) -> str:
    """Write the scores as JSON and Markdown into the work folder; return what to print.

    ``left_out`` are the titles of sets that were not measured, ``skipped`` the unreadable images.
    """
    stem = _report_stem(cfg, args)
    stem.parent.mkdir(parents=True, exist_ok=True)
    table = tables.markdown_table(tables.benchmark_table(scores))
    notes = tables.benchmark_notes(scores, left_out)
    facts = {name: getattr(args, name) for name in ("config", "checkpoint", "benchmark")}
    facts |= dict(left_out=list(left_out), skipped=list(skipped))
    report = tables.benchmark_json(scores, **facts)
    figures = json.dumps(report, indent=2, ensure_ascii=False) + "\n"
    # Surrogates (bytes that are not UTF-8) become escapes of JSON.
    atomic_write(f"{stem}.json", figures.encode("utf-8", "backslashreplace"))
    lines = [f"Config `{args.config}`, checkpoint `{args.checkpoint}`.", "", *table.split("\n")]
    for paragraph in [*notes, *(f"Skipped: `{printable(name)}`" for name in skipped)]:
        lines += ["", paragraph]
    write_lines(f"{stem}.md", lines)
    return "\n".join([table, *notes, f"written: {stem}.md and .json"])


def write_words(path: str, words: Sequence[ReadWord], scores: Sequence[SetScore]) -> None:
    """Write what was read, one JSON object a line, set by set."""
    names = [score.name for score in scores for _ in range(score.images)]
    rows = [
        dict(set=name, path=w.path, label=w.label, text=w.text, confidence=w.confidence)
        for name, w in zip(names, words)
    ]
    atomic_write(path, "".join(to_json(row) + "\n" for row in rows).encode())


def _name_of(path: str) -> str:
    *parents, name = Path(os.path.abspath(path)).parts[1:]
    for part in reversed([*parents, name]):
        stem = _SUFFIX.sub("", part)
        if stem not in _FILE_NAMES:
            return stem
    return name


def _report_stem(cfg: Config, args: argparse.Namespace) -> Path:
    name = f"benchmark_{Path(args.benchmark).stem}" if args.benchmark else "benchmark"
    return Path(cfg.work_dir, name)
