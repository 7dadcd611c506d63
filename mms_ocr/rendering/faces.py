"""Fonts: which characters a face can draw, and its glyphs as arrays."""

from __future__ import annotations

import os
import string
from collections.abc import Iterable
from dataclasses import dataclass
from functools import cached_property
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray
from PIL import Image, ImageDraw, ImageFont

from mms_ocr.rendering.shaping import needs_shaping

CAP_HEIGHT = 44  # pixels of a capital letter on the canvas from which words are warped
_LETTERS_AND_DIGITS = string.ascii_letters + string.digits
# Fonts of matplotlib with symbols where ASCII letters or punctuation belong (TeX encodings).
_SYMBOL_FONTS = ("cmex10", "cmmi10", "cmsy10")
_LETTERS_ONLY_FONTS = ("cmb10", "cmr10", "cmss10", "cmti10", "cmtt10")
_NOT_IN_ANY_FONT = "\U0010fffe"


@dataclass(frozen=True)
class Glyph:
    """A character drawn by a face at :data:`CAP_HEIGHT`.

    Attributes:
        coverage: ``(h, w)`` uint8, the ink cropped to its bounding box; ``(0, 0)`` for a space.
        left: Pixels from the pen to the first column of ink.
        top: Pixels from the baseline down to the first row of ink (negative above it).
        advance: Pixels by which the pen moves.
    """

    coverage: NDArray[np.uint8]
    left: int
    top: int
    advance: float

    @cached_property
    def rim(self) -> NDArray[np.int16]:
        """Corners ``(n, 2)`` (x, y) of the first and last inked pixel of each row and column."""
        ink = self.coverage > 0
        parts = []
        for lines, swap in ((ink, False), (ink.T, True)):
            used = lines.any(axis=1).nonzero()[0]
            first = lines[used].argmax(axis=1)
            last = lines.shape[1] - lines[used][:, ::-1].argmax(axis=1)
            for across in (first, last):
                for along in (used, used + 1):
                    pair = (along, across) if swap else (across, along)
                    parts.append(np.stack(pair, 1))
        return np.unique(np.concatenate(parts), axis=0).astype(np.int16)


