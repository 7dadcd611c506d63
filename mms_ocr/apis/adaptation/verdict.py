"""The result of an adaptation in sentences."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

# Fewer test words are few, and the sentences say so.
_FEW_WORDS = 200


def percent(share: float) -> str:
    """Format a share in percent."""
    return f"{100 * share:.1f}"


def interval(values: Mapping[str, float]) -> str:
    """Format a share and its interval in percent."""
    return f"{percent(values['value'])} ({percent(values['low'])}–{percent(values['high'])})"


def points(values: Mapping[str, float]) -> str:
    """Format a difference and its interval in points."""
    return f"{_points(values['value'])} ({_points(values['low'])} to {_points(values['high'])})"


def _points(share: float) -> str:
    return f"{round(100 * share, 1) + 0.0:+.1f}"  # adding 0 turns -0.0 into 0.0


def verdict(figures: Mapping[str, Any]) -> list[str]:
    """Say how well the written reader reads, what pretraining added, and why it was written."""
    sentences = [_headline(figures), *_certainty(figures), _pretraining(figures)]
    tested = [reader for reader in figures["readers"] if reader["accuracy"]]
    if len(tested) > 1:
        title = next(r["title"] for r in tested if r["name"] == figures["written"])
        sentences.append(
            f'Of {len(tested)} readers, "{title}" was written, since it has the most test words '
            "right. Since these words chose it, its figure is a little optimistic."
        )
    if figures["words"] < _FEW_WORDS:
        sentences.append(
            f"{figures['words']:,} test words are few: see the intervals. Four times as many make "
            "them half as wide."
        )
    empty = figures["without_letters"]
    if empty and figures["headline"]["protocol"] != "word_acc":
        sentences.append(
            f"Test words without any letter or digit: {empty:,}. They count as right where a "
            "reader reads no letter and no digit either."
        )
    return sentences


def _shares(figures: Mapping[str, Any]) -> dict[str, float]:
    """Return the share of correct words of every reader that was tested."""
    protocol = figures["headline"]["protocol"]
    return {
        reader["name"]: reader["accuracy"][protocol]["value"]
        for reader in figures["readers"]
        if reader["accuracy"]
    }


def _difference(figures: Mapping[str, Any], reader: str, than: str) -> dict[str, Any] | None:
    protocol = figures["headline"]["protocol"]
    for each in figures["differences"]:
        if (each["reader"], each["than"]) == (reader, than):
            found: dict[str, Any] = each[protocol]
            return found
    return None


def _headline(figures: Mapping[str, Any]) -> str:
    shares = _shares(figures)
    share = percent(shares[figures["written"]])
    words = f"{figures['words']:,} test word{'s' if figures['words'] > 1 else ''}"
    if figures["written"] == "bundled":
        others = [each for name, each in shares.items() if name != "bundled"]
        best = f": the best of them reads {percent(max(others))}%" if others else ""
        return (
            f"The bundled reader reads {share}% of {words}, and no reader that was trained here "
            f"reads more{best}. It is written as it was."
        )
    compared = f", the bundled one {percent(shares['bundled'])}%" if "bundled" in shares else ""
    return f"Your reader reads {share}% of {words}{compared}."


def _certainty(figures: Mapping[str, Any]) -> list[str]:
    difference = _difference(figures, figures["written"], "bundled")
    if difference is None:
        return []
    added = f"That is a difference of {_in_words(difference)}"
    return [f"{added}." if difference["is_clear"] else f"{added}, which may be chance."]


def _pretraining(figures: Mapping[str, Any]) -> str:
    difference = _difference(figures, "finetune", "finetune_plain")
    if difference is None:
        return (
            "What masked pretraining on your crops added was not measured, since fine-tuning "
            "without it was not done."
        )
    added = _in_words(difference)
    if not difference["is_clear"]:
        return (
            f"Masked pretraining on your crops made a difference of {added} to fine-tuning, which "
            "may be chance."
        )
    effect = "improved" if difference["value"] > 0 else "harmed"
    return f"Masked pretraining on your crops {effect} fine-tuning: {added}."


def _in_words(difference: Mapping[str, float]) -> str:
    value, low, high = (_points(difference[name]) for name in ("value", "low", "high"))
    return f"{value} points (95% interval {low} to {high})"
