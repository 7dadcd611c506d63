"""Which test sets a model is measured on, and the report of what came out."""

from __future__ import annotations

import argparse
import json
import os
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

from mmengine.config import Config, ConfigDict

from mms_ocr.apis.shipped_configs import find_config
from mms_ocr.evaluation.benchmark_scores import ReadWord, SetScore
from mms_ocr.evaluation.benchmark_table import (
    benchmark_json,
    benchmark_notes,
    benchmark_table,
    markdown_table,
)
from mms_ocr.registry import type_name
from mms_ocr.utils.escaping import printable, to_json
from mms_ocr.utils.files import atomic_write, write_lines
from mms_ocr.utils.output_checks import check_outputs

_BASE = "_base_/datasets/rec_benchmark"
_FOLDER = "textrecog/benchmarks"
# The last parts of paths that say what a set is stored as, or which part of it, and not its name.
_STORED_AS = (".lmdb", ".mdb", ".jsonl", ".json")
_PARTS = ("test", "labels", "annotation", "data", "words")


def add_benchmark_options(parser: argparse.ArgumentParser) -> None:
    """Options of measuring a recognizer on labelled test sets."""
    group = parser.add_argument_group(
        "test sets, for recognizers",
        "Word accuracy of every set, in one table. Without them the config's own test set is used.",
    )
    group.add_argument(
        "--benchmark",
        metavar="NAME",
        help="common, common_small, union14m, or a config file with test sets; "
        "--data NAME=PATH says where a set lies, and --data PATH alone is a set of its own",
    )
    group.add_argument("--benchmark-root", metavar="DIR", help="folder of the benchmark's sets")
    group.add_argument("--sets", nargs="+", metavar="NAME", help="only these sets")
    group.add_argument(
        "--held-out",
        action="store_true",
        help="with --data: only the part of it that the config itself takes for testing",
    )
    group.add_argument(
        "--save-words", metavar="FILE", help="write every label and what was read (JSON lines)"
    )


def reads_words(cfg: Config) -> bool:
    """Whether a config is of a model that reads words: its test metrics compare words."""
    evaluator = cfg.get("test_evaluator") or []
    metrics = [evaluator] if isinstance(evaluator, Mapping) else evaluator
    metrics = [inner for metric in metrics for inner in _inner_metrics(metric)]
    return any(type_name(metric) in ("WordMetric", "WordBenchmark") for metric in metrics)


def _inner_metrics(metric: Mapping[str, Any]) -> list[Mapping[str, Any]]:
    inner = metric.get("metrics") or [metric]
    return [inner] if isinstance(inner, Mapping) else list(inner)


def set_benchmark(cfg: Config, args: argparse.Namespace) -> None:
    """Let a config's test set be the test sets that the options name.

    Images go through the transforms of the model's own test set.

    Raises:
        FileNotFoundError: There is no such benchmark.
        ValueError: The config reads no words, or the options contradict each other.
    """
    if not reads_words(cfg):
        raise ValueError(
            f"{cfg.filename} reads no words (no WordMetric among its test metrics), so it has no "
            "word accuracy; --benchmark, --sets and their like are for recognizers"
        )
    found = find_config(args.benchmark or _BASE, _FOLDER if args.benchmark else "")
    benchmark = Config.fromfile(found)
    loader = benchmark.get("test_dataloader")
    if loader is None or (args.benchmark and not loader.dataset.get("sets")):
        raise ValueError(f"{found} names no test sets (test_dataloader.dataset.sets)")
    own: Mapping[str, Any] = (cfg.get("test_dataloader") or {}).get("dataset") or {}
    dataset = loader.dataset
    sets = dict(dataset.get("sets") or {})
    for name, path in name_sets(args.data or (), known=sets).items():
        sets[name] = {**sets.get(name, {}), "path": os.path.abspath(path)}
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
                "--held-out goes with --data and a config whose test set is a part of its data, "
                "such as configs/textrecog/mms_vit_s_ar_words.py"
            )
        dataset.update(part)
    cfg.test_dataloader = loader
    cfg.test_evaluator = benchmark.test_evaluator
    cfg.test_cfg = benchmark.test_cfg


