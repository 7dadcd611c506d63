"""Labels that a decoder cannot learn, found before they are cut or dropped in silence."""

from __future__ import annotations

from typing import Protocol

__all__ = ["check_label"]


class CharacterSet(Protocol):
    """What is needed of MMOCR's ``Dictionary``."""

    dict: list[str]
    unknown_idx: int | None


def check_label(text: str, dictionary: CharacterSet, max_length: int, source: str) -> None:
    """Refuse a label that MMOCR would shorten or change without a word.

    Args:
        text: The label, in the letter case that is trained.
        dictionary: Its characters; with an unknown token, other characters are learnt as that.
        max_length: Most characters that leave room for the tokens around them.
        source: Which image it is the label of, for the message.

    Raises:
        ValueError: The label is empty, too long, or has characters outside the dictionary.
    """
    if not text:
        raise ValueError(
            f"{source}: the label is empty; leave the image out, or give it the text that it shows"
        )
    if len(text) > max_length:
        raise ValueError(
            f"{source}: the label {text!r} has {len(text)} characters, and max_seq_len of the "
            f"decoder leaves room for {max_length}; raise it, or leave the image out"
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
