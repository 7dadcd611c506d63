"""Write the list of words that are rendered: a lexicon, common words and labels of real words.

Common words of the package come eight times, as they do more often in images. Labels are those of the
training sets.

    python projects/studies/weights/make_words.py --data WORDS --out words.txt
"""

from __future__ import annotations

import argparse
import json
import sys
from pathlib import Path

from mms_ocr.rendering.words import embedded_words, read_words
from mms_ocr.utils.errors import run_program
from mms_ocr.utils.files import atomic_write

SETS = ("iiit5k", "icdar2015", "svt", "icdar2003", "born_digital")
COMMON_REPEATS = 8
LONGEST = 24


def parse_args(argv: list[str] | None = None) -> argparse.Namespace:
    """Parse the options of the script."""
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("--data", required=True, help="folder of real words, with lexicon.txt")
    parser.add_argument("--out", required=True, help="text file to write")
    parser.add_argument("--traceback", action="store_true", help="show the traceback of an error")
    return parser.parse_args(argv)


def make_words(args: argparse.Namespace) -> None:
    """Write the list."""
    data = Path(args.data)
    words = [*read_words(data / "lexicon.txt"), *embedded_words() * COMMON_REPEATS]
    for name in SETS:
        for line in (data / name / "train.jsonl").read_text(encoding="utf-8").splitlines():
            text = json.loads(line)["text"].strip()
            if text.isascii() and len(text) <= LONGEST and any(map(str.isalnum, text)):
                words.append(text)
    atomic_write(args.out, "".join(f"{word.upper()}\n" for word in words).encode())
    print(f"{args.out}: {len(words):,} words")


if __name__ == "__main__":
    sys.exit(run_program("make_words.py", parse_args, make_words))
