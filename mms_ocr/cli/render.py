"""``mms-ocr render``: render words."""

from __future__ import annotations

import argparse
import ast
import time
from collections.abc import Callable
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from mms_ocr.rendering import WordRenderer

HELP = "render words into an LMDB or a folder, or as a picture sheet"

_SHEET_COUNT = 160


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """Declare the command's options."""
    parser.add_argument("--count", type=int, help="number of words (160 for a sheet without --out)")
    parser.add_argument(
        "--out", help="NAME.lmdb, or a folder for image files and labels.jsonl; a stopped run of "
        "the same command resumes"
    )  # fmt: skip
    parser.add_argument("--sheet", help="write a picture of the first words (.png or .jpg)")
    parser.add_argument("--seed", type=int, default=0, help="another seed gives other words (0)")
    parser.add_argument("--difficulty", type=float, default=0.5, help="0 plain to 1 hard (0.5)")
    parser.add_argument(
        "--fonts", nargs="+", metavar="FOLDER",
        help="font folders or files, 'matplotlib' (the default) or 'system'"
    )  # fmt: skip
    parser.add_argument("--font-part", choices=("train", "val"), help="only fonts of this part")
    parser.add_argument(
        "--font-weights", nargs="+", default=[], metavar="FAMILY=WEIGHT",
        help="how often a family is drawn, 1 for those not named, such as 'DejaVu Sans=3' cmr10=0"
    )  # fmt: skip
    parser.add_argument("--words", help="text file with one word or line a line")
    parser.add_argument(
        "--random-share", type=float, default=0.3, help="share of random strings (0.3)"
    )
    parser.add_argument(
        "--case", choices=("keep", "lower", "upper", "title", "mixed"),
        help="case of the words (mixed; keep with --words)"
    )  # fmt: skip
    parser.add_argument(
        "--words-per-line", type=int, nargs=2, default=(1, 1), metavar=("MIN", "MAX"),
        help="number of words of a text (1 1)"
    )  # fmt: skip
    parser.add_argument("--max-length", type=int, default=32, help="most characters of a text (32)")
    parser.add_argument("--backgrounds", metavar="FOLDER", help="images to cut backgrounds from")
    parser.add_argument(
        "--set", nargs="+", default=[], metavar="NAME=VALUE", dest="settings",
        help="single settings, such as rotation=20 contrast=0.3,1"
    )  # fmt: skip
    parser.add_argument(
        "--extras", nargs="+", default=[], choices=("clean", "mask", "char_boxes"),
        help="store these as well"
    )  # fmt: skip
    parser.add_argument("--png", action="store_true", help="store PNG files, not JPEG")
    parser.add_argument("--quality", type=int, default=95, help="quality of JPEG files (95)")
    parser.add_argument("--workers", type=int, help="number of processes (one for each core)")
    parser.add_argument(
        "--beside", metavar="PATH", help="on the sheet, real words of this data set to the left"
    )
    parser.add_argument(
        "--parts", action="store_true", help="on the sheet, clean version, boxes and mask as well"
    )


def run(args: argparse.Namespace) -> int:
    """Render words into a set, a sheet, or both."""
    _check(args)
    from mms_ocr.dataset_tools.render import SHEET_SUFFIXES
    from mms_ocr.rendering import (
        BackgroundImages,
        FontCollection,
        RenderSettings,
        TextSource,
        WordRenderer,
    )
    from mms_ocr.utils.output_checks import check_new_set, check_outputs

    inputs = [*(args.fonts or []), args.words, args.backgrounds, args.beside]
    inputs = [path for path in inputs if path]
    if args.sheet:
        check_outputs([args.sheet], inputs, suffixes=SHEET_SUFFIXES)
    if args.out:
        check_new_set(args.out, inputs)
    form = "FAMILY=WEIGHT, such as 'DejaVu Sans=3'"
    weights = _parse_pairs("--font-weights", args.font_weights, form, float)
    form = "NAME=NUMBER or NAME=LOW,HIGH, such as contrast=0.3,1"
    settings = _parse_pairs("--set", args.settings, form, ast.literal_eval)
    renderer = WordRenderer(
        FontCollection(args.fonts, part=args.font_part, weights=weights),
        TextSource(
            args.words, args.random_share, args.case, tuple(args.words_per_line), args.max_length
        ),
        RenderSettings.at(args.difficulty, **settings),
        args.seed,
        BackgroundImages(args.backgrounds) if args.backgrounds else None,
    )
    if args.sheet:
        _write_sheet(renderer, args)
    return _write_set(renderer, args) if args.out else 0


