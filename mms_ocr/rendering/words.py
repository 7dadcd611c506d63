"""Texts to render: words of a list or file, lines of several words, and random strings."""

from __future__ import annotations

import os
import re
import string
import unicodedata
from collections.abc import Iterable, Sequence
from functools import lru_cache
from importlib import resources
from pathlib import Path

import numpy as np

from mms_ocr.rendering.shaping import needs_shaping

CASES = ("keep", "lower", "upper", "title", "mixed")
_PUNCTUATION = "!\"#$%&'()*+,-./:;<=>?@[\\]^_`{|}~"
_COMMON_PUNCTUATION = ".,-'&!?:/$%#()+@\""
_LONGEST_RANDOM = 12  # characters of a random string
# The first letter behind the start, a space or a hyphen; none where a digit comes before it.
_FIRST_LETTER = re.compile(r"(?:(?<=^)|(?<=[\s-]))[^\w\s-]*[^\W\d_]")
_MIXED_CASES = (("lower", 0.3), ("title", 0.62), ("upper", 1.0))


@lru_cache(maxsize=1)
def embedded_words() -> tuple[str, ...]:
    """Return the common English words of the package, in lower case."""
    text = resources.files(__package__).joinpath("words.txt").read_text(encoding="utf-8")
    return tuple(text.split())


def read_words(path: str | os.PathLike[str]) -> list[str]:
    """Read the non-empty lines of a UTF-8 text file, composed, without surrounding white space.

    Raises:
        FileNotFoundError: The file does not exist.
        ValueError: It is not UTF-8 text or has no word.
    """
    path = Path(path)
    if not path.is_file():
        raise FileNotFoundError(f"{path}: no such word file; give a text file with one word a line")
    try:
        # Not by splitlines, which treats more characters as line ends.
        lines = path.read_text(encoding="utf-8-sig").split("\n")
    except UnicodeDecodeError as error:
        raise ValueError(
            f"{path}: not UTF-8 text ({error.reason} at byte {error.start})"
        ) from error
    words = [compose(line.strip()) for line in lines if line.strip()]
    if not words:
        raise ValueError(f"{path}: holds no word; give a text file with one word a line")
    return words


def compose(text: str) -> str:
    """Compose letters and the marks that follow them, if Unicode has one character for both."""
    return unicodedata.normalize("NFC", text)


def random_string(rng: np.random.Generator, max_length: int = _LONGEST_RANDOM) -> str:
    """Draw a random string: digits, letters of one or both cases, all of ASCII, prices."""
    length = 1 + int(rng.random() ** 1.4 * max_length)
    kind = rng.random()
    for end, pool in _RANDOM_POOLS:
        if kind < end:
            return _choose(rng, pool, length)
    return _pattern(rng)[:max_length]


# Characters of random strings, and the cumulative probability of each kind.
_RANDOM_POOLS = (
    (0.25, string.digits),
    (0.4, string.ascii_uppercase),
    (0.5, string.ascii_lowercase),
    (0.62, string.ascii_letters),
    (0.76, string.ascii_uppercase + string.digits),
    (0.86, string.ascii_letters + string.digits + _PUNCTUATION),
)
# 0: a digit, A: a capital; other characters are literal.
_PATTERNS = (
    "$0", "$00", "$0.00", "$00.00", "00%", "00:00", "00.00", "000-0000", "(000)", "00/00", "#00",
    "0000", "AA-0000", "A00", "AAA 000", "+00", "0,000", "'00", "No.0", "0000th", "A&A", "A.A.",
    "0+0", "00-00", "@AAAA", "00/0/00",
)  # fmt: skip
_POOLS = {"0": string.digits, "A": string.ascii_uppercase}


def _pattern(rng: np.random.Generator) -> str:
    pattern = _PATTERNS[int(rng.integers(len(_PATTERNS)))]
    return "".join(_choose(rng, _POOLS[c], 1) if c in _POOLS else c for c in pattern)


def _choose(rng: np.random.Generator, pool: str, length: int) -> str:
    return "".join(pool[index] for index in rng.integers(len(pool), size=length))


