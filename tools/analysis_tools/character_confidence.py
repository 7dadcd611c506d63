"""Compare the confidence of characters with how many of them are right.

    python tools/analysis_tools/character_confidence.py iiit5k/test.jsonl

Only words with as many characters as their label are counted, ignoring case: in others it is not
known which character is which.
"""

import argparse
import itertools
import sys
from collections.abc import Iterable, Sequence

from mms_ocr.apis import WordReader
from mms_ocr.datasets.sources import open_source
from mms_ocr.utils.errors import run_program

BOUNDS = (0.0, 0.6, 0.9, 0.99, 1.0)


def parse_args():
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("data", help="labelled words: JSON lines or an LMDB")
    parser.add_argument("--weights", help="of a recognizer (default: the bundled one)")
    parser.add_argument("--traceback", action="store_true", help="show the traceback of an error")
    return parser.parse_args()


def judge_characters(words: Iterable[tuple[str, str, Sequence[float]]]) -> list[tuple[float, bool]]:
    """List confidence and correctness of characters, from label, text and confidences of words."""
    return [
        (confidence, character.casefold() == truth.casefold())
        for label, text, confidences in words
        if len(label) == len(text)
        for truth, character, confidence in zip(label, text, confidences)
    ]


def table_lines(judged: Sequence[tuple[float, bool]]) -> list[str]:
    """Make a table: range of confidence, characters, mean confidence, share that is right."""
    lines = [
        "| confidence | characters | mean confidence | right |",
        "| --- | ---: | ---: | ---: |",
    ]
    for low, high in itertools.pairwise(BOUNDS):
        is_last = high == BOUNDS[-1]
        part = [each for each in judged if low <= each[0] and (each[0] < high or is_last)]
        if part:
            mean = sum(confidence for confidence, _ in part) / len(part)
            right = sum(is_right for _, is_right in part) / len(part)
            cells = (f"{low:g} to {high:g}", f"{len(part):,}", f"{mean:.1%}", f"{right:.1%}")
            lines.append(f"| {' | '.join(cells)} |")
    return lines


def compare(args: argparse.Namespace) -> None:
    source = open_source(args.data)
    source.check_labels()
    reader = WordReader(args.weights)
    raw = [source.read(index, labelled=True) for index in range(len(source))]
    readings = reader.stream(image.data for image in raw)
    words = [
        (image.text or "", reading.text, reading.char_confidences)
        for image, reading in zip(raw, readings)
        if reading.char_confidences is not None
    ]
    judged = judge_characters(words)
    counted = sum(len(label) == len(text) for label, text, _ in words)
    print(f"{counted:,} of {len(raw):,} words are as long as their label\n")
    print("\n".join(table_lines(judged)))


if __name__ == "__main__":
    sys.exit(run_program("character_confidence.py", parse_args, compare))
