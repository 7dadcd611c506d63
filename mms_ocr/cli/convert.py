"""``mms-ocr convert``: convert word images between layouts."""

from __future__ import annotations

import argparse
from collections.abc import Iterator
from typing import TYPE_CHECKING

from mms_ocr.utils.escaping import printable

if TYPE_CHECKING:
    from mms_ocr.dataset_tools.convert import Conversion
    from mms_ocr.dataset_tools.records import Records

_LEVELS = {
    "binary": "0 is background, all else text (--masks textseg if not so)",
    "textseg": "the levels are TextSeg's (--masks binary if not so)",
}
HELP = "convert word images between folder, JSON lines, LMDB, TextSeg and TextZoom"


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """Declare the command's options."""
    parser.add_argument(
        "source", metavar="IN", help="folder of images, .jsonl, LMDB, or TextSeg's folder"
    )
    parser.add_argument(
        "out", metavar="OUT", help="NAME.lmdb, or a folder for image files and labels.jsonl; a "
        "stopped run of the same command resumes"
    )  # fmt: skip
    parser.add_argument(
        "--layout", choices=("words", "textzoom", "textseg"),
        help="layout of IN; guessed by default"
    )  # fmt: skip
    parser.add_argument("--data-root", help="folder that file names in a .jsonl are relative to")
    parser.add_argument(
        "--split", nargs="+", default=["train", "val"], choices=("train", "val", "test"),
        help="splits of TextSeg (train val)"
    )  # fmt: skip
    parser.add_argument(
        "--to-textseg", metavar="SPLIT", choices=("train", "val", "test"),
        help="write TextSeg's layout, with every word an image of this split; IN must have masks "
        "and labels"
    )  # fmt: skip
    parser.add_argument(
        "--masks", choices=("binary", "textseg"),
        help="with --to-textseg, the levels of the masks of IN: 0 and any other for text, or 0, "
        "100, 200 and 255 as TextSeg's; guessed by default"
    )  # fmt: skip
    parser.add_argument(
        "--max-broken", type=float, default=0.01, metavar="SHARE",
        help="largest share of broken images to leave out (0.01)"
    )  # fmt: skip
    parser.add_argument("--list-broken", metavar="FILE", help="write what was left out, and why")


def run(args: argparse.Namespace) -> int:
    """Convert a data set."""
    from mms_ocr.dataset_tools.convert import convert_records
    from mms_ocr.dataset_tools.records import MasksAsTextSeg, open_records
    from mms_ocr.utils.files import write_lines
    from mms_ocr.utils.output_checks import check_new_set, check_outputs
    from mms_ocr.utils.progress import progress_bar

    if args.masks and not args.to_textseg:
        raise ValueError("--masks needs --to-textseg; other layouts keep masks as they are")
    check_new_set(args.out, [args.source])
    if args.list_broken:
        check_outputs([args.list_broken], [args.source], args.data_root, new=[args.out])
    records: Records = open_records(args.source, args.layout, args.data_root, args.split)
    if args.to_textseg:
        records = MasksAsTextSeg(records, args.masks)
        print(f"masks of {args.source}: {_LEVELS[records.levels]}")
    result = convert_records(records, args.out, args.max_broken, progress_bar, args.to_textseg)
    print(f"{args.out}: {result.written:,} words of {args.source}, all read back and equal")
    for line in describe_conversion(records, result):
        print(line)
    if args.list_broken:
        write_lines(args.list_broken, result.broken)
    return 0


def describe_conversion(records: Records, result: Conversion) -> Iterator[str]:
    """Yield lines for people: what the new set has, and what was left out."""
    texts = [name for name in ("text", "char_boxes") if name in records.stored & {*records.held}]
    unlabelled = "" if records.labelled else "; without labels"
    yield f"with {', '.join([*records.kinds, *texts])}{unlabelled}"
    if records.left_behind:
        yield printable(f"not in the new set: {', '.join(records.left_behind)}")
    if result.broken:
        last = printable(result.broken[-1])
        yield f"left out {len(result.broken):,} broken ones; the last: {last}"
