"""Labels too long to be learned, left out of large data sets and counted."""

from __future__ import annotations

import itertools

from mmcv.transforms import BaseTransform

from mms_ocr.datasets.sources import BrokenImageError
from mms_ocr.registry import TRANSFORMS


@TRANSFORMS.register_module()
class SkipLongLabels(BaseTransform):
    """Leave out words that are too long for the recognizer, in place of ending the run.

    Such a word counts as a broken image: the next one is read in its place, the log names it, and
    more than the share ``max_broken`` of the data set is an error. Empty labels are left out too.

    Args:
        max_columns: Most characters of a label, with one more between two equal ones: what a CTC
            head of so many columns can spell.

    Raises:
        ValueError: It is less than 1.
    """

    def __init__(self, max_columns: int = 32) -> None:
        if max_columns < 1:
            raise ValueError(f"max_columns of SkipLongLabels must be positive, got {max_columns}")
        self.max_columns = max_columns

    def transform(self, results: dict) -> dict:
        """Hand ``results`` on.

        Raises:
            BrokenImageError: The label is empty or too long.
        """
        text = results["text"]
        columns = len(text) + sum(one == other for one, other in itertools.pairwise(text))
        if not 0 < columns <= self.max_columns:
            raise BrokenImageError(
                f"{results['img_path']}: the label {text!r} fills {columns} columns, not 1 to "
                f"{self.max_columns}"
            )
        return results

    def __repr__(self) -> str:
        return f"{type(self).__name__}(max_columns={self.max_columns})"