class FontFace:
    """One face of a font file, with its glyphs cached.

    Each character is drawn once to check it: it is missing if it leaves no ink, or the same ink as
    a character that no font has.

    Attributes:
        unicase: Whether lower-case letters look like capitals.
        is_text_font: Whether it has letters and digits.

    Raises:
        ValueError: FreeType cannot read the file or draw its letters.
    """

    def __init__(self, path: str | os.PathLike[str]) -> None:
        self.path = Path(path)
        try:
            family, _ = self._load(16).getname()
        except OSError as error:
            raise ValueError(f"{self.path}: not a font that FreeType can read ({error})") from error
        self.family: str = family or self.path.stem
        self._glyphs: dict[str, Glyph] = {}
        self._kerning: dict[str, float] = {}
        self._drawable: dict[str, bool] = {}
        self.unicase = False
        try:
            self.is_text_font = self._looks_like_text()
        except OSError as error:  # of a damaged outline
            raise ValueError(f"{self.path}: its letters cannot be drawn ({error})") from error

    def __repr__(self) -> str:
        return f"FontFace({self.path.name!r})"

    def __getstate__(self) -> dict[str, Any]:
        # FreeType faces cannot be pickled, and glyphs are drawn faster than sent.
        state = {name: value for name, value in self.__dict__.items() if name != "font"}
        return {**state, "_glyphs": {}, "_kerning": {}}

    def _load(self, size: float) -> ImageFont.FreeTypeFont:
        # The basic layout engine draws the same everywhere; raqm depends on the machine.
        return ImageFont.truetype(
            str(self.path), max(1, round(size)), layout_engine=ImageFont.Layout.BASIC
        )

    @cached_property
    def font(self) -> ImageFont.FreeTypeFont:
        """The face at the size where a capital letter is :data:`CAP_HEIGHT` high."""
        trial = self._load(64)
        heights = [box[3] - box[1] for box in map(trial.getbbox, "HEx") if box[3] > box[1]]
        cap_height = heights[0] if heights else 44
        return self._load(min(max(64 * CAP_HEIGHT / cap_height, 16), 160))

    def _looks_like_text(self) -> bool:
        if self.path.stem in _SYMBOL_FONTS:
            return False
        if not all(map(self.can_draw, string.ascii_uppercase + string.digits)):
            return False
        capitals = {self.glyph(letter).coverage.tobytes() for letter in string.ascii_uppercase}
        if len(capitals) < len(string.ascii_uppercase) - 2:
            return False  # placeholder fonts draw one box for every letter
        lower = [letter for letter in "abdeghnqrt" if self.can_draw(letter)]
        self.unicase = sum(map(self._looks_like_capital, lower)) * 2 > len(lower) or not lower
        return True

    def _looks_like_capital(self, letter: str) -> bool:
        small, large = self.glyph(letter).coverage, self.glyph(letter.upper()).coverage
        size = (large.shape[1], large.shape[0])
        resized = np.asarray(Image.fromarray(small).resize(size)) > 127
        other = large > 127
        union = int((resized | other).sum())
        return bool(union) and int((resized & other).sum()) / union > 0.85

    def can_draw(self, character: str) -> bool:
        """Return whether the face has the character and may draw it alone (:func:`needs_shaping`).

        A space is always true, another blank never is.
        """
        known = self._drawable.get(character)
        if known is None:
            known = self._drawable[character] = self._check(character)
        return known

    def _check(self, character: str) -> bool:
        if character == " ":
            return True
        if needs_shaping(character):
            return False
        if self.path.stem in _LETTERS_ONLY_FONTS and character not in _LETTERS_AND_DIGITS:
            return False
        try:
            ink = self.glyph(character).coverage
        except OSError:  # a damaged outline
            if character in _LETTERS_AND_DIGITS:
                raise
            return False
        return bool(ink.any()) and not np.array_equal(ink, self.glyph(_NOT_IN_ANY_FONT).coverage)

    def lacking(self, characters: Iterable[str]) -> list[str]:
        """Return the characters that the face cannot draw, each once, in order."""
        return [char for char in dict.fromkeys(characters) if not self.can_draw(char)]

    def glyph(self, character: str) -> Glyph:
        """Return the drawn character, from the cache if it was drawn before."""
        glyph = self._glyphs.get(character)
        if glyph is None:
            glyph = self._glyphs[character] = self._draw(character)
        return glyph

    def _draw(self, character: str) -> Glyph:
        left, top, right, bottom = (
            round(edge) for edge in self.font.getbbox(character, anchor="ls")
        )
        # With a margin of one pixel: some fonts draw outside of their bounding box.
        left, top, right, bottom = left - 1, top - 1, right + 1, bottom + 1
        canvas = Image.new("L", (right - left, bottom - top))
        ImageDraw.Draw(canvas).text((-left, -top), character, 255, self.font, anchor="ls")
        coverage = np.asarray(canvas)
        rows, columns = coverage.any(axis=1).nonzero()[0], coverage.any(axis=0).nonzero()[0]
        advance = float(self.font.getlength(character))
        if not len(rows):
            return Glyph(np.zeros((0, 0), np.uint8), 0, 0, advance)
        first_row, first_column = int(rows[0]), int(columns[0])
        ink = coverage[first_row : rows[-1] + 1, first_column : columns[-1] + 1].copy()
        return Glyph(ink, left + first_column, top + first_row, advance)

    def kerning(self, pair: str) -> float:
        """Return by how many pixels the second character of a pair moves away from the first."""
        kerning = self._kerning.get(pair)
        if kerning is None:
            alone = self.glyph(pair[0]).advance + self.glyph(pair[1]).advance
            kerning = self._kerning[pair] = float(self.font.getlength(pair)) - alone
        return kerning