def name_sets(given: Sequence[str], known: Mapping[str, Any] = {}) -> dict[str, str]:
    """Names and paths of test sets given as ``PATH`` or ``NAME=PATH``.

    A path alone gets its name from its last parts: ``data/iiit5k/test.jsonl`` is ``iiit5k``.

    Args:
        given: As typed.
        known: Names that the benchmark has.

    Raises:
        ValueError: Two sets have one name, or a path alone has the name of a benchmark's set.
    """
    named: dict[str, str] = {}
    for word in given:
        name, equals, path = word.partition("=")
        if not equals or os.path.exists(word):
            name, path = _name_of(word), word
            if name in known:
                raise ValueError(f"--data {word}: to put it in place of a set, give {name}={word}")
        if not name or not path or "/" in name:
            raise ValueError(f"--data {word}: give PATH or NAME=PATH")
        if name in named:
            raise ValueError(
                f"--data: two test sets are called {name!r}; name them, as in "
                f"first={named[name]} second={path}"
            )
        named[name] = path
    return named


def _name_of(path: str) -> str:
    parts = list(Path(os.path.abspath(path)).parts[1:])
    while len(parts) > 1:
        for suffix in _STORED_AS:
            parts[-1] = parts[-1].removesuffix(suffix)
        if parts[-1] not in _PARTS:
            break
        parts.pop()
    return parts[-1]


def write_report(
    cfg: Config,
    args: argparse.Namespace,
    scores: Sequence[SetScore],
    left_out: Sequence[str] = (),
    skipped: Sequence[str] = (),
) -> str:
    """Write the figures as JSON and Markdown into the work folder.

    Args:
        cfg: The config that was evaluated.
        args: Options of the command line.
        scores: The figures of all sets.
        left_out: Titles of the benchmark's sets that were not measured.
        skipped: The images that could not be read.

    Returns:
        What to show: the table, its notes, and where it was written.
    """
    stem = _report_stem(cfg, args)
    stem.parent.mkdir(parents=True, exist_ok=True)
    table = markdown_table(benchmark_table(scores))
    notes = benchmark_notes(scores, left_out)
    facts = dict(
        config=args.config,
        checkpoint=args.checkpoint,
        benchmark=args.benchmark,
        left_out=list(left_out),
        skipped=list(skipped),
    )
    figures = json.dumps(benchmark_json(scores, **facts), indent=2, ensure_ascii=False) + "\n"
    # Surrogates, which stand for bytes that are no text, become escapes of JSON.
    atomic_write(f"{stem}.json", figures.encode("utf-8", "backslashreplace"))
    head = [f"Config `{args.config}`, checkpoint `{args.checkpoint}`.", "", table, ""]
    skips = [f"Skipped: `{printable(name)}`" for name in skipped]
    write_lines(f"{stem}.md", "\n".join([*head, *_spaced(notes + skips)]).split("\n"))
    return "\n".join([table, *notes, f"written: {stem}.md and .json"])


def check_reports(cfg: Config, args: argparse.Namespace) -> None:
    """Check, before the test, that its reports can be written and replace no input.

    Raises:
        ValueError: A report would replace the config, the checkpoint, or a test set.
        OSError: It cannot be written.
    """
    dataset = cfg.test_dataloader.dataset
    root = dataset.get("root") or ""
    sets = [os.path.join(root, test.path) for test in dataset.sets.values() if test.get("path")]
    inputs = [args.config, args.checkpoint, *sets, *(args.recognizer or [])]
    stem = _report_stem(cfg, args)
    stem.parent.mkdir(parents=True, exist_ok=True)
    outputs = [f"{stem}.json", f"{stem}.md", *([args.save_words] if args.save_words else [])]
    check_outputs(outputs, inputs)


def _report_stem(cfg: Config, args: argparse.Namespace) -> Path:
    name = f"benchmark_{Path(args.benchmark).stem}" if args.benchmark else "benchmark"
    return Path(cfg.work_dir, name)


def _spaced(lines: Sequence[str]) -> list[str]:
    """Paragraphs of Markdown."""
    return [part for line in lines for part in (line, "")][:-1]


def write_words(path: str, words: Sequence[ReadWord], scores: Sequence[SetScore]) -> None:
    """Write what was read, a JSON object a line, set by set.

    Args:
        path: The file.
        words: What was read, by index.
        scores: The sets that they are of, in their order.
    """
    by_start = iter(words)
    lines = []
    for score in scores:
        for _ in range(score.images):
            word = next(by_start)
            row = dict(
                set=score.name,
                path=word.path,
                label=word.label,
                text=word.text,
                confidence=word.confidence,
            )
            lines.append(to_json(row) + "\n")
    atomic_write(path, "".join(lines).encode())
