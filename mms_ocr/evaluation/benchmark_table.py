"""Results of a benchmark as a table and as JSON."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

from mms_ocr.evaluation.benchmark_scores import PROTOCOLS, SetScore, mean_of_sets, of_all_images

#: Protocols of the table; JSON has all of them.
TABLE_PROTOCOLS = ("word_acc_ignore_case_symbol", "word_acc")


def benchmark_table(scores: Sequence[SetScore]) -> list[list[str]]:
    """Make the rows of the table, the first of them its head: a column a set, accuracy in %.

    The last two columns are the mean of the sets and the accuracy over all their images. Sets that
    these leave out have a star.
    """
    counted = [score for score in scores if score.in_average]
    titles = [score.title + ("" if score.in_average else "*") for score in scores]
    rows = [["word accuracy, %", *titles, f"mean of {len(counted)} sets", "all images"]]
    for name, numbers in (("images", "images"), ("skipped (unreadable)", "skipped")):
        cells = [f"{getattr(score, numbers):,}" for score in scores]
        total = sum(getattr(score, numbers) for score in counted)
        rows.append([name, *cells, "", f"{total:,}"])
    if not any(score.skipped for score in scores):
        rows.pop()
    means, shares = mean_of_sets(scores), of_all_images(scores)
    for name in TABLE_PROTOCOLS:
        accuracies = [score.accuracy[name] for score in scores]
        accuracies += [means.get(name, 0), shares.get(name, 0)]
        rows.append([PROTOCOLS[name], *(f"{100 * accuracy:.2f}" for accuracy in accuracies)])
    return rows if len(counted) > 1 else [row[:-2] for row in rows]


def benchmark_notes(scores: Sequence[SetScore], missing: Sequence[str] = ()) -> list[str]:
    """Make the notes below the table; ``missing`` are titles of sets that were not tested."""
    notes = []
    if len([score for score in scores if score.in_average]) > 1:
        notes = ["Mean: the plain mean of the sets. All images: the share of all of them together."]
    apart = [score.title for score in scores if not score.in_average]
    if apart:
        notes.append(f"* {', '.join(apart)}: not in the mean, and not in all images.")
    if missing:
        notes.append(f"Left out: {', '.join(missing)}. The mean is not the benchmark's.")
    notes += [
        f"{score.title}: {score.size:,} images here, {score.expected:,} in papers; figures cannot "
        "be compared as they are."
        for score in scores
        if score.expected not in (None, score.size)
    ]
    if any(score.skipped for score in scores):
        notes.append("Skipped images count neither as right nor as wrong.")
    return notes


def markdown_table(rows: Sequence[Sequence[str]]) -> str:
    """Format a Markdown table; the first row is its head."""
    widths = [max(len(row[column]) for row in rows) for column in range(len(rows[0]))]
    lines = []
    for row in rows:
        cells = [row[0].ljust(widths[0])]
        cells += [cell.rjust(width) for cell, width in zip(row[1:], widths[1:])]
        lines.append(f"| {' | '.join(cells)} |")
    rule = ["-" * widths[0], *("-" * (width - 1) + ":" for width in widths[1:])]
    return "\n".join([lines[0], f"| {' | '.join(rule)} |", *lines[1:]])


def benchmark_json(scores: Sequence[SetScore], **facts: Any) -> dict[str, Any]:
    """Collect all results, unrounded, after further ``facts`` such as config and checkpoint."""
    return {
        **facts,
        "protocols": dict(PROTOCOLS),
        "sets": [
            {
                "name": score.name,
                "title": score.title,
                "path": score.path,
                "images": score.images,
                "skipped": score.skipped,
                "images_in_papers": score.expected,
                "in_mean": score.in_average,
                "correct": score.correct,
                "accuracy": score.accuracy,
            }
            for score in scores
        ],
        "mean_of_sets": mean_of_sets(scores),
        "of_all_images": of_all_images(scores),
    }
