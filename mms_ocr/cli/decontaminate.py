"""``mms-ocr decontaminate``: find training images that are also in a test set."""

from __future__ import annotations

import argparse
import os
from collections import Counter
from typing import TYPE_CHECKING

from mms_ocr.utils.escaping import printable, to_json

if TYPE_CHECKING:
    from mms_ocr.dataset_tools.contamination import Contamination
    from mms_ocr.dataset_tools.records import SourceRecords

HELP = "find training images that are also in a test set, and write the set without them"

_SHOWN = 20


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """Declare the command's options."""
    parser.add_argument("train", nargs="+", metavar="TRAIN", help="folder, LMDB or .jsonl")
    parser.add_argument(
        "--against", nargs="+", required=True, metavar="TEST", help="folder, LMDB or .jsonl"
    )
    parser.add_argument(
        "--max-distance", type=float, default=0.2, metavar="SHARE",
        help="share of the perceptual hash's bits that may differ; 0 for equal hashes (0.2)"
    )  # fmt: skip
    parser.add_argument("--list", metavar="FILE", help="write all matches as JSON lines")
    parser.add_argument(
        "--out", nargs="+", metavar="OUT",
        help="write the clean images of each TRAIN: a NAME.lmdb or folder for each; a stopped run "
        "of the same command resumes"
    )  # fmt: skip
    parser.add_argument(
        "--workers", type=int, default=0, help="number of processes that read beside this one"
    )


def run(args: argparse.Namespace) -> int:
    """Compare sets; return 1 if there are matches and no clean set is written, else 0."""
    if args.out and len(args.out) != len(args.train):
        raise ValueError(f"give one --out for each TRAIN: {len(args.train)}, not {len(args.out)}")
    from mms_ocr.dataset_tools.contamination import find_contamination
    from mms_ocr.dataset_tools.records import open_records
    from mms_ocr.datasets.sources import open_source
    from mms_ocr.utils.output_checks import check_new_set, check_outputs
    from mms_ocr.utils.progress import progress_bar

    inputs = [*args.train, *args.against]
    outs = args.out or []
    for number, out in enumerate(outs):
        if os.path.lexists(out) or os.path.realpath(out) in map(os.path.realpath, outs[:number]):
            raise FileExistsError(f"{out} exists; remove it or choose another name")
        check_new_set(out, inputs)
    if args.list:
        check_outputs([args.list], inputs, new=outs)
    words = [open_records(path) for path in args.train] if args.out else []
    train = [records.source for records in words] or [open_source(path) for path in args.train]
    test = [open_source(path) for path in args.against]
    result = find_contamination(train, test, args.max_distance, args.workers, progress_bar)
    _report(result, train, test, args)
    if args.out:
        _write_clean(result, words, args)
        return 0
    return 1 if result.matches else 0


def _report(result: Contamination, train: list, test: list, args: argparse.Namespace) -> None:
    rows = []
    matches = sorted(result.matches, key=lambda match: match.distance)
    for match in matches:
        (source, index), (test_source, test_index) = match.train, match.test
        names = dict(train=train[source].name(index), test=test[test_source].name(test_index))
        rows.append(dict(kind=match.kind, distance=round(match.distance, 4), **names))
    for row in rows[:_SHOWN]:
        line = f"{row['kind']:6} {row['distance']:.3f}  {row['train']}  {row['test']}"
        print(printable(line))
    if len(rows) > _SHOWN:
        print(f"… and {len(rows) - _SHOWN:,} more" + ("" if args.list else "; --list gives all"))
    if len(train) * len(test) > 1:
        pairs = Counter((match.train[0], match.test[0]) for match in matches)
        for (first, second), count in sorted(pairs.items()):
            images = f"{count:,} of {len(train[first]):,} images of {train[first].path}"
            print(printable(f"{images} are in {test[second].path}"))
    kinds = Counter(match.kind for match in matches)
    print(
        f"{len(rows):,} of {sum(map(len, train)):,} training images are in the test sets "
        f"({sum(map(len, test)):,} images): {kinds['file']:,} the same file, {kinds['pixels']:,} "
        f"the same pixels, {kinds['near']:,} similar (up to {args.max_distance:g} of the bits)"
    )
    for what, broken in [("training", result.broken_train), ("test", result.broken_test)]:
        if broken:
            last = printable(broken[-1])
            print(f"{len(broken):,} unreadable {what} images not compared; the last: {last}")
    if args.list:
        from mms_ocr.utils.files import atomic_write

        lines = [to_json(row) + "\n" for row in rows]
        atomic_write(args.list, "".join(lines).encode())


def _write_clean(
    result: Contamination, words: list[SourceRecords], args: argparse.Namespace
) -> None:
    from mms_ocr.cli.convert import describe_conversion
    from mms_ocr.dataset_tools.convert import convert_sets
    from mms_ocr.dataset_tools.records import Selection
    from mms_ocr.utils.progress import progress_bar

    sets = []
    for place, (records, out) in enumerate(zip(words, args.out)):
        kept = result.clean_indices(place, len(records))
        if not len(kept):
            raise ValueError(
                f"nothing of {records.path} is left for {out}: all of its images are in the test "
                "sets; leave it out"
            )
        sets.append((Selection(records, kept), out))
    conversions = convert_sets(sets, progress=progress_bar)
    for records, (clean, out), conversion in zip(words, sets, conversions):
        print(f"{out}: {conversion.written:,} of {len(records):,} images of {records.path}")
        for line in describe_conversion(clean, conversion):
            print(line)
