"""Rendering the word of (seed, index): text, face, layout, geometry, ink, photograph."""

from __future__ import annotations

from dataclasses import dataclass

import cv2
import numpy as np
from numpy.typing import NDArray

from mms_ocr.rendering.backgrounds import BackgroundImages, make_background
from mms_ocr.rendering.camera import take_photograph
from mms_ocr.rendering.faces import CAP_HEIGHT, FontFace
from mms_ocr.rendering.fonts import FontCollection
from mms_ocr.rendering.geometry import draw_geometry, fit
from mms_ocr.rendering.ink import lay_ink
from mms_ocr.rendering.layout import TextLayout, lay_out
from mms_ocr.rendering.settings import RenderSettings
from mms_ocr.rendering.shaping import needs_shaping
from mms_ocr.rendering.words import TextSource

_CONTENT, _LOOK = 0, 1  # random streams; the text does not depend on the difficulty
_ATTEMPTS = 100  # to draw a text that a font can draw
_LEAST_WIDTH = 12  # pixels of the widest image for each character of the longest text
_LARGEST_CANVAS = 32_000  # pixels; OpenCV's maps end at 2**15
_PAD = round(0.7 * CAP_HEIGHT)  # room on the canvas for margins and neighbours


@dataclass(frozen=True)
class RenderedWord:
    """A rendered word with its exact annotations.

    Attributes:
        text: The text.
        image: ``(H, W, 3)`` uint8 BGR.
        clean: The same before light, obstacles, blur, noise and compression.
        coverage: ``(H, W)`` uint8, how much of each pixel is covered by the text's ink (255: all).
        char_boxes: ``(n, 4)`` float32 ``[x, y, w, h]`` around the ink of each character, in pixels
            of the image; a space has no area.
        font: File name of the font.
    """

    text: str
    image: NDArray
    clean: NDArray
    coverage: NDArray
    char_boxes: NDArray[np.float32]
    font: str

    @property
    def mask(self) -> NDArray:
        """Mask ``(H, W)`` uint8, 1 where ink covers at least half of the pixel.

        Outlines and shadows are not ink; an obstacle in front of the text does not change the mask.
        """
        return (self.coverage >= 128).astype(np.uint8)


def generator_for(seed: int, index: int, stream: int = 0) -> np.random.Generator:
    """Return the generator of a sample: Philox keyed by (seed, index)."""
    counter = np.array([0, 0, 0, stream], np.uint64)
    key = np.array([seed, index], np.uint64)
    return np.random.Generator(np.random.Philox(counter=counter, key=key))


class WordRenderer:
    """Renders the word of an index; the same (seed, index) always gives the same sample.

    Args:
        fonts: The fonts.
        source: Draws the texts.
        settings: The look of words; by default that of difficulty 0.5.
        seed: From 0 to 2**64 - 1.
        images: Images for backgrounds.

    Raises:
        ValueError: No font can draw a word, or it is too long for the widest image.
    """

    def __init__(
        self,
        fonts: FontCollection,
        source: TextSource,
        settings: RenderSettings | None = None,
        seed: int = 0,
        images: BackgroundImages | None = None,
    ) -> None:
        if not 0 <= seed < 2**64:
            raise ValueError(f"seed is {seed!r}; give an integer from 0 to 2**64 - 1")
        self.fonts = fonts
        self.source = source
        self.settings = settings or RenderSettings()
        self.seed = seed
        self.images = images
        _check_words(fonts, source)
        if source.longest * _LEAST_WIDTH > self.settings.max_width:
            raise ValueError(
                f"{source.name}: a text of {source.longest} characters does not fit into "
                f"max_width={self.settings.max_width:g} pixels; give max_width="
                f"{source.longest * _LEAST_WIDTH} or a smaller max_length"
            )

    def content(self, index: int) -> tuple[str, FontFace]:
        """Draw text and face of an index; texts that no font can draw are drawn again.

        Raises:
            ValueError: No font can draw any of 100 texts.
        """
        rng = generator_for(self.seed, index, _CONTENT)
        for _ in range(_ATTEMPTS):
            text = self.source.draw(rng)
            face = self.fonts.draw(rng, text)
            if face is None:
                continue
            # Fonts without lower case show capitals, and so does the label.
            seen = text.upper() if face.unicase else text
            if not face.lacking(seen):
                return seen, face
        raise ValueError(
            f"word {index} of seed {self.seed}: of {_ATTEMPTS} texts, such as {text[:60]!r}, none "
            f"can be drawn with one of the {len(self.fonts)} fonts; give fonts with more characters"
        )

    def render(self, index: int) -> RenderedWord:
        """Render the sample of an index."""
        text, face = self.content(index)
        return self.compose(generator_for(self.seed, index, _LOOK), text, face)

    def compose(self, rng: np.random.Generator, text: str, face: FontFace) -> RenderedWord:
        """Render a text in a face, with all settings drawn from ``rng``.

        Raises:
            ValueError: The text leaves no ink or does not fit into the widest image.
        """
        settings = self.settings
        layout = _set_text(rng, face, text, settings)
        with_neighbours = rng.random() < settings.neighbours
        canvas, origin = _canvas_for(layout)
        layout.draw(canvas, *origin)
        neighbours = None
        if with_neighbours:
            neighbours = np.zeros_like(canvas)
            self._draw_neighbours(rng, neighbours, layout, origin, face)
        geometry = draw_geometry(rng, layout, origin, settings)
        points, owners = ink_points(layout, origin)
        geometry, size, scale = fit(rng, geometry, points, text, settings)
        if scale < 0.6:  # bilinear interpolation would miss pixels of the canvas
            canvas = cv2.GaussianBlur(canvas, (0, 0), 0.3 / scale)
        coverage = geometry.warp(canvas, size)
        if neighbours is not None:
            neighbours = geometry.warp(neighbours, size)
            if not neighbours.any():
                neighbours = None
        text_height = CAP_HEIGHT * scale
        picture = make_background(rng, size[1], size[0], settings, self.images)
        lay_ink(rng, picture, coverage, neighbours, text_height, settings)
        clean = (picture + np.float32(0.5)).astype(np.uint8)
        image = take_photograph(rng, clean, text_height, settings)
        boxes = char_boxes(geometry.forward(points), owners, len(text))
        return RenderedWord(text, image, clean, coverage, boxes, face.path.name)

    def _draw_neighbours(
        self,
        rng: np.random.Generator,
        canvas: NDArray,
        layout: TextLayout,
        origin: tuple[int, int],
        face: FontFace,
    ) -> None:
        """Draw other words before, after, above or below, mostly outside of the image."""
        left, top, right, bottom = layout.bounds()
        for side in range(4):
            if rng.random() < 0.55:
                continue
            text = self.source.draw(rng)
            if not all(map(face.can_draw, text)):
                continue
            other = lay_out(face, text)
            other_left, other_top, other_right, other_bottom = other.bounds()
            gap = round(CAP_HEIGHT * (0.1 + 0.35 * rng.random()))
            slide = round((right - left) * (rng.random() - 0.5))
            x, y = [
                (left - gap - other_right, 0),
                (right + gap - other_left, 0),
                (left + slide, top - gap - other_bottom),
                (left + slide, bottom + gap - other_top),
            ][side]
            other.draw(canvas, origin[0] + x, origin[1] + y)


