"""Labels that a decoder cannot learn, found before they are cut or dropped in silence."""

from __future__ import annotations

import itertools
from collections.abc import Callable, Sequence
from typing import Any, Protocol


class CharacterSet(Protocol):
    """What is needed of MMOCR's ``Dictionary``."""

    dict: list[str]
    unknown_idx: int | None


def check_labels(
    data_samples: Sequence[Any],
    dictionary: CharacterSet,
    letter_case: str,
    check_size: Callable[[str, str], None],
) -> None:
    """Refuse the labels of a batch that MMOCR would shorten or change without a word.

    Args:
        data_samples: MMOCR's, with ``gt_text.item``.
        dictionary: See :func:`check_label`.
        letter_case: Of the loss: ``'upper'``, ``'lower'`` or ``'unchanged'``.
        check_size: Is given a label and its source, and raises ValueError for one that is too long.

    Raises:
        ValueError: An image has no label, or one that cannot be learned.
    """
    for sample in data_samples:
        source = sample.get("img_path", "an image without img_path")
        text = sample.gt_text.get("item") if "gt_text" in sample else None
        if text is None:
            raise ValueError(f"{source}: no label to learn (gt_text.item)")
        if letter_case in ("upper", "lower"):
            text = getattr(text, letter_case)()
        check_label(text, dictionary, source)
        check_size(text, source)


def check_label(text: str, dictionary: CharacterSet, source: str) -> None:
    """Refuse a label that is empty or outside the dictionary.

    Args:
        text: The label, in the letter case that is trained.
        dictionary: Its characters; with an unknown token, other characters are learned as that.
        source: Which image it is the label of, for the message.

    Raises:
        ValueError: The label is empty, or has characters outside the dictionary.
    """
    if not text:
        raise ValueError(
            f"{source}: the label is empty; leave the image out, or give it the text that it shows"
        )
    if dictionary.unknown_idx is not None:
        return
    outside = sorted(set(text) - set(dictionary.dict))
    if outside:
        listed = " ".join(f"{character!r} (U+{ord(character):04X})" for character in outside)
        raise ValueError(
            f"{source}: the label {text!r} has characters outside the dictionary: {listed}; add "
            "them to its dict_file, set with_unknown=True, or leave the image out"
        )


def check_length(text: str, max_length: int, source: str) -> None:
    """Refuse a label of more than ``max_length`` characters, as an autoregressive decoder must.

    Raises:
        ValueError: The label is too long.
    """
    if len(text) > max_length:
        raise ValueError(
            f"{source}: the label {text!r} has {len(text)} characters, and max_seq_len of the "
            f"decoder leaves room for {max_length}; raise it, or leave the image out"
        )


def check_width(text: str, tokens: Sequence[int], num_columns: int, source: str) -> None:
    """Refuse a label that a CTC head of so many columns cannot spell.

    Args:
        text: The label, for the message.
        tokens: Its tokens; different characters may share the unknown token.
        num_columns: Of the head.
        source: Which image it is the label of, for the message.

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
    """Fewest columns that can spell a word: one a token, and a blank between equal ones."""
    return len(tokens) + sum(one == other for one, other in itertools.pairwise(tokens))
