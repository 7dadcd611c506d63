"""``mms-ocr convert``: word images from one layout to another, verified by reading back."""

from __future__ import annotations

import argparse
from typing import TYPE_CHECKING

from mms_ocr.utils.escaping import printable

if TYPE_CHECKING:
    from mms_ocr.dataset_tools.conversion import Records

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
        "stopped run of the same command goes on where it stopped"
    )  # fmt: skip
    parser.add_argument(
        "--layout", choices=("words", "textzoom", "textseg"),
        help="of IN; found out by itself where not given"
    )  # fmt: skip
    parser.add_argument("--data-root", help="folder that file names in a .jsonl are relative to")
    parser.add_argument(
        "--split", nargs="+", default=["train", "val"], choices=("train", "val", "test"),
        help="of TextSeg (train val)"
    )  # fmt: skip
    parser.add_argument(
        "--to-textseg", metavar="SPLIT", choices=("train", "val", "test"),
        help="make OUT a folder as TextSeg is released, with every word an image of this split; IN "
        "has to have masks and labels"
    )  # fmt: skip
    parser.add_argument(
        "--masks", choices=("binary", "textseg"),
        help="with --to-textseg, what levels the masks of IN have: 0 and any other for text, or 0, "
        "100, 200 and 255 as TextSeg's; found out by itself where not given"
    )  # fmt: skip
    parser.add_argument(
        "--max-broken", type=float, default=0.01, metavar="SHARE",
        help="share of broken images that are left out without an error (0.01)"
    )  # fmt: skip
    parser.add_argument("--list-broken", metavar="FILE", help="write what was left out, and why")


def run(args: argparse.Namespace) -> int:
    """Convert what was asked for."""
    from mms_ocr.dataset_tools.conversion import MasksAsTextSeg, convert_records
    from mms_ocr.utils.files import write_lines
    from mms_ocr.utils.output_checks import check_new_set, check_outputs
    from mms_ocr.utils.progress_bar import progress_bar

    if args.masks and not args.to_textseg:
        raise ValueError("--masks goes with --to-textseg; other layouts keep masks as they are")
    check_new_set(args.out, [args.source])
    if args.list_broken:
        check_outputs([args.list_broken], [args.source], args.data_root, new=[args.out])
    records = _open(args)
    if args.to_textseg:
        records = MasksAsTextSeg(records, args.masks)
        print(f"masks of {args.source}: {_LEVELS[records.levels]}")
    result = convert_records(records, args.out, args.max_broken, progress_bar, args.to_textseg)
    print(f"{args.out}: {result.written:,} words of {args.source}, all read back and equal")
    if result.broken:
        last = printable(result.broken[-1])
        print(f"left out {len(result.broken):,} broken ones; the last: {last}")
    if args.list_broken:
        write_lines(args.list_broken, result.broken)
    return 0


def _open(args: argparse.Namespace) -> Records:
    from mms_ocr.dataset_tools.conversion import (
        PairRecords,
        TextSegRecords,
        WordRecords,
        guess_layout,
    )

    layout = args.layout or guess_layout(args.source)
    if layout == "textseg":
        return TextSegRecords(args.source, args.split)
    if layout == "textzoom":
        return PairRecords(args.source, args.data_root)
    return WordRecords(args.source, args.data_root)
