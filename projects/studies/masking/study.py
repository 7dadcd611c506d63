"""Is masking in three ways worth it? Pretrain in several ways, fine-tune each, and tabulate.

One process uses one core. Start the same command once for each core: processes that share a work
folder share its runs. A run that is killed resumes with the same command. Tables can be printed at
any time, by --table.

    python projects/studies/masking/study.py --data DATA --rendered WORDS.lmdb --work-dir DIR
    python projects/studies/masking/study.py --work-dir DIR --table
"""

import argparse
import os
import signal
import sys
from pathlib import Path

os.environ.setdefault("OMP_NUM_THREADS", "1")  # read once, when torch is loaded
sys.path.append(str(Path(__file__).resolve().parents[1]))  # runs.py

from plan import (
    BATCH_PIXELS,
    BATCH_VIEWS,
    BATCH_WORDS,
    STEPS,
    VARIANTS,
    Settings,
    missing_data,
    plan_chains,
)
from rates import estimate_cost
from runs import StoppedError
from steps import check_settings, read_settings, run_next, write_results
from tables import report

import mms_ocr.registry  # noqa: F401
from mms_ocr.utils.errors import run_program


def parse_args(argv: list[str] | None = None) -> argparse.Namespace:
    """Parse the options of the study."""
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("--data", help="folder of real words: iiit5k/, svt/, icdar2013/, …")
    parser.add_argument("--rendered", help="LMDB of rendered words, of mms-ocr render")
    parser.add_argument(
        "--fonts", help="folder of fonts of segmentors and upscalers (those of matplotlib)"
    )
    parser.add_argument("--work-dir", required=True, help="where all runs and results go")
    parser.add_argument("--only", nargs="+", choices=VARIANTS, help="these variants alone")
    parser.add_argument(
        "--steps", nargs="+", choices=STEPS, default=STEPS, help="these steps alone"
    )
    parser.add_argument(
        "--views", type=int, default=500_000, help="masked views of a pretraining (%(default)s)"
    )
    parser.add_argument(
        "--words", type=int, default=100_000, help="words of a fine-tuning (%(default)s)"
    )
    parser.add_argument(
        "--pixel-words",
        type=int,
        default=25_600,
        help="words of a training of a segmentor or an upscaler (%(default)s)",
    )
    parser.add_argument(
        "--probe-words",
        type=int,
        default=3000,
        help="maximum words of a probe (%(default)s)",
    )
    parser.add_argument(
        "--test-share",
        type=float,
        default=1.0,
        help="share of every test set that is measured, for trying the study out (%(default)s)",
    )
    parser.add_argument("--table", action="store_true", help="print the tables, and run nothing")
    parser.add_argument(
        "--json",
        help="write all results to this file; --work-dir FILE --table prints the tables from it",
    )
    parser.add_argument(
        "--reckon", action="store_true", help="measure what the study costs, and run nothing"
    )
    parser.add_argument("--traceback", action="store_true", help="show the traceback of an error")
    return parser.parse_args(argv)


def study(args: argparse.Namespace) -> int:
    """Run what is not finished, and print the tables.

    Returns:
        Exit status: 0, also where other processes still run the rest; 75 after a signal.

    Raises:
        ValueError: An option is missing or cannot be used, or a run failed.
    """
    folder = Path(args.work_dir)
    chains = plan_chains(args.only)
    if args.table:
        read_settings(folder)
    elif args.reckon:
        print(estimate_cost(chains, check_options(args)))
        return 0
    else:
        settings = check_options(args)
        check_settings(folder, settings)
        signal.signal(signal.SIGTERM, lambda *_: sys.exit(75))
        try:
            while run_next(folder, settings, chains, args.steps):
                pass
        except StoppedError as stop:
            print(stop)
            return 75
    print(report(folder, chains))
    if args.json:
        write_results(folder, chains, Path(args.json))
    return 0


def check_options(args: argparse.Namespace) -> Settings:
    """Check the options, and return their settings.

    Raises:
        ValueError: An option is missing or too small, or data are missing.
    """
    if not args.data or not args.rendered:
        raise ValueError("give --data and --rendered, or --table for the tables alone")
    least_of = {
        "views": BATCH_VIEWS,
        "words": BATCH_WORDS,
        "pixel_words": BATCH_PIXELS,
        "probe_words": 2,
    }
    for name, least in least_of.items():
        if getattr(args, name) < least:
            option = name.replace("_", "-")
            raise ValueError(f"--{option} is {getattr(args, name)}; give at least {least}")
    if not 0 < args.test_share <= 1:
        raise ValueError(f"--test-share is {args.test_share}; give a share in (0, 1]")
    data, rendered = (os.path.abspath(path) for path in (args.data, args.rendered))
    settings = Settings(
        data,
        rendered,
        args.views,
        args.words,
        args.probe_words,
        args.test_share,
        fonts=args.fonts and os.path.abspath(args.fonts),
        pixel_words=args.pixel_words,
    )
    if missing := missing_data(settings):
        raise ValueError(f"no {missing[0]}; --data needs the sets that the README lists")
    return settings


if __name__ == "__main__":
    sys.exit(run_program("study.py", parse_args, study))
