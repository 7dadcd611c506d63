"""What `mms-ocr adapt` gives in domains that bundled weights have not seen, by number of labels.

Each run gets N labels of a training set, the images of all of it without labels, and the test set.
One process uses one core; start one for each core, with domains or numbers of its own.

    python projects/studies/adaptation.py --data DATA --domains sroie --work-dir DIR
    python projects/studies/adaptation.py --work-dir DIR --table
    python projects/studies/adaptation.py --work-dir DIR --shifts 0 0.15 0.3 0.6 1

The last command measures readers before any fine-tuning, on the labelled words: mms_vit_n_ar, with
its encoder shifted by what pretraining on the crops changed.
"""

from __future__ import annotations

import argparse
import json
import os
import random
import sys
import tempfile
from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import Any

os.environ.setdefault("OMP_NUM_THREADS", "1")  # read once, when torch is loaded

import numpy as np

import mms_ocr.registry  # noqa: F401
from mms_ocr.apis import WordReader, adapt
from mms_ocr.datasets.sources import LmdbSource
from mms_ocr.evaluation.benchmark_scores import ReadWord
from mms_ocr.evaluation.intervals import accuracy_interval
from mms_ocr.evaluation.word_benchmark import judge_words
from mms_ocr.models.weights import write_checkpoint
from mms_ocr.registry import MODELS
from mms_ocr.utils.config_files import read_config_file
from mms_ocr.utils.errors import run_program
from mms_ocr.utils.files import atomic_write

#: Sets of word images, and what they show.
DOMAINS = {
    "sroie": "receipts",
    "funsd": "forms",
    "gw_letters": "letters of the 18th century, by hand",
    "roadwords": "road signs, 11 words",
}
_TEST_WORDS = 500  # of a set without a test part
_ORDER = ("bundled", "finetune_plain", "finetune")


def parse_args(argv: list[str] | None = None) -> argparse.Namespace:
    """Parse the options of the study."""
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("--data", help="folder of word images: sroie/train.jsonl, …")
    parser.add_argument("--domains", nargs="+", choices=DOMAINS, default=list(DOMAINS)[:1])
    parser.add_argument("--labels", nargs="+", type=int, default=[100, 300, 1000])
    parser.add_argument("--hours", type=float, default=0.5, help="of a run (%(default)s)")
    parser.add_argument("--work-dir", required=True, help="where all runs go")
    parser.add_argument("--table", action="store_true", help="print the table, and run nothing")
    parser.add_argument(
        "--shifts", nargs="+", type=float, metavar="SCALE",
        help="measure readers that are shifted by these scales and not fine-tuned"
    )  # fmt: skip
    parser.add_argument("--traceback", action="store_true", help="show the traceback of an error")
    return parser.parse_args(argv)


def study(args: argparse.Namespace) -> None:
    """Run what is not finished, and print the table."""
    folder = Path(args.work_dir)
    if args.shifts:
        print("\n".join(shift_table(folder, args.shifts)))
        return
    if not args.table:
        if not args.data:
            raise ValueError("give --data, or --table for the table alone")
        for domain in args.domains:
            for count in args.labels:
                place = folder / domain
                labelled, test = write_lists(Path(args.data) / domain, place, count)
                adapt(
                    place / "unlabelled.jsonl",
                    labelled,
                    place / f"labels_{count}",
                    test,
                    hours=args.hours,
                    compare=True,
                    progress=True,
                )
    print("\n".join(table(folder)))


def write_lists(source: Path, place: Path, count: int) -> tuple[Path, Path]:
    """Write the lists of images of a domain, and return those of the labelled and test words.

    The labels are the first ``count`` of a shuffled training part, so that larger sets contain the
    smaller ones.

    Raises:
        ValueError: There are fewer labels.
    """
    place.mkdir(parents=True, exist_ok=True)
    for name in ("train", "test"):
        if (source / name).is_dir() and not (place / name).is_symlink():
            (place / name).symlink_to((source / name).absolute())
    lines = (source / "train.jsonl").read_text(encoding="utf-8").splitlines(keepends=True)
    random.Random(0).shuffle(lines)
    test = place / "test.jsonl"
    if (source / "test.jsonl").is_file():
        atomic_write(test, (source / "test.jsonl").read_bytes())
    else:
        atomic_write(test, "".join(lines[:_TEST_WORDS]))
        lines = lines[_TEST_WORDS:]
    if count > len(lines):
        raise ValueError(f"{source} has {len(lines):,} labels, fewer than {count:,}")
    names = [json.dumps({"filename": json.loads(line)["filename"]}) + "\n" for line in lines]
    atomic_write(place / "unlabelled.jsonl", "".join(names))
    labelled = place / f"labels_{count}.jsonl"
    atomic_write(labelled, "".join(lines[:count]))
    return labelled, test


