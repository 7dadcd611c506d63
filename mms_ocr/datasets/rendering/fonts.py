"""Font files: finding them, knowing what they can draw, and their glyphs as arrays."""

from __future__ import annotations

import hashlib
import os
import string
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from functools import cached_property
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray
from PIL import Image, ImageDraw, ImageFont

__all__ = ["CAP_HEIGHT", "FontCollection", "FontFace", "Glyph"]

CAP_HEIGHT = 44  # pixels of a capital letter in the drawings from which words are warped
_SUFFIXES = (".ttf", ".otf", ".ttc")
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
        left: pixels from the pen to the first column of ink.
        top: pixels from the base line down to the first row of ink (negative above it).
        advance: pixels by which the pen moves.
    """

    coverage: NDArray[np.uint8]
    left: int
    top: int
    advance: float

    @cached_property
    def rim(self) -> NDArray[np.float32]:
        """``(n, 2)`` corners of the first and last inked pixel of each row and column; x, y."""
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
        return np.unique(np.concatenate(parts), axis=0).astype(np.float32)


class FontFace:
    """One face of a font file, with its glyphs cached.

    What it can draw is found out once for each character, by drawing it: a character is lacking if
    it leaves no ink or the same ink as a character that no font has.

    Attributes:
        path: the font file.
        family: family name as the file gives it.
        style: style name as the file gives it.
        unicase: whether lower-case letters look like the capitals.
    """

    def __init__(self, path: str | os.PathLike[str]) -> None:
        self.path = Path(path)
        try:
            family, style = self._load(16).getname()
        except OSError as error:
            raise ValueError(f"{self.path}: not a font that FreeType can read ({error})")
        self.family: str = family or self.path.stem
        self.style: str = style or ""
        self._forget()
        self._drawable: dict[str, bool] = {}
        self._letters_only = self.path.stem in _LETTERS_ONLY_FONTS
        self.unicase = False
        self.is_text_font = self._looks_like_text()

    def __repr__(self) -> str:
        return f"FontFace({self.path.name!r})"

    def __getstate__(self) -> dict[str, Any]:
        # FreeType faces cannot travel to another process, and glyphs are cheaper drawn than sent.
        dropped = ("_font", "_missing", "_glyphs", "_kerning")
        return {name: value for name, value in self.__dict__.items() if name not in dropped}

    def __setstate__(self, state: dict[str, Any]) -> None:
        self.__dict__.update(state)
        self._forget()

    def _forget(self) -> None:
        self._font: ImageFont.FreeTypeFont | None = None
        self._missing: bytes | None = None
        self._glyphs: dict[str, Glyph] = {}
        self._kerning: dict[str, float] = {}

    def _load(self, size: float) -> ImageFont.FreeTypeFont:
        # The basic layout engine draws the same everywhere; raqm depends on the machine.
        return ImageFont.truetype(
            str(self.path), max(1, round(size)), layout_engine=ImageFont.Layout.BASIC
        )

    @property
    def font(self) -> ImageFont.FreeTypeFont:
        """The face at the size where a capital letter is :data:`CAP_HEIGHT` high."""
        if self._font is None:
            trial = self._load(64)
            heights = [box[3] - box[1] for box in map(trial.getbbox, "HEx") if box[3] > box[1]]
            cap_height = heights[0] if heights else 44
            self._font = self._load(min(max(64 * CAP_HEIGHT / cap_height, 16), 160))
        return self._font

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
        """Whether the face has the character. A space always passes, another blank never does."""
        known = self._drawable.get(character)
        if known is None:
            known = self._drawable[character] = self._check(character)
        return known

    def _check(self, character: str) -> bool:
        if character == " ":
            return True
        if self._letters_only and character not in _LETTERS_AND_DIGITS:
            return False
        if self._missing is None:
            self._missing = self._fingerprint(_NOT_IN_ANY_FONT)
        ink = self.glyph(character).coverage
        return bool(ink.any()) and self._fingerprint(character) != self._missing

    def _fingerprint(self, character: str) -> bytes:
        coverage = self.glyph(character).coverage
        return repr(coverage.shape).encode() + coverage.tobytes()

    def lacking(self, characters: Iterable[str]) -> list[str]:
        """The characters that the face cannot draw, each once, in order."""
        return [char for char in dict.fromkeys(characters) if not self.can_draw(char)]

    def glyph(self, character: str) -> Glyph:
        """The drawn character, from the cache where it was drawn before."""
        glyph = self._glyphs.get(character)
        if glyph is None:
            glyph = self._glyphs[character] = self._draw(character)
        return glyph

    def _draw(self, character: str) -> Glyph:
        left, top, right, bottom = (
            round(edge) for edge in self.font.getbbox(character, anchor="ls")
        )
        # A pixel of room on each side: some fonts draw past the box that they announce.
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
        """Pixels by which the second character of a pair moves towards (-) or off (+) the first."""
        kerning = self._kerning.get(pair)
        if kerning is None:
            alone = self.glyph(pair[0]).advance + self.glyph(pair[1]).advance
            kerning = self._kerning[pair] = float(self.font.getlength(pair)) - alone
        return kerning


class FontCollection:
    """Text fonts from folders, with a weight for each family.

    Every family is drawn with the same probability unless ``weights`` says otherwise, however many
    faces it has. Fonts without letters and digits are left out, see :attr:`skipped`.

    Args:
        folders: folders (searched through) or font files; ``'matplotlib'`` stands for the fonts
            that matplotlib ships, ``'system'`` for those installed on the machine. ``None`` means
            ``'matplotlib'``.
        part: ``'train'`` or ``'val'`` keeps the families whose name hashes into that part, so that
            fonts of one part are never seen in the other; ``None`` keeps all.
        val_share: share of the families in ``'val'``.
        weights: weight by family name; families not named have weight 1, a weight of 0 leaves out.

    Raises:
        FileNotFoundError: if a folder or file does not exist.
        ValueError: if no text font is found, a font cannot be read, or a weight is wrong.
    """

    def __init__(
        self,
        folders: str | Sequence[str] | None = None,
        part: str | None = None,
        val_share: float = 0.2,
        weights: Mapping[str, float] | None = None,
    ) -> None:
        if part not in (None, "train", "val"):
            raise ValueError(f"font_part is {part!r}; give 'train', 'val' or None")
        names = ["matplotlib"] if folders is None else folders
        names = [names] if isinstance(names, (str, os.PathLike)) else list(names)
        self.skipped: list[Path] = []
        self.faces: list[FontFace] = []
        for path in _font_files(names):
            face = FontFace(path)
            if face.is_text_font:
                self.faces.append(face)
            else:
                self.skipped.append(path)
        where = ", ".join(map(str, names))
        if not self.faces:
            found = f"{len(self.skipped)} fonts with symbols only" if self.skipped else "no font"
            raise ValueError(f"{found} in {where}; give a folder with .ttf or .otf text fonts")
        if part is not None:
            self.faces = [
                face for face in self.faces if family_part(face.family, val_share) == part
            ]
        # By name, not by folder, so that the order is the same on every machine.
        self.faces.sort(key=lambda face: (face.family, face.path.name, str(face.path)))
        self._cumulative = self._weigh(dict(weights or {}))
        if not self.faces:
            raise ValueError(f"no font of {where} is in font_part={part!r}; give more families")

    def _weigh(self, weights: dict[str, float]) -> NDArray[np.float64]:
        families = {face.family for face in self.faces}
        unknown = sorted(set(weights) - families)
        if unknown:
            raise ValueError(
                f"font weight for {unknown[0]!r}; there are: {', '.join(sorted(families))}"
            )
        if any(weight < 0 for weight in weights.values()):
            raise ValueError(f"font weights {weights} hold a negative one; give weights >= 0")
        self.faces = [face for face in self.faces if weights.get(face.family, 1) > 0]
        counts = {family: sum(f.family == family for f in self.faces) for family in families}
        shares = [weights.get(face.family, 1) / counts[face.family] for face in self.faces]
        cumulative = np.cumsum(np.array(shares, np.float64))
        return cumulative / cumulative[-1] if len(cumulative) else cumulative

    def __len__(self) -> int:
        return len(self.faces)

    def lacking(self, characters: Iterable[str]) -> list[str]:
        """The characters that none of the faces can draw, each once, in order."""
        return [
            char
            for char in dict.fromkeys(characters)
            if not any(face.can_draw(char) for face in self.faces)
        ]

    def draw(self, rng: np.random.Generator, text: str) -> FontFace:
        """A face that has every character of the text, by weight.

        Raises:
            ValueError: if there is none; names the characters that are lacking.
        """
        characters = set(text)
        for _ in range(20):
            face = self.faces[int(np.searchsorted(self._cumulative, rng.random(), side="right"))]
            if all(map(face.can_draw, characters)):
                return face
        able = [face for face in self.faces if all(map(face.can_draw, characters))]
        if able:
            return able[int(rng.integers(len(able)))]
        lacking = self.lacking(sorted(characters))
        why = f"no font has {', '.join(map(repr, lacking))}" if lacking else "no font has all of it"
        raise ValueError(
            f"text {text!r} cannot be drawn: {why} ({len(self)} fonts asked); "
            "add a font that can draw it or leave the text out"
        )


def family_part(family: str, val_share: float = 0.2) -> str:
    """``'train'`` or ``'val'`` by a hash of the family name: the same on every machine."""
    digest = hashlib.sha256(f"family:{family}".encode()).digest()
    return "val" if int.from_bytes(digest[:8], "big") < val_share * 2**64 else "train"


def _font_files(names: Iterable[str | os.PathLike[str]]) -> list[Path]:
    files: dict[Path, None] = {}
    for name in names:
        if name == "matplotlib":
            import matplotlib

            folder = Path(matplotlib.get_data_path()) / "fonts" / "ttf"
            found = sorted(folder.glob("*.ttf"))
        elif name == "system":
            from matplotlib.font_manager import findSystemFonts

            found = sorted(map(Path, findSystemFonts()))
        else:
            path = Path(name)
            if not path.exists():
                raise FileNotFoundError(f"{path}: no such font folder or file")
            files_below = path.rglob("*") if path.is_dir() else [path]
            found = sorted(file for file in files_below if file.suffix.lower() in _SUFFIXES)
            if path.is_dir() and not found:
                raise ValueError(f"{path}: no .ttf, .otf or .ttc file in this folder or below it")
        files.update(dict.fromkeys(found))
    return list(files)