def _check_words(fonts: FontCollection, source: TextSource) -> None:
    if fonts.able("".join(form for word in source.words for form in source.forms(word))):
        return
    affected = [word for word in source.words if not any(map(fonts.able, source.forms(word)))]
    if affected:
        forms = [form for word in affected for form in source.forms(word)]
        lacking = fonts.lacking(sorted(set("".join(forms)))) or sorted(set(forms[0]))
        codes = " ".join(f"U+{ord(char):04X}" for char in lacking[:20] if needs_shaping(char))
        raise ValueError(
            f"{source.name}: {len(affected)} of {len(source.words)} words cannot be drawn with any "
            f"of the {len(fonts)} fonts (first: {affected[0][:60]!r}; characters: "
            f"{''.join(lacking)[:20]!r}); add a font that has them or leave these words out"
            + f"; marks and right-to-left or joined scripts are never drawn: {codes}"
            * bool(codes)
        )


def _set_text(
    rng: np.random.Generator, face: FontFace, text: str, settings: RenderSettings
) -> TextLayout:
    low, high = settings.spacing
    # Small values are more common: most text is set with the spacing of its face.
    spacing = high * rng.random() ** 3 if rng.random() < 0.7 else low * rng.random()
    shifts = None
    if settings.jitter:
        shifts = rng.standard_normal(len(text)) * (settings.jitter * rng.random() ** 2)
    return lay_out(face, text, spacing, shifts)


def _canvas_for(layout: TextLayout) -> tuple[NDArray, tuple[int, int]]:
    """Create an empty canvas around the text, and return the first pen position on it."""
    left, top, right, bottom = layout.bounds()
    if right - left + 2 * _PAD > _LARGEST_CANVAS:
        raise ValueError(
            f"text {layout.text[:60]!r} with {len(layout.text)} characters does not fit: set in "
            f"capitals {CAP_HEIGHT} pixels high it is {right - left} pixels wide; shorten it"
        )
    canvas = np.zeros((bottom - top + 2 * _PAD, right - left + 2 * _PAD), np.uint8)
    return canvas, (_PAD - left, _PAD - top)


def ink_points(
    layout: TextLayout, origin: tuple[int, int]
) -> tuple[NDArray[np.float32], NDArray[np.int64]]:
    """Return points ``(n, 2)`` around the ink of all characters, and their characters' indices."""
    parts, owners = [], []
    for index, (glyph, position) in enumerate(zip(layout.glyphs, layout.positions.tolist())):
        if glyph.coverage.size:
            rim = glyph.rim
            corner = np.array([position[0] + origin[0], position[1] + origin[1]], np.float32)
            parts.append(rim + corner)
            owners.append(np.full(len(rim), index))
    return np.concatenate(parts), np.concatenate(owners)


def char_boxes(
    points: NDArray[np.float32], owners: NDArray[np.int64], count: int
) -> NDArray[np.float32]:
    """Compute ``(count, 4)`` ``[x, y, w, h]`` around the points of each owner, which are in order.

    Without points, a box has no area, where the box before it ends.
    """
    boxes = np.full((count, 4), np.nan, np.float32)
    starts = np.flatnonzero(np.diff(owners, prepend=-1))
    boxes[owners[starts], :2] = np.minimum.reduceat(points, starts)
    boxes[owners[starts], 2:] = np.maximum.reduceat(points, starts)
    for index in np.flatnonzero(np.isnan(boxes[:, 0])):
        boxes[index] = boxes[index - 1, [2, 1, 2, 1]] if index else np.zeros(4)
    boxes[:, 2:] -= boxes[:, :2]
    return boxes
