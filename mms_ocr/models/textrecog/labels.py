"""Labels that do not fit a decoder, which MMOCR would shorten or change in silence."""

from __future__ import annotations

import itertools
from collections.abc import Sequence
from typing import Any


def check_labels(
    data_samples: Sequence[Any],
    dictionary: Any,
    letter_case: str,
) -> list[tuple[str, str]]:
    """Check the labels of a batch, and return them, in the letter case, with their sources.

    Args:
        data_samples: MMOCR's, with ``gt_text.item``.
        dictionary: MMOCR's; with an unknown token, characters outside it are trained as that.
        letter_case: Letter case of the loss: ``'upper'``, ``'lower'`` or ``'unchanged'``.

    Raises:
        ValueError: A label is missing or empty, or has characters outside the dictionary.
    """
    labels = []
    for sample in data_samples:
        source = sample.get("img_path", "an image without img_path")
        text = sample.gt_text.get("item") if "gt_text" in sample else None
        if text is None:
            raise ValueError(f"{source}: no label (gt_text.item)")
        if not text:
            raise ValueError(
                f"{source}: the label is empty; leave the image out, or give it the text it shows"
            )
        if letter_case in ("upper", "lower"):
            text = getattr(text, letter_case)()
        outside = sorted(set(text) - set(dictionary.dict))
        if outside and dictionary.unknown_idx is None:
            listed = " ".join(f"{character!r} (U+{ord(character):04X})" for character in outside)
            raise ValueError(
                f"{source}: the label {text!r} has characters outside the dictionary: {listed}; "
                "add them to its dict_file, set with_unknown=True, or leave the image out"
            )
        labels.append((text, source))
    return labels


def columns_needed(tokens: Sequence[int]) -> int:
    """Count the columns that spell a word: one a token, and a blank between equal ones."""
    return len(tokens) + sum(left == right for left, right in itertools.pairwise(tokens))
