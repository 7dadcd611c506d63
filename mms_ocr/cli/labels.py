"""``mms-ocr labels``: labels of any annotation file as JSON lines, and what is wrong with them."""

from __future__ import annotations

import argparse
from pathlib import Path
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from mms_ocr.dataset_tools.conversion.label_checks import LabelReport

HELP = "check labels, and write those of MMOCR's JSON or text files as JSON lines"


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """Declare the command's options."""
    parser.add_argument(
        "sources", nargs="+", metavar="IN",
        help="MMOCR's JSON (Union14M-L), JSON lines, or text with a file name and a label a line; "
        "without --out also an LMDB"
    )  # fmt: skip
    parser.add_argument(
        "--out", metavar="NAME.jsonl", help="write all of them here, in the images' folder or one "
        "above it; a stopped run of the same command goes on. Without it, labels are only checked"
    )  # fmt: skip
    parser.add_argument(
        "--data-root", metavar="DIR",
        help="folder that file names are relative to; by default the only one with images of "
        "these names: the annotation file's, one of three above it, or one within or beside it"
    )  # fmt: skip
    parser.add_argument(
        "--dictionary", metavar="FILE",
        help="characters, one a line; others are reported (default: configs/dicts/"
        "printable_ascii.txt; 'none' for none)"
    )  # fmt: skip
    parser.add_argument(
        "--leave-out-outside", action="store_true",
        help="leave out words with characters outside the dictionary"
    )  # fmt: skip
    parser.add_argument(
        "--skip-images", action="store_true", help="do not decode the images; they have to exist"
    )
    parser.add_argument(
        "--max-broken", type=float, default=0.01, metavar="SHARE",
        help="share of unusable words that are left out without an error (0.01)"
    )  # fmt: skip
    parser.add_argument("--list-left-out", metavar="FILE", help="write what was left out, and why")


def run(args: argparse.Namespace) -> int:
    """Check the labels, and write them where that is asked for."""
    from mms_ocr.apis.shipped_configs import config_folder
    from mms_ocr.dataset_tools.conversion.data_roots import find_data_root
    from mms_ocr.dataset_tools.conversion.label_checks import describe_report
    from mms_ocr.dataset_tools.conversion.labels import convert_labels
    from mms_ocr.utils.dictionaries import read_dictionary
    from mms_ocr.utils.files import write_lines
    from mms_ocr.utils.output_checks import check_outputs
    from mms_ocr.utils.progress_bar import progress_bar

    dictionary = args.dictionary or str(config_folder() / "dicts" / "printable_ascii.txt")
    characters = None if dictionary == "none" else frozenset(read_dictionary(dictionary))
    if args.list_left_out:
        inputs = [*args.sources, dictionary]
        check_outputs([args.list_left_out], inputs, new=[args.out] if args.out else [])
    if args.out:
        roots = [args.data_root or find_data_root(source) for source in args.sources]
        for source, root in zip(args.sources, roots):
            print(f"{source}: file names are relative to {root}", flush=True)
        report = convert_labels(
            args.sources,
            args.out,
            roots,
            characters=characters,
            drop_outside=args.leave_out_outside,
            check_images=not args.skip_images,
            max_broken=args.max_broken,
            progress=progress_bar,
        )
        print(f"{args.out}: {report.written:,} words of {', '.join(args.sources)}")
    else:
        report = _check(args.sources, characters)
        print(f"{report.written:,} words of {', '.join(args.sources)} have labels")
    for line in describe_report(report, None if characters is None else dictionary):
        print(line)
    if args.list_left_out:
        write_lines(args.list_left_out, report.left_out)
    return 0


def _check(sources: list[str], characters: frozenset[str] | None) -> LabelReport:
    from mms_ocr.dataset_tools.conversion.annotations import read_annotations
    from mms_ocr.dataset_tools.conversion.label_checks import LabelReport
    from mms_ocr.datasets.sources import BrokenImageError, FolderSource, is_lmdb, open_source
    from mms_ocr.utils.progress_bar import progress_bar

    report = LabelReport()
    for path in sources:
        source = open_source(path) if Path(path).is_dir() or is_lmdb(path) else None
        if source is None:
            for word in read_annotations(path):
                _look_at(report, word.place, word.text, word.fault, characters)
            continue
        if isinstance(source, FolderSource):
            raise ValueError(f"{path} is a folder of images, which has no labels")
        source.check_labels()
        for index in progress_bar(range(len(source)), "checking labels", len(source)):
            try:
                raw = source.read(index, labelled=True)
            except BrokenImageError as error:
                report.left_out.append(str(error))
            else:
                _look_at(report, raw.name, raw.text, None, characters)
    return report


def _look_at(
    report: LabelReport,
    place: str,
    text: str | None,
    fault: str | None,
    characters: frozenset[str] | None,
) -> None:
    if fault is None and not text:
        fault = "the label is empty" if text == "" else "there is no label"
    if fault is not None or text is None:
        report.left_out.append(f"{place}: {fault}")
        return
    report.written += 1
    report.look_at(text, characters)
