"""``mms-ocr read``: the text in word images, a line each."""

from __future__ import annotations

import argparse
import contextlib
import sys
from pathlib import Path
from typing import TYPE_CHECKING

from mms_ocr.cli.word_options import BrokenCount, add_word_options, check_word_options
from mms_ocr.utils.escaping import printable, to_json

if TYPE_CHECKING:
    import numpy as np

    from mms_ocr.apis.reading import Reading, WordReader

HELP = "read the text in word images: text and confidence, a line each"


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """Declare the command's options."""
    out = "folder for each image with its text below"
    add_word_options(parser, "recognizer", out, needs_out=False)
    parser.add_argument("--json", action="store_true", help="a JSON object a line")
    parser.add_argument(
        "--cfg-options", nargs="+", metavar="KEY=VALUE", default=[],
        help="settings that training changed in the config"
    )  # fmt: skip


def run(args: argparse.Namespace) -> int:
    """Read the images; 1 if some could not be read."""
    from mms_ocr.apis.input_images import BrokenImage, output_stem

    # Packages must not print between the lines of the result.
    with contextlib.redirect_stdout(sys.stderr):
        check_word_options(args)
        reader = _build_reader(args)
    if args.out:
        Path(args.out).mkdir(parents=True, exist_ok=True)
    count, stems, read = BrokenCount("mms-ocr read"), set[str](), 0
    for item, reading in reader.process(args.images):
        if isinstance(item, BrokenImage) or isinstance(reading, BrokenImage):
            count.report(reading.line)
            continue
        read += 1
        if args.out:
            _draw(reading, item.image, f"{args.out}/{output_stem(reading.name, stems)}.png")
        print(_as_json(reading) if args.json else _as_line(reading), flush=True)
    return count.exit_status(read)


def _build_reader(args: argparse.Namespace) -> WordReader:
    from mms_ocr.apis.reading import WordReader

    options = None
    if args.cfg_options:
        from mms_ocr.utils.cfg_options import parse_cfg_options

        options = parse_cfg_options(args.cfg_options)
    return WordReader(args.weights, args.config, args.device, args.batch_size, options)


def _draw(reading: Reading, image: np.ndarray, path: str) -> None:
    """Write the image with its text below."""
    from mms_ocr.utils.files import write_image
    from mms_ocr.visualization import draw_text, fit_picture, picture_grid

    caption = reading.text or ""
    if reading.confidence is not None:
        caption += f"   {reading.confidence:.2f}"
    sheet = picture_grid([[fit_picture(image, 64, 1024)], [draw_text(caption, 32, None)]])
    write_image(path, sheet, source=reading.name)


def _as_line(reading: Reading) -> str:
    """Return text, confidence and path between tabs, with control characters escaped."""
    confidence = "-" if reading.confidence is None else f"{reading.confidence:.4f}"
    parts = [reading.text or "", confidence, reading.name]
    return "\t".join(printable(part.replace("\\", "\\\\")) for part in parts)


def _as_json(reading: Reading) -> str:
    row = dict(
        image=reading.name,
        text=reading.text,
        confidence=reading.confidence,
        char_confidences=reading.char_confidences,
    )
    return to_json(row, sys.stdout.encoding)
