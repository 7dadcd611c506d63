"""Word accuracy of the test sets of a benchmark, as scores, a table and JSON, without MMOCR."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any

#: Protocols of comparing words, named as in MMOCR's ``WordMetric``.
PROTOCOLS = {
    "word_acc_ignore_case_symbol": "letters and digits only, ignoring case",
    "word_acc_ignore_case": "all characters, ignoring case",
    "word_acc": "all characters, case-sensitive",
}


@dataclass(frozen=True)
class ReadWord:
    """Prediction for a word image: index in the data set, label, text, confidence and path.

    The confidence is in [0, 1], or None if the model has none.
    """

    index: int
    label: str
    text: str
    confidence: float | None = None
    path: str = ""


@dataclass
class SetScore:
    """Results on a test set; see :class:`~mms_ocr.datasets.benchmark.BenchmarkSet`."""

    name: str
    title: str
    size: int  # images of the set
    images: int  # that were read, each counted once
    correct: dict[str, int] = field(default_factory=dict)  # correct words, by protocol
    expected: int | None = None
    in_average: bool = True
    path: str = ""

    @property
    def skipped(self) -> int:
        """Unreadable images, which are not counted."""
        return self.size - self.images

    @property
    def accuracy(self) -> dict[str, float]:
        """Share of correct words, by protocol."""
        return {name: count / self.images for name, count in self.correct.items()}


def score_sets(
    words: Iterable[ReadWord],
    sets: Sequence[Mapping[str, Any]],
    max_broken: float,
    judge: Callable[[Sequence[ReadWord]], Mapping[str, Sequence[bool]]],
) -> list[SetScore]:
    """Count the correct words of every set.

    An image that was read more than once (to fill the last batch of a distributed run, or in place
    of a broken one) counts once.

    Args:
        words: All predictions, in any order.
        sets: The fields of :class:`~mms_ocr.datasets.BenchmarkDataset`'s sets.
        max_broken: Largest share of a set, in [0, 1], that may be missing.
        judge: Returns, by protocol, which words are correct.

    Raises:
        ValueError: Too many images of a set are missing, or an index is in no set.
    """
    by_index = {word.index: word for word in words}
    scores = []
    for fields in sets:
        indices = range(fields["start"], fields["stop"])
        read = [by_index.pop(index) for index in indices if index in by_index]
        broken = len(indices) - len(read)
        if broken > max_broken * len(indices) or not read:
            raise ValueError(
                f"test set {fields['name']}: {broken:,} of {len(indices):,} images of "
                f"{fields['path']} could not be read, more than max_broken={max_broken:g} allows; "
                "see the log"
            )
        correct = {name: sum(words) for name, words in judge(read).items()}
        names = ("name", "title", "expected", "in_average", "path")
        common = {name: fields[name] for name in names}
        scores.append(SetScore(size=len(indices), images=len(read), correct=correct, **common))
    if by_index:
        raise ValueError(f"{len(by_index)} images were read that no set holds: {min(by_index)}, …")
    return scores


def mean_of_sets(scores: Sequence[SetScore]) -> dict[str, float]:
    """Compute the mean accuracy of the sets with ``in_average``, by protocol."""
    counted = [score.accuracy for score in scores if score.in_average]
    names = counted[0] if counted else {}
    return {name: sum(accuracy[name] for accuracy in counted) / len(counted) for name in names}


def of_all_images(scores: Sequence[SetScore]) -> dict[str, float]:
    """Compute the accuracy over all images of the sets with ``in_average``, by protocol."""
    counted = [score for score in scores if score.in_average]
    images = sum(score.images for score in counted)
    names = counted[0].correct if counted else {}
    return {name: sum(score.correct[name] for score in counted) / images for name in names}


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


def markdown_table(rows: Sequence[Sequence[str]], text_columns: Sequence[int] = (0,)) -> str:
    """Format a Markdown table; the first row is its head.

    Columns other than ``text_columns`` are aligned to the right.
    """
    columns = range(len(rows[0]))
    widths = [max(len(row[column]) for row in rows) for column in columns]
    rule = ["-" * widths[i] if i in text_columns else "-" * (widths[i] - 1) + ":" for i in columns]
    lines = []
    for row in [rows[0], rule, *rows[1:]]:
        cells = [
            row[i].ljust(widths[i]) if i in text_columns else row[i].rjust(widths[i])
            for i in columns
        ]
        lines.append(f"| {' | '.join(cells)} |")
    return "\n".join(lines)


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
