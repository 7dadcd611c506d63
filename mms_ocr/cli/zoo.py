"""``mms-ocr zoo``: the bundled weights."""

from __future__ import annotations

import argparse
import json

import yaml

from mms_ocr.apis.zoo import Entry, format_score, read_zoo, size_in_mb, task_of
from mms_ocr.utils.bundled import bundled_file, bundled_names, bundled_onnx

HELP = "list the bundled weights: task, parameters, size, scores, terms of the training data"


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """Declare the command's options."""
    parser.add_argument("name", nargs="?", metavar="NAME", help="print the full entry of one")
    parser.add_argument("--json", action="store_true", help="print JSON")


def run(args: argparse.Namespace) -> None:
    """Print the table, or one entry."""
    bundled = bundled_names()
    entries = {name: entry for name, entry in read_zoo().items() if name in bundled}
    if args.name:
        name = bundled_file(args.name).stem
        if name not in entries:
            raise ValueError(f"the metafile has no entry for the bundled {name}")
        entries = {name: entries[name]}
    if args.json:
        print(json.dumps(list(entries.values()), indent=2, ensure_ascii=False))
    elif args.name:
        print(yaml.safe_dump(entries[name], sort_keys=False, allow_unicode=True, width=100), end="")
    elif entries:
        print(_table(entries))
    else:
        print("this version bundles no weights")


def _table(entries: dict[str, Entry]) -> str:
    rows = [("name", "task", "parameters", "size", "in ONNX", "scores", "training data")]
    for name, entry in entries.items():
        facts = entry["Metadata"]
        task = "pretraining" if task_of(entry) == "mms" else task_of(entry)
        parameters = f"{facts['Parameters'] / 1e6:.2f} M"
        terms = str(facts.get("Training Data Terms") or "-")
        scores = ", ".join(_scores(entry)) or "-"
        onnx = bundled_onnx(name)
        in_onnx = f"{onnx.stat().st_size / 1e6:.1f} MB" if onnx.is_file() else "-"
        size = f"{size_in_mb(name):.1f} MB"
        rows.append((name, task, parameters, size, in_onnx, scores, terms))
    widths = [max(map(len, column)) for column in zip(*rows)]
    return "\n".join(
        "  ".join(cell.ljust(width) for cell, width in zip(row, widths)).rstrip() for row in rows
    )


def _scores(entry: Entry) -> list[str]:
    """The first score of each data set."""
    scores = []
    for result in entry.get("Results") or []:
        metric, value = next(iter((result.get("Metrics") or {}).items()), ("", None))
        if value is not None:  # else not measured yet
            scores.append(f"{result['Dataset']} {format_score(metric, value)}")
    return scores
