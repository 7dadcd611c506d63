"""What the data of an adaptation are: counts by set, and characters."""

from __future__ import annotations

import json
from collections.abc import Iterator
from dataclasses import asdict, dataclass, field
from pathlib import Path
from typing import Any

from mms_ocr.utils.escaping import printable, to_json, visible
from mms_ocr.utils.files import atomic_write

_FILE = "data/facts.json"
_SHOWN = 3  # messages of broken images
_REASONS = {
    "broken": "broken",
    "repeated": "repeats",
    "contradicting": "the same image with different labels",
    "left_out": "test images or near copies",
    "too_long": "labels too long for the encoder",
    "set_aside": "set aside for the test",
}


@dataclass
class SetFacts:
    """Counts of the images of a set; ``given`` is the sum of all others."""

    paths: list[str] = field(default_factory=list)  # as they were given
    given: int = 0
    broken: int = 0  # unreadable images, and words without a usable label
    repeated: int = 0  # further images of the same pixels
    contradicting: int = 0  # images of the same pixels with different labels
    left_out: int = 0  # of a training set: test images and near copies of them
    too_long: int = 0  # of a training set: labels that the columns cannot spell with CTC
    set_aside: int = 0  # of the labelled set: the test part
    used: int = 0
    median_height: float = 0  # pixels, of the images used
    broken_messages: list[str] = field(default_factory=list)  # the first ones


@dataclass
class DataFacts:
    """Counts of the sets of an adaptation, and what is known of their labels."""

    unlabelled: SetFacts
    labelled: SetFacts
    test: SetFacts
    held_out: bool  # whether the test part was set aside from the labelled words
    new_characters: str  # of training labels, unknown to the reader that is started from
    unknown_test_characters: str  # of test labels, in no training label and unknown to that reader
    distinct_labels: int
    distinct_test_labels: int


def write_facts(folder: Path, facts: DataFacts) -> None:
    """Write the facts into the folder of an adaptation; they mark that its data are complete."""
    atomic_write(folder / _FILE, to_json(asdict(facts)) + "\n", flush=True)


def read_facts(folder: Path) -> DataFacts | None:
    """Read the facts in the folder of an adaptation; None if its data are not complete.

    Raises:
        ValueError: The file is damaged.
    """
    path = folder / _FILE
    if not path.is_file():
        return None
    try:
        content: dict[str, Any] = json.loads(path.read_text(encoding="utf-8"))
        for name in ("unlabelled", "labelled", "test"):
            content[name] = SetFacts(**content[name])
        return DataFacts(**content)
    except (ValueError, TypeError, KeyError, AttributeError) as error:
        raise ValueError(
            f"{path} is damaged ({error}); remove it to prepare the data anew"
        ) from error


def describe(facts: DataFacts) -> list[str]:
    """Describe the data in some lines of text."""
    return list(_lines(facts))


def describe_unused(counts: SetFacts) -> str:
    """Return how many images of a set are not used, by reason: ``'2 broken, 5 repeats'``."""
    reasons = {title: getattr(counts, reason) for reason, title in _REASONS.items()}
    return ", ".join(f"{count:,} {title}" for title, count in reasons.items() if count)


def _lines(facts: DataFacts) -> Iterator[str]:
    for name in ("unlabelled", "labelled", "test"):
        counts: SetFacts = getattr(facts, name)
        source = "set aside from the labelled words" if name == "test" and facts.held_out else ""
        source = source or f"of {counts.given:,} in {', '.join(counts.paths)}"
        yield printable(f"{name}: {counts.used:,} {source}")
        if unused := describe_unused(counts):
            yield f"  not used: {unused}"
        yield from (printable(f"  broken: {text}") for text in counts.broken_messages[:_SHOWN])
        if counts.broken > _SHOWN:
            yield f"  … and {counts.broken - _SHOWN:,} more"
    if facts.unlabelled.left_out or facts.labelled.left_out:
        yield "test images in the training sets and near copies of them: data/left_out.jsonl"
    if new := facts.new_characters:
        yield f"new characters of the training labels: {_spaced(new)}"
    if unknown := facts.unknown_test_characters:
        yield f"characters of the test labels that no reader can know: {_spaced(unknown)}"


def _spaced(characters: str) -> str:
    return " ".join("(space)" if one == " " else visible(one) for one in characters)