def _check(args: argparse.Namespace) -> None:
    if not (args.out or args.sheet):
        raise ValueError("nothing to write: give --out NAME.lmdb, --out FOLDER or --sheet NAME.png")
    if args.out and args.count is None:
        raise ValueError("give --count, the number of words to render")
    if args.count is not None and args.count < 1:
        raise ValueError(f"--count is {args.count}; give at least 1")
    if args.workers is not None and args.workers < 1:
        raise ValueError(f"--workers is {args.workers}; give at least 1")
    if not 1 <= args.quality <= 100:
        raise ValueError(f"--quality is {args.quality}; give 1 to 100")
    if args.sheet and args.parts and args.beside:
        raise ValueError("--parts and --beside ask for two different sheets; give one of them")


def _parse_pairs(
    option: str, pairs: list[str], form: str, parse: Callable[[str], Any]
) -> dict[str, Any]:
    values = {}
    for pair in pairs:
        name, _, text = pair.rpartition("=")
        try:
            values[name] = parse(text)
        except (ValueError, SyntaxError):
            name = ""
        if not name:
            raise ValueError(f"{option} {pair}: give {form}")
    return values


def _write_sheet(renderer: WordRenderer, args: argparse.Namespace) -> None:
    import cv2

    from mms_ocr.dataset_tools.render import parts_sheet, word_sheet
    from mms_ocr.utils.files import write_image
    from mms_ocr.visualization import picture_grid

    count = min(args.count or _SHEET_COUNT, 24 if args.parts else 2000)
    if args.parts:
        sheet = parts_sheet([renderer.render(index) for index in range(count)])
    elif args.beside:
        import numpy as np

        from mms_ocr.datasets import WordImageDataset

        real = WordImageDataset(args.beside)
        order = np.random.default_rng(args.seed).permutation(len(real))[:count]
        left = word_sheet((real[int(place)]["img"] for place in order), 640)
        right = word_sheet((renderer.render(i).image for i in range(count)), 640)
        sheet = picture_grid([[left, right]])
    else:
        sheet = word_sheet(renderer.render(index).image for index in range(count))
    quality = [] if args.sheet.lower().endswith(".png") else [cv2.IMWRITE_JPEG_QUALITY, 88]
    write_image(args.sheet, sheet, quality)
    print(f"{args.sheet}: {count} words of seed {args.seed}, difficulty {args.difficulty:g}")


def _write_set(renderer: WordRenderer, args: argparse.Namespace) -> int:
    from mms_ocr.dataset_tools.render import (
        count_finished,
        render_plan,
        render_words,
    )
    from mms_ocr.utils.devices import usable_cores
    from mms_ocr.utils.progress import progress_bar

    encoding = {
        "extras": sorted(args.extras),
        "suffix": ".png" if args.png else ".jpg",
        "quality": args.quality,
    }
    finished = count_finished(args.out, render_plan(renderer, encoding=encoding))
    if finished is not None:
        if finished != args.count:
            raise ValueError(f"{args.out} is finished with {finished} words; choose another name")
        print(f"{args.out}: all {finished} words exist already")
        return 0
    began = time.monotonic()
    workers = args.workers or usable_cores()
    rendered = render_words(renderer, args.out, args.count, workers, progress_bar, **encoding)
    seconds = time.monotonic() - began
    print(
        f"{args.out}: {args.count} words; rendered {rendered} of them in {seconds:.0f} s "
        f"({rendered / max(seconds, 1e-9):.0f} a second)"
    )
    return 0
