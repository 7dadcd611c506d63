"""Skipping words whose labels are too long for the recognizer."""

from __future__ import annotations

import itertools

from mms_ocr.datasets.transforms.base import WordTransform
from mms_ocr.registry import TRANSFORMS
from mms_ocr.utils.errors import BrokenImageError


def count_columns(text: str) -> int:
    """Count the columns of a CTC head that a text fills: one more between equal neighbors."""
    return len(text) + sum(left == right for left, right in itertools.pairwise(text))


@TRANSFORMS.register_module()
class SkipLongLabels(WordTransform):
    """Skip words that are empty or too long for the recognizer; they count as broken images.

    Args:
        max_columns: Columns of a CTC head; a character takes one, two equal neighbors one more.

    Raises:
        ValueError: ``max_columns`` is less than 1.
    """

    def __init__(self, max_columns: int = 32) -> None:
        if max_columns < 1:
            raise ValueError(f"max_columns of SkipLongLabels must be positive, got {max_columns}")
        self.max_columns = max_columns

    def transform(self, results: dict) -> dict:
        """Return ``results``; BrokenImageError if the label is empty or too long."""
        text = results["text"]
        columns = count_columns(text)
        if not 0 < columns <= self.max_columns:
            raise BrokenImageError(
                f"{results['img_path']}: the label {text!r} fills {columns} columns, not 1 to "
                f"{self.max_columns}"
            )
        return results
