"""Labels that a decoder cannot learn, which MMOCR would shorten or change in silence."""

from __future__ import annotations

import itertools
from collections.abc import Callable, Sequence
from typing import Any


def check_labels(
    data_samples: Sequence[Any],
    dictionary: Any,
    letter_case: str,
    check_size: Callable[[str, str], None],
) -> None:
    """Check the labels of a batch.

    Args:
        data_samples: MMOCR's, with ``gt_text.item``.
        dictionary: MMOCR's; with an unknown token, characters outside it are trained as that.
        letter_case: Letter case of the loss: ``'upper'``, ``'lower'`` or ``'unchanged'``.
        check_size: Called with a label and its source; raises ValueError if it is too long.

    Raises:
        ValueError: A label is missing or empty, or has characters outside the dictionary.
    """
    for sample in data_samples:
        source = sample.get("img_path", "an image without img_path")
        text = sample.gt_text.get("item") if "gt_text" in sample else None
        if text is None:
            raise ValueError(f"{source}: no label to learn (gt_text.item)")
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
        check_size(text, source)


def check_length(text: str, max_length: int, source: str) -> None:
    """Check that a label fits an autoregressive decoder.

    Raises:
        ValueError: It has more than ``max_length`` characters.
    """
    if len(text) > max_length:
        raise ValueError(
            f"{source}: the label {text!r} has {len(text)} characters, and max_seq_len of the "
            f"decoder leaves room for {max_length}; raise it, or leave the image out"
        )


def check_width(text: str, tokens: Sequence[int], num_columns: int, source: str) -> None:
    """Check that a CTC head with ``num_columns`` columns can spell the tokens of a label.

    Raises:
        ValueError: The label is too long.
    """
    needed = columns_needed(tokens)
    if needed > num_columns:
        raise ValueError(
            f"{source}: the label {text!r} needs {needed} columns, one a character and one more "
            f"between two equal ones, and the CTC head has {num_columns}; leave the image out, or "
            "use an autoregressive decoder"
        )


def columns_needed(tokens: Sequence[int]) -> int:
    """Count the columns that spell a word: one a token, and a blank between equal ones."""
    return len(tokens) + sum(left == right for left, right in itertools.pairwise(tokens))
