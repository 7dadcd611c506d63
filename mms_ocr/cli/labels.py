"""``mms-ocr labels``: check the labels of annotation files, and convert them to JSON lines."""

from __future__ import annotations

import argparse

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
        "above it; without it, labels are only checked"
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
        "--skip-images", action="store_true", help="do not decode the images; they must exist"
    )
    parser.add_argument(
        "--max-broken", type=float, default=0.01, metavar="SHARE",
        help="largest share of unusable words to leave out (0.01)"
    )  # fmt: skip
    parser.add_argument("--list-left-out", metavar="FILE", help="write what was left out, and why")


def run(args: argparse.Namespace) -> int:
    """Check labels, and write them if asked for."""
    from mms_ocr.apis.bundled_configs import config_folder
    from mms_ocr.dataset_tools.annotations import find_data_root
    from mms_ocr.dataset_tools.labels import check_labels, convert_labels, describe_report
    from mms_ocr.utils.dictionaries import read_dictionary
    from mms_ocr.utils.files import write_lines
    from mms_ocr.utils.output_checks import check_outputs
    from mms_ocr.utils.progress import progress_bar

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
        report = check_labels(args.sources, characters, progress_bar)
        print(f"{report.written:,} words of {', '.join(args.sources)} have labels")
    for line in describe_report(report, None if characters is None else dictionary):
        print(line)
    if args.list_left_out:
        write_lines(args.list_left_out, report.left_out)
    return 0