def table(folder: Path) -> Iterator[str]:
    """Yield the lines of a table of all finished runs."""
    yield (
        "| words | labels | test words | bundled | fine-tuned | pretrained and fine-tuned "
        "| pretraining added, points |"
    )
    yield "| --- | ---: | ---: | ---: | ---: | ---: | ---: |"
    for domain, title in DOMAINS.items():
        reports = (folder / domain).glob("labels_*/report.json")
        for path in sorted(reports, key=lambda path: int(path.parent.name.split("_")[1])):
            figures = json.loads(path.read_text(encoding="utf-8"))
            yield row(title, path.parent.name.split("_")[1], figures)


def shift_table(folder: Path, scales: Sequence[float]) -> Iterator[str]:
    """Yield the lines of a table: accuracy of shifted readers on the labelled words of each run."""
    yield "| words | number | " + " | ".join(f"{scale:g}" for scale in scales) + " |"
    yield "| --- | ---: |" + " ---: |" * len(scales)
    for domain, title in DOMAINS.items():
        # The run with the most labels.
        runs = [path.parent for path in (folder / domain).glob("labels_*/report.json")]
        for run in sorted(runs, key=lambda run: int(run.name.split("_")[1]))[-1:]:
            words = LmdbSource(str(run / "data" / "labelled.lmdb"))
            labels = [words.read(index, labelled=True).text or "" for index in range(len(words))]
            cells = [title, f"{len(words):,}"]
            for scale in scales:
                texts = read_shifted(run, scale)
                read = [ReadWord(i, *pair, None, "") for i, pair in enumerate(zip(labels, texts))]
                right = np.array(judge_words(read)["word_acc_ignore_case_symbol"])
                cells.append(_format(accuracy_interval(right)._asdict(), "{:.1f}", "–"))
            yield "| " + " | ".join(cells) + " |"


def read_shifted(run: Path, scale: float) -> list[str]:
    """Read the labelled words of a run with its shifted reader, before any fine-tuning."""
    here = Path.cwd()
    os.chdir(run)  # paths of the configs are relative to it
    try:
        cfg = read_config_file("finetune.py")
        cfg.model.init_cfg.shift.scale = scale
        model = MODELS.build(cfg.model)
        model.init_weights()
        with tempfile.TemporaryDirectory() as place:
            path = f"{place}/shifted.safetensors"
            write_checkpoint(path, model.state_dict())
            return [reading.text or "" for reading in WordReader(path, cfg)("data/labelled.lmdb")]
    finally:
        os.chdir(here)


def row(title: str, labels: str, figures: dict[str, Any]) -> str:
    """Format the row of a run: accuracies in percent with their 95% intervals."""
    protocol = figures["headline"]["protocol"]
    readers = {reader["name"]: reader for reader in figures["readers"]}
    cells = [title, f"{int(labels):,}", f"{figures['words']:,}"]
    for name in _ORDER:
        cells.append(_format(readers[name]["accuracy"][protocol], "{:.1f}", "–"))
    difference = next(
        each
        for each in figures["differences"]
        if (each["reader"], each["than"]) == ("finetune", "finetune_plain")
    )
    cells.append(_format(difference[protocol], "{:+.1f}", " to "))
    return "| " + " | ".join(cells) + " |"


def _format(values: dict[str, float], form: str, between: str) -> str:
    value, low, high = (form.format(100 * values[name]) for name in ("value", "low", "high"))
    return f"{value} ({low}{between}{high})"


if __name__ == "__main__":
    sys.exit(run_program("adaptation.py", parse_args, study))
