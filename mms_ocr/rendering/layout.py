"""Setting a text in one face: the position of each letter, and its ink on a canvas."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from mms_ocr.rendering.faces import CAP_HEIGHT, FontFace, Glyph


@dataclass(frozen=True)
class TextLayout:
    """Letters on a baseline, in pixels to the right of and below the first pen position.

    ``positions`` ``(n, 2)`` are the upper left corners of the ink of each character.
    """

    text: str
    glyphs: tuple[Glyph, ...]
    positions: NDArray[np.int64]

    def boxes(self) -> NDArray[np.float32]:
        """Return ``(n, 4)`` ``[left, top, right, bottom]`` of each character's ink."""
        sizes = np.array([glyph.coverage.shape[::-1] for glyph in self.glyphs], np.int64)
        return np.concatenate([self.positions, self.positions + sizes], 1).astype(np.float32)

    def bounds(self) -> tuple[int, int, int, int]:
        """Return the bounding box of all ink: left, top, right, bottom."""
        boxes = self.boxes()[[glyph.coverage.size > 0 for glyph in self.glyphs]]
        left, top = boxes[:, :2].min(axis=0)
        right, bottom = boxes[:, 2:].max(axis=0)
        return int(left), int(top), int(right), int(bottom)

    def draw(self, canvas: NDArray[np.uint8], x: int, y: int) -> None:
        """Draw the ink on a canvas ``(H, W)``, the first pen at (x, y), cut at its border.

        The stronger ink wins where letters overlap, so the canvas is the union of the letters.
        """
        height, width = canvas.shape
        for glyph, (left, top) in zip(self.glyphs, self.positions.tolist()):
            ink = glyph.coverage
            left, top = left + x, top + y
            right, bottom = left + ink.shape[1], top + ink.shape[0]
            if left < 0 or top < 0 or right > width or bottom > height:
                ink = ink[max(-top, 0) : max(height - top, 0), max(-left, 0) : max(width - left, 0)]
                left, top = max(left, 0), max(top, 0)
                right, bottom = min(right, width), min(bottom, height)
            if ink.size and right > left and bottom > top:
                part = canvas[top:bottom, left:right]
                np.maximum(part, ink, out=part)


def lay_out(
    face: FontFace,
    text: str,
    spacing: float = 0.0,
    shifts: NDArray[np.float64] | None = None,
) -> TextLayout:
    """Set a line of text with the face's own advances and kerning.

    Extra ``spacing`` after each letter, and ``shifts`` ``(n,)`` of letters below the baseline, are
    in capital heights.

    Raises:
        ValueError: The face lacks a character, or the text leaves no ink.
    """
    lacking = face.lacking(text)
    if lacking:
        raise ValueError(f"text {text[:60]!r}: {face.path.name} cannot draw {lacking[0]!r}")
    glyphs = tuple(map(face.glyph, text))
    if not any(glyph.coverage.size for glyph in glyphs):
        raise ValueError(f"text {text[:60]!r} leaves no ink; give at least one visible character")
    positions = np.zeros((len(glyphs), 2), np.int64)
    pen = 0.0
    for index, glyph in enumerate(glyphs):
        if index:
            pen += face.kerning(text[index - 1 : index + 1])
        shift = 0.0 if shifts is None else float(shifts[index]) * CAP_HEIGHT
        positions[index] = round(pen) + glyph.left, round(shift) + glyph.top
        pen += glyph.advance + spacing * CAP_HEIGHT
    return TextLayout(text, glyphs, positions)
