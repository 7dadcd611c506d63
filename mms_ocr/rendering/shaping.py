"""Characters that cannot be drawn one by one, from left to right."""

from __future__ import annotations

import unicodedata
from functools import cache

_RIGHT_TO_LEFT = ("R", "AL")
# Marks that are set on other characters, and control, invisible and half (surrogate) characters.
_CATEGORIES = ("Mn", "Mc", "Me", "Cc", "Cf", "Cs", "Zl", "Zp")
# Letters and symbols that change their shape beside one another, without any mark.
_JOINING = (
    (0x1100, 0x11FF),  # Hangul Jamo, of which normalization composes what it can
    (0xA960, 0xA97F),
    (0xD7B0, 0xD7FF),
    (0x1800, 0x18AF),  # Mongolian
    (0x11660, 0x1167F),
    (0xA840, 0xA87F),  # Phags-pa
    (0x1F1E6, 0x1F1FF),  # letters of flags
    (0x1F3FB, 0x1F3FF),  # skin tones
)


@cache
def needs_shaping(character: str) -> bool:
    """Return whether a character is of a right-to-left or joined script, a mark, or invisible.

    Its glyph, drawn after the one before, is not what people write.
    """
    return (
        unicodedata.bidirectional(character) in _RIGHT_TO_LEFT
        or unicodedata.category(character) in _CATEGORIES
        or any(first <= ord(character) <= last for first, last in _JOINING)
    )
