"""Lengths of the trainings of an adaptation, so that all of it takes a given time."""

from __future__ import annotations

import math
from collections.abc import Mapping
from dataclasses import dataclass

#: Fewest iterations of a training that change a reader usefully.
LEAST_ITERATIONS = 200
#: Passes over the crops beyond which masked pretraining repeats itself, and words of a fine-tuning.
MAX_PASSES = 1000
MAX_WORDS = 3_000_000
# Share of the training time that masked pretraining gets, and room for the unforeseen.
_PRETRAINING_SHARE = 0.4
_MARGIN = 1.03


@dataclass(frozen=True)
class Pace:
    """Measured speed of a kind of training on this machine, in seconds."""

    start: float  # from the command to the first iteration, and the end
    step: float  # an iteration, with its share of validations and checkpoints

    def seconds(self, iterations: int) -> float:
        """Return the seconds of a training."""
        return self.start + iterations * self.step

    def iterations(self, seconds: float) -> int:
        """Return the iterations that fit into some seconds, 0 at least."""
        return max(0, int((seconds / _MARGIN - self.start) / self.step))


@dataclass(frozen=True)
class Lengths:
    """Iterations of the trainings; without a comparison ``finetune_plain`` is 0."""

    pretrain: int
    finetune: int
    finetune_plain: int


def plan_lengths(
    seconds: float, paces: Mapping[str, Pace], limits: Mapping[str, int], compare: bool
) -> Lengths:
    """Divide seconds between the trainings: two fifths for pretraining, equal fine-tunings.

    ``paces`` and ``limits``, the most iterations, have the keys ``'pretrain'`` and ``'finetune'``.
    What pretraining cannot use, fine-tuning gets.
    """
    pretrain = paces["pretrain"].iterations(seconds * _PRETRAINING_SHARE)
    pretrain = min(pretrain, limits["pretrain"])
    left = seconds - paces["pretrain"].seconds(pretrain) * _MARGIN
    return Lengths(pretrain, *plan_finetuning(left, paces["finetune"], limits["finetune"], compare))


def plan_finetuning(seconds: float, pace: Pace, limit: int, compare: bool) -> tuple[int, int]:
    """Divide seconds between one fine-tuning or two equal ones: iterations of both."""
    length = min(pace.iterations(seconds / (1 + compare)), limit)
    return length, length if compare else 0


def least_seconds(paces: Mapping[str, Pace], compare: bool) -> float:
    """Return the fewest seconds of training in which every training is long enough."""
    shares = {"pretrain": _PRETRAINING_SHARE, "finetune": (1 - _PRETRAINING_SHARE) / (1 + compare)}
    needed = {name: pace.seconds(LEAST_ITERATIONS + 1) for name, pace in paces.items()}
    return _MARGIN * max(needed[name] / share for name, share in shares.items()) + 1


def is_long_enough(lengths: Lengths) -> bool:
    """Return whether every training has enough iterations."""
    return min(lengths.pretrain, lengths.finetune) >= LEAST_ITERATIONS


def in_hours(seconds: float) -> float:
    """Round seconds up to hundredths of an hour, as ``--hours`` is given."""
    return math.ceil(seconds / 36) / 100
