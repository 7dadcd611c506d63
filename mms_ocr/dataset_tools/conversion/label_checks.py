"""What is found while the labels of a set are gone through: faults, and characters unknown."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterable
from dataclasses import dataclass, field
from typing import Any

_SHOWN = 20


@dataclass
class LabelReport:
    """What was found in the labels of a set.

    Attributes:
        written: Words taken.
        left_out: What was wrong with each word that was left out.
        words_outside: Words with characters outside the dictionary.
        outside: How often each such character stands in them.
        examples: For each such character, one of the labels.
        longest: The longest label.
        dropped: Words left out because of such characters, where that was asked for.
    """

    written: int = 0
    left_out: list[str] = field(default_factory=list)
    words_outside: int = 0
    outside: Counter[str] = field(default_factory=Counter)
    examples: dict[str, str] = field(default_factory=dict)
    longest: str = ""
    dropped: int = 0

    def look_at(self, text: str, characters: frozenset[str] | None) -> bool:
        """Count a label; tells whether all of its characters are in the dictionary."""
        if len(text) > len(self.longest):
            self.longest = text
        if characters is None:
            return True
        outside = [character for character in text if character not in characters]
        if not outside:
            return True
        self.words_outside += 1
        self.outside.update(outside)
        for character in outside:
            self.examples.setdefault(character, text)
        return False

    def to_dict(self) -> dict[str, Any]:
        """Plain JSON data, from which :meth:`from_dict` makes the report again."""
        return {**vars(self), "outside": dict(self.outside)}

    @classmethod
    def from_dict(cls, fields: dict[str, Any]) -> LabelReport:
        """The report that :meth:`to_dict` was asked of."""
        return cls(**{**fields, "outside": Counter(fields["outside"])})


def describe_report(report: LabelReport, dictionary: str | None) -> Iterable[str]:
    """The report in lines for people.

    Args:
        report: What was found.
        dictionary: The dictionary's file; None where none was asked for.
    """
    if report.left_out:
        yield f"left out {len(report.left_out):,} words; the last: {report.left_out[-1]}"
    yield f"longest label: {len(report.longest)} characters ({report.longest!r})"
    if dictionary is None:
        return
    if not report.words_outside:
        yield f"all characters are in {dictionary}"
        return
    kept = f"{report.dropped:,} left out" if report.dropped else "kept"
    yield (
        f"{report.words_outside:,} words have characters outside {dictionary} ({kept}), "
        f"{len(report.outside):,} different ones:"
    )
    for character, count in report.outside.most_common(_SHOWN):
        example = report.examples[character]
        yield f"  {character!r} U+{ord(character):04X}  {count:,} times, as in {example!r}"
    if len(report.outside) > _SHOWN:
        yield f"  … and {len(report.outside) - _SHOWN:,} more"
