"""Label unlabelled words with a reader, and keep those that it reads with confidence.

    python projects/studies/weights/pseudo_labels.py "$WORDS"/mlt17_latin/unlabelled.jsonl \\
        "$WORDS"/icdar2015_regions/unlabelled.jsonl

A file is written beside each, pseudo_labelled.jsonl, of lines like {"filename": "a.jpg", "text": "You"}.
"""

from __future__ import annotations

import argparse
import json
import sys
from pathlib import Path

from mms_ocr.apis import WordReader
from mms_ocr.utils.errors import run_program
from mms_ocr.utils.files import atomic_write


def parse_args(argv: list[str] | None = None) -> argparse.Namespace:
    """Options of the script."""
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("files", nargs="+", help="JSON lines with filename")
    parser.add_argument("--weights", default="mms_vit_n_ctc", help="bundled name or checkpoint")
    parser.add_argument(
        "--least", type=float, default=0.85, help="least confidence of a word (default: 0.85)"
    )
    parser.add_argument("--traceback", action="store_true", help="show where an error arose")
    return parser.parse_args(argv)


def label_files(args: argparse.Namespace) -> None:
    """Read the words of every file, and write those that are kept."""
    reader = WordReader(args.weights)
    for path in map(Path, args.files):
        names = [json.loads(line)["filename"] for line in path.read_text("utf-8").splitlines()]
        lines, num_broken = [], 0
        # Image by image of one iterator: broken ones keep their place, and have an error.
        for name, reading in zip(names, reader.stream(str(path.parent / name) for name in names)):
            num_broken += reading.error is not None
            if reading.text and (reading.confidence or 0) >= args.least:
                line = {"filename": name, "text": reading.text}
                lines.append(json.dumps(line, ensure_ascii=False) + "\n")
        out = path.with_name("pseudo_labelled.jsonl")
        atomic_write(out, "".join(lines).encode())
        print(f"{out}: {len(lines):,} of {len(names):,} words; {num_broken:,} cannot be read")


if __name__ == "__main__":
    sys.exit(run_program("pseudo_labels.py", parse_args, label_files))