class TextSource:
    """Draws texts: words, lines of words, and random strings.

    Args:
        words: The path of a text file with one word (or text line) a line, or the words, composed
            (NFC); by default the embedded words.
        random_string_share: Share of the texts that are random strings, in [0, 1].
        case: ``'keep'``, ``'lower'``, ``'upper'``, ``'title'``, or ``'mixed'`` to draw one; by
            default ``'mixed'`` for the embedded words and ``'keep'`` for others.
        words_per_line: Minimum and maximum number of words of one text.
        max_length: Maximum number of characters of a text.
        punctuation: Probability that an embedded word gets a mark before or after.

    Raises:
        FileNotFoundError: The word file does not exist.
        ValueError: The words are empty or too long, or a setting is out of range.
    """

    def __init__(
        self,
        words: str | os.PathLike[str] | Iterable[str] | None = None,
        random_string_share: float = 0.3,
        case: str | None = None,
        words_per_line: Sequence[int] = (1, 1),
        max_length: int = 32,
        punctuation: float = 0.06,
    ) -> None:
        if not 0 <= random_string_share <= 1:
            raise ValueError(f"random_string_share is {random_string_share!r}; give 0 to 1")
        if case is not None and case not in CASES:
            raise ValueError(f"case is {case!r}; give one of {', '.join(CASES)}")
        fewest, most = words_per_line
        if not 1 <= fewest <= most:
            raise ValueError(
                f"words_per_line is {words_per_line!r}; give (fewest, most), from 1 up"
            )
        if max_length < 1:
            raise ValueError(f"max_length is {max_length!r}; give at least 1")
        self.words, self.name = _collect(words)
        too_long = [word for word in self.words if len(word) > max_length]
        if too_long:
            raise ValueError(
                f"{self.name}: {len(too_long)} of {len(self.words)} words are longer than "
                f"max_length={max_length} (first: {too_long[0][:60]!r}); raise max_length or "
                "shorten them"
            )
        embedded = words is None
        self.random_string_share = random_string_share
        self.case = case or ("mixed" if embedded else "keep")
        self.fewest, self.most = int(fewest), int(most)
        self.max_length = max_length
        self.punctuation = punctuation if embedded else 0.0

    @property
    def longest(self) -> int:
        """Maximum number of characters of a text."""
        longest = max(max(len(w), len(w.upper()), len(w.lower())) for w in self.words)
        longest += self.punctuation > 0
        if self.most > 1:
            longest = (longest + 1) * self.most - 1
        if self.random_string_share:
            longest = max(longest, _LONGEST_RANDOM)
        return min(longest, self.max_length)

    def draw(self, rng: np.random.Generator) -> str:
        """Draw a text of at most ``max_length`` characters."""
        if rng.random() < self.random_string_share:
            return random_string(rng, min(_LONGEST_RANDOM, self.max_length)).strip()
        case = _draw_case(rng) if self.case == "mixed" else self.case  # the same for the whole line
        text = self._word(rng, case)
        for _ in range(int(rng.integers(self.fewest, self.most + 1)) - 1):
            longer = f"{text} {self._word(rng, case)}"
            if len(longer) > self.max_length:
                break
            text = longer
        return text

    def _word(self, rng: np.random.Generator, case: str) -> str:
        word = self.words[int(rng.integers(len(self.words)))]
        word = self._in_case(word, case)
        if self.punctuation and rng.random() < self.punctuation and len(word) < self.max_length:
            mark = _COMMON_PUNCTUATION[int(rng.integers(len(_COMMON_PUNCTUATION)))]
            word = word + mark if rng.random() < 0.75 else mark + word
        return word

    def forms(self, word: str) -> list[str]:
        """Return the word in every case in which it may be drawn."""
        cases = [name for name, _ in _MIXED_CASES] if self.case == "mixed" else [self.case]
        return [self._in_case(word, case) for case in cases]

    def _in_case(self, word: str, case: str) -> str:
        changed = compose(change_case(word, case))
        # Some letters become two: a capital ß is SS, and a small İ an i with a mark.
        fits = len(changed) <= self.max_length and not any(map(needs_shaping, changed))
        return changed if fits else word


def _draw_case(rng: np.random.Generator) -> str:
    draw = rng.random()
    return next(name for name, end in _MIXED_CASES if draw < end)


def change_case(word: str, case: str) -> str:
    """Return the word in lower, upper or title case; any other name leaves it unchanged.

    In title case each part between spaces or hyphens begins with a capital, after any punctuation
    (``Twenty-One``, ``'Twas``). Capitals become small (``3rd``), mixed cases stay (``McDonald``).
    """
    if case == "title":
        lowered = word.lower() if word.isupper() else word
        return _FIRST_LETTER.sub(lambda match: match[0].title(), lowered)
    return {"lower": word.lower, "upper": word.upper}.get(case, lambda: word)()


def _collect(words: str | os.PathLike[str] | Iterable[str] | None) -> tuple[Sequence[str], str]:
    """Return words, and what to call them in messages."""
    if words is None:
        return embedded_words(), "embedded words"
    if isinstance(words, (str, os.PathLike)):
        return read_words(words), str(words)
    composed = [compose(word.strip()) for word in words]
    if not any(composed):
        raise ValueError("words is an empty list; give at least one word")
    if not all(composed):
        raise ValueError(f"words[{composed.index('')}] is empty; leave empty words out")
    return composed, "words"
