"""``mms-ocr adapt``: from crops of your own to a better reader."""

from __future__ import annotations

import argparse
import os

HELP = "train a reader on your own crops and labels, and measure what that gave"


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """Declare the command's options."""
    data = "folders of images, LMDBs or files of JSON lines (.jsonl)"
    parser.add_argument(
        "--unlabelled", nargs="+", required=True, metavar="PATH", help=f"word images: {data}"
    )
    parser.add_argument(
        "--labelled", nargs="+", required=True, metavar="PATH",
        help="word images with labels: LMDBs or files of JSON lines"
    )  # fmt: skip
    parser.add_argument(
        "--test", nargs="+", default=[], metavar="PATH",
        help="word images with labels to measure with, never trained on (default: a fifth of "
        "--labelled)"
    )  # fmt: skip
    parser.add_argument(
        "--start", default="mms_vit_n", metavar="NAME|FILE",
        help="bundled encoder, or checkpoint of a pretraining run (default: %(default)s)"
    )  # fmt: skip
    parser.add_argument(
        "--hours", type=float, default=2.0, help="time for everything (default: %(default)g)"
    )
    parser.add_argument(
        "--compare", action=argparse.BooleanOptionalAction, default=None,
        help="train without the pretraining as well (default: if there is time)"
    )  # fmt: skip
    parser.add_argument(
        "--gpus", type=int, default=0, metavar="N",
        help="train on N GPUs (default: on one, or on the CPU if there is none)"
    )  # fmt: skip
    parser.add_argument(
        "--out", required=True, metavar="DIR",
        help="new folder for reader and report, or that of a stopped run, which resumes"
    )  # fmt: skip


def run(args: argparse.Namespace) -> int:
    """Adapt, and print the result; 75 if a signal stopped it."""
    try:
        from mms_ocr.apis.adaptation import adapt
        from mms_ocr.apis.adaptation.running import EXIT_AGAIN, StoppedError
        from mms_ocr.apis.adaptation.verdict import verdict
    except ImportError as error:
        raise ImportError(
            f"training needs torch and the packages of the model ({error}); see docs/install.md"
        ) from error
    from mms_ocr.utils.errors import report_error

    try:
        figures = adapt(
            args.unlabelled,
            args.labelled,
            args.out,
            args.test,
            start=args.start,
            hours=args.hours,
            compare=args.compare,
            gpus=args.gpus,
            progress=True,
        )
    except StoppedError as stop:
        report_error("mms-ocr adapt", str(stop))
        return EXIT_AGAIN
    print("\n".join([*verdict(figures), *figures["notes"]]))
    print(f"reader: {args.out}; report: {os.path.join(args.out, 'report.html')}")
    return 0
