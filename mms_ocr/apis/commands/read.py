"""``mms-ocr read``: the text in word images, a line each."""

from __future__ import annotations

import argparse
import contextlib
import glob
import json
import os
import sys
from collections.abc import Iterable, Iterator
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from mms_ocr.apis.reading import Reading, WordReader

HELP = "read the text in word images: text and confidence, a line each"

_UNREADABLE = 1  # exit status where some images could not be read
_ESCAPES = str.maketrans({"\\": "\\\\", "\t": "\\t", "\n": "\\n", "\r": "\\r"})


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """Declare the command's options."""
    parser.add_argument(
        "images", nargs="+", metavar="IMAGE",
        help="image files, folders of images (at any depth), or patterns in quotes"
    )  # fmt: skip
    parser.add_argument("--weights", required=True, metavar="FILE", help="checkpoint to read with")
    parser.add_argument(
        "--config", metavar="CONFIG",
        help="the recognizer's config: a file, or the name of one that ships, such as "
        "mms_vit_s_ar_words (default: the shipped one that the checkpoint says it was trained with)"
    )  # fmt: skip
    parser.add_argument("--json", action="store_true", help="a JSON object a line")
    parser.add_argument("--out", metavar="DIR", help="write each image with its text below it here")
    parser.add_argument("--device", help="cpu, cuda, cuda:1, … (default: a GPU if there is one)")
    parser.add_argument(
        "--batch-size", type=int, default=64, metavar="N", help="images read at once (64)"
    )
    parser.add_argument(
        "--cfg-options", nargs="+", metavar="KEY=VALUE", default=[],
        help="settings that training changed in the config"
    )  # fmt: skip


def run(args: argparse.Namespace) -> int:
    """Read the images; 1 where some could not be read."""
    if args.batch_size < 1:
        raise ValueError(f"--batch-size is {args.batch_size}; give at least 1")
    # What packages log and print must not come between the lines of the result.
    with contextlib.redirect_stdout(sys.stderr):
        paths = list(_image_paths(args.images))
        reader = _build_reader(args)
    unreadable = 0
    for reading in _read(reader, paths, args):
        if reading.error is not None:
            unreadable += 1
            print(f"mms-ocr read: {reading.name}: {reading.error}", file=sys.stderr)
        else:
            print(_json(reading) if args.json else _line(reading), flush=True)
    if unreadable:
        print(
            f"mms-ocr read: {unreadable:,} of {len(paths):,} images could not be read",
            file=sys.stderr,
        )
    return _UNREADABLE if unreadable else 0


def _image_paths(given: Iterable[str]) -> Iterator[str]:
    """Files that were given, those in folders, and those that patterns match.

    Raises:
        ValueError: A folder holds no images, or nothing matches a pattern.
    """
    from mms_ocr.datasets.sources import FolderSource

    for path in given:
        if os.path.isdir(path):
            folder = FolderSource(path)
            yield from (folder.name(index) for index in range(len(folder)))
        elif glob.has_magic(path) and not os.path.exists(path):
            found = sorted(name for name in glob.glob(path, recursive=True) if os.path.isfile(name))
            if not found:
                raise ValueError(f"nothing matches {path!r}")
            yield from found
        else:
            yield path


def _build_reader(args: argparse.Namespace) -> WordReader:
    from mmengine.config import DictAction

    try:
        from mms_ocr.apis.reading import WordReader
    except ImportError as error:
        raise ImportError(
            f"reading needs MMOCR, which cannot be imported here ({error}); docs/install.md tells "
            "how to install it"
        ) from error

    options = argparse.Namespace(cfg_options=None)
    if args.cfg_options:
        parser = argparse.ArgumentParser(prog="mms-ocr read")
        parser.add_argument("--cfg-options", nargs="+", action=DictAction)
        options = parser.parse_args(["--cfg-options", *args.cfg_options])
    return WordReader(args.config, args.weights, args.device, options.cfg_options)


def _read(reader: WordReader, paths: list[str], args: argparse.Namespace) -> Iterator[Reading]:
    if not args.out:
        yield from reader.stream(paths, args.batch_size)
        return
    from mms_ocr.apis.reading import load_pixels
    from mms_ocr.apis.word_pictures import PictureFolder, draw_reading

    folder = PictureFolder(args.out)
    for path, reading in zip(paths, reader.stream(paths, args.batch_size)):
        if reading.text is not None:
            picture = draw_reading(load_pixels(path), reading.text, reading.confidence)
            folder.write(path, picture)
        yield reading


def _line(reading: Reading) -> str:
    """Text, confidence and path between tabs; tabs and line breaks within are escaped."""
    confidence = "-" if reading.confidence is None else f"{reading.confidence:.4f}"
    text = (reading.text or "").translate(_ESCAPES)
    return f"{text}\t{confidence}\t{reading.name.translate(_ESCAPES)}"


def _json(reading: Reading) -> str:
    row = dict(image=reading.name, text=reading.text, confidence=reading.confidence)
    return json.dumps(row, ensure_ascii=False)
