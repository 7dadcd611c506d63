"""From words read and their labels to the figures of a benchmark. Nothing here needs MMOCR."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any

#: What counts as the right word, by the name that MMOCR's ``WordMetric`` gives it.
PROTOCOLS = {
    "word_acc_ignore_case_symbol": "letters and digits only, ignoring case",
    "word_acc_ignore_case": "all characters, ignoring case",
    "word_acc": "all characters, case-sensitive",
}


@dataclass(frozen=True)
class ReadWord:
    """A word image of a data set, and what was read in it.

    Attributes:
        index: Of the image in the data set.
        label: What stands there.
        text: What was read.
        confidence: In [0, 1], or None where the model gives none.
        path: Where the image is from.
    """

    index: int
    label: str
    text: str
    confidence: float | None = None
    path: str = ""


@dataclass
class SetScore:
    """The figures of one test set.

    Attributes:
        name: What the set is called in options.
        title: What it is called in tables.
        size: Images in the set.
        images: Images that were read and counted, each once.
        correct: Words read rightly, by protocol.
        expected: How many images papers count; None where nothing is known.
        in_average: Whether it counts in the mean of the sets.
        path: Where it is.
    """

    name: str
    title: str
    size: int
    images: int
    correct: dict[str, int] = field(default_factory=dict)
    expected: int | None = None
    in_average: bool = True
    path: str = ""

    @property
    def skipped(self) -> int:
        """Images that could not be read; they count neither as right nor as wrong."""
        return self.size - self.images

    @property
    def accuracy(self) -> dict[str, float]:
        """Share of the images read of which the word is right, by protocol."""
        return {name: count / self.images for name, count in self.correct.items()}


def score_sets(
    words: Iterable[ReadWord],
    sets: Sequence[Mapping[str, Any]],
    max_broken: float,
    judge: Callable[[Sequence[ReadWord]], Mapping[str, Sequence[bool]]],
) -> list[SetScore]:
    """Count the words of every set.

    An image that was read more than once (to fill up the last batch of a distributed run, or in
    place of a broken neighbour) counts once.

    Args:
        words: All words read, in any order.
        sets: The fields of :class:`~mms_ocr.datasets.benchmark.BenchmarkSet`.
        max_broken: The largest share of a set, in [0, 1], that may be missing.
        judge: Tells for every protocol which words are right.

    Raises:
        ValueError: More than that share of a set was not read, or an index is in no set.
    """
    by_index = {word.index: word for word in words}
    scores = []
    for one in sets:
        indices = range(one["start"], one["stop"])
        read = [by_index.pop(index) for index in indices if index in by_index]
        broken = len(indices) - len(read)
        if broken > max_broken * len(indices) or not read:
            raise ValueError(
                f"test set {one['name']}: {broken:,} of {len(indices):,} images of {one['path']} "
                f"could not be read, more than max_broken={max_broken:g} allows; the log tells why"
            )
        scores.append(
            SetScore(
                one["name"],
                one["title"],
                len(indices),
                len(read),
                {name: sum(right) for name, right in judge(read).items()},
                one["expected"],
                one["in_average"],
                one["path"],
            )
        )
    if by_index:
        raise ValueError(f"{len(by_index)} images were read that no set holds: {min(by_index)}, …")
    return scores


def mean_of_sets(scores: Sequence[SetScore]) -> dict[str, float]:
    """The plain mean of the accuracies of those sets that count in it, by protocol."""
    counted = [score.accuracy for score in scores if score.in_average]
    names = counted[0] if counted else {}
    return {name: sum(one[name] for one in counted) / len(counted) for name in names}


def of_all_images(scores: Sequence[SetScore]) -> dict[str, float]:
    """Share of all images of those sets that count in the mean, taken together, by protocol."""
    counted = [score for score in scores if score.in_average]
    images = sum(score.images for score in counted)
    names = counted[0].correct if counted else {}
    return {name: sum(score.correct[name] for score in counted) / images for name in names}
