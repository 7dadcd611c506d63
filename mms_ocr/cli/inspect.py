"""``mms-ocr inspect``: describe sets of word images, as text and as a picture."""

from __future__ import annotations

import argparse
import io
import os

HELP = "describe sets of word images: sizes, labels, broken images, duplicates"


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """Declare the command's options."""
    parser.add_argument("paths", nargs="+", metavar="PATH", help="folder, LMDB or .jsonl")
    parser.add_argument("--picture", metavar="FILE", help="draw them as well (.png, .pdf, .svg)")
    parser.add_argument("--sample", type=int, help="read only this many images of each set")
    parser.add_argument("--data-root", help="folder that file names in a .jsonl are relative to")
    parser.add_argument(
        "--workers", type=int, default=0, help="number of processes that read beside this one"
    )


def run(args: argparse.Namespace) -> int:
    """Print, and draw if asked for, what the sets contain."""
    if args.sample is not None and args.sample < 1:
        raise ValueError(f"--sample is {args.sample}; give at least 1")
    from mms_ocr.dataset_tools.survey import describe_survey, draw_surveys, survey_source
    from mms_ocr.datasets.sources import open_source
    from mms_ocr.utils.files import atomic_write
    from mms_ocr.utils.output_checks import check_outputs
    from mms_ocr.utils.progress import progress_bar

    if args.picture:
        check_outputs([args.picture], args.paths, args.data_root, (".png", ".pdf", ".svg"))
    sources = [open_source(path, args.data_root) for path in args.paths]
    surveys = []
    for source in sources:
        surveys.append(survey_source(source, args.sample, args.workers, progress_bar))
        print(describe_survey(surveys[-1]))
    if args.picture:
        drawn = io.BytesIO()
        kind = os.path.splitext(args.picture)[1][1:].lower()
        draw_surveys(surveys, sources).savefig(drawn, dpi=100, format=kind)
        atomic_write(args.picture, drawn.getvalue())
        print(f"drawn: {args.picture}")
    return 0
