"""From (seed, index) to a rendered word: text, face, layout, geometry, ink, photograph."""

from __future__ import annotations

import math
from dataclasses import dataclass

import cv2
import numpy as np
from numpy.typing import NDArray

from .backgrounds import BackgroundImages, make_background
from .camera import take_photograph
from .faces import CAP_HEIGHT, FontFace
from .fonts import FontCollection
from .geometry import Bend, Geometry, boxes_of_points, homography, translation
from .ink import lay_ink
from .layout import TextLayout, lay_out
from .settings import RenderSettings
from .words import TextSource

__all__ = ["RenderedWord", "WordRenderer", "generator_for"]

_CONTENT, _LOOK = 0, 1  # separate streams, so that the text does not change with the difficulty
_PAD = round(0.7 * CAP_HEIGHT)  # room on the canvas for margins and neighbours


@dataclass(frozen=True)
class RenderedWord:
    """A rendered word and what is known of it.

    Attributes:
        text: what is written.
        image: ``(H, W, 3)`` uint8 BGR, as photographed.
        clean: the same before light, obstacles, blur, noise and compression.
        coverage: ``(H, W)`` uint8, how much of each pixel the text's ink covers (255: all).
        char_boxes: ``(n, 4)`` float32 ``[x, y, w, h]`` round the ink of each character, in pixels
            of the image; a space has no area.
        font: file name of the font.
    """

    text: str
    image: NDArray
    clean: NDArray
    coverage: NDArray
    char_boxes: NDArray[np.float32]
    font: str

    @property
    def mask(self) -> NDArray:
        """``(H, W)`` uint8, 1 where ink covers at least half of the pixel.

        Outlines and shadows are not ink; an obstacle before the text does not change the mask.
        """
        return (self.coverage >= 128).astype(np.uint8)


def generator_for(seed: int, index: int, stream: int = 0) -> np.random.Generator:
    """The generator of a sample: Philox keyed by (seed, index), independent of any other state."""
    counter = np.array([0, 0, 0, stream], np.uint64)
    key = np.array([seed, index], np.uint64)
    return np.random.Generator(np.random.Philox(counter=counter, key=key))


class WordRenderer:
    """Renders the word of an index; the same (seed, index) always gives the same sample.

    Args:
        fonts: the fonts.
        source: draws the texts.
        settings: how words look; those of difficulty 0.5 if ``None``.
        seed: at least 0; other seeds give other words.
        images: images for backgrounds.

    Raises:
        ValueError: if no font can draw the characters of the source's words.
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
        _check_fonts_have(fonts, source)

    def content(self, index: int) -> tuple[str, FontFace]:
        """Text and face of an index, without rendering."""
        rng = generator_for(self.seed, index, _CONTENT)
        text = self.source.draw(rng)
        face = self.fonts.draw(rng, text)
        # Fonts without lower case show capitals, and the label says what is seen.
        return (text.upper() if face.unicase else text), face

    def render(self, index: int) -> RenderedWord:
        """The sample of an index."""
        text, face = self.content(index)
        return self.compose(generator_for(self.seed, index, _LOOK), text, face)

    def compose(self, rng: np.random.Generator, text: str, face: FontFace) -> RenderedWord:
        """Render a text in a face, everything else drawn from ``rng``.

        Raises:
            ValueError: if the text leaves no ink or does not fit into the widest image.
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
        geometry = _draw_geometry(rng, layout, origin, settings)
        points, owners = ink_points(layout, origin)
        geometry, size, scale = _fit(rng, geometry, points, text, settings)
        if scale < 0.6:  # bilinear fetching would miss pixels of the canvas
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
        boxes = _char_boxes(geometry.forward(points), owners, len(text))
        return RenderedWord(text, image, clean, coverage, boxes, face.path.name)

    def _draw_neighbours(
        self,
        rng: np.random.Generator,
        canvas: NDArray,
        layout: TextLayout,
        origin: tuple[int, int],
        face: FontFace,
    ) -> None:
        """Other words of the same sign before, after, above or below; mostly out of sight."""
        left, top, right, bottom = layout.bounds()
        for side in range(4):
            if rng.random() < 0.55:
                continue
            text = self.source.draw(rng)
            if any(not face.can_draw(char) for char in text):
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


def _check_fonts_have(fonts: FontCollection, source: TextSource) -> None:
    lacking = set(fonts.lacking(sorted(set("".join(source.words)))))
    if not lacking:
        return
    affected = [word for word in source.words if not lacking.isdisjoint(word)]
    raise ValueError(
        f"{source.name}: {len(affected)} of {len(source.words)} words hold characters that none of "
        f"the {len(fonts)} fonts has ({' '.join(sorted(lacking)[:20])}; first word: "
        f"{affected[0][:60]!r}); add a font that has them or leave these words out"
    )


def _set_text(
    rng: np.random.Generator, face: FontFace, text: str, settings: RenderSettings
) -> TextLayout:
    low, high = settings.spacing
    # Squared about the middle: most text is set as its face wants it.
    spacing = high * rng.random() ** 3 if rng.random() < 0.7 else low * rng.random()
    shifts = None
    if settings.jitter:
        shifts = rng.standard_normal(len(text)) * (settings.jitter * rng.random() ** 2)
    return lay_out(face, text, spacing, shifts)


def _canvas_for(layout: TextLayout) -> tuple[NDArray, tuple[int, int]]:
    """An empty canvas round the text, and where on it the first pen stands."""
    left, top, right, bottom = layout.bounds()
    canvas = np.zeros((bottom - top + 2 * _PAD, right - left + 2 * _PAD), np.uint8)
    return canvas, (_PAD - left, _PAD - top)


def _draw_geometry(
    rng: np.random.Generator, layout: TextLayout, origin: tuple[int, int], settings: RenderSettings
) -> Geometry:
    """Bend, stretch, shear, rotation and tilt, before the size of the image is known."""
    left, top, right, bottom = layout.bounds()
    width, height = right - left, max(bottom - top, CAP_HEIGHT // 2)
    middle = origin[0] + (left + right) / 2, origin[1] + (top + bottom) / 2
    bend = _draw_bend(rng, width, height, settings) if rng.random() < settings.curve else None
    low, high = (math.log(end) for end in settings.stretch)
    stretch = math.exp(low + (high - low) * rng.random())
    # Long words are not turned so far that their letters get small in the image.
    most = min(settings.rotation, math.degrees(math.atan2(0.8 * height, width * stretch)))
    angle = _signed(rng) * most
    shear = _signed(rng) * settings.shear
    tilt_x = _signed(rng) * settings.perspective / (width * stretch / 2)
    tilt_y = _signed(rng) * settings.perspective / max(height, width / 4)
    return Geometry(middle, homography(stretch, 1.0, shear, angle, tilt_x, tilt_y), bend)


def _signed(rng: np.random.Generator) -> float:
    """In (-1, 1), small values more often than large ones."""
    value = 2 * rng.random() - 1
    return value * abs(value) ** 0.5


def _draw_bend(
    rng: np.random.Generator, width: int, height: int, settings: RenderSettings
) -> Bend | None:
    if settings.bend <= 0:
        return None
    if rng.random() < 0.75:
        # The arc may rise by the text's height at most, and its circle must hold the letters.
        turn = min(settings.bend * (0.3 + 0.7 * rng.random()), 8 * height / width)
        radius = max(width / turn, 2.0 * height)
        return Bend("arc", radius if rng.random() < 0.7 else -radius)
    wavelength = width * (0.7 + rng.random())
    amount = min(settings.bend * 0.25 * height * rng.random(), 0.1 * wavelength)
    return Bend("wave", amount, wavelength, rng.random() * 2 * math.pi)


def _fit(
    rng: np.random.Generator,
    geometry: Geometry,
    points: NDArray[np.float32],
    text: str,
    settings: RenderSettings,
) -> tuple[Geometry, tuple[int, int], float]:
    """Scale and move the text into an image: the map, (width, height), and the scale."""
    moved = geometry.forward(points)
    left, top = moved.min(axis=0).tolist()
    right, bottom = moved.max(axis=0).tolist()
    # A dash or a dot is not blown up to the height of the image.
    for_height = max(0.6 * CAP_HEIGHT - (bottom - top), 0) / 2
    for_width = max(0.4 * CAP_HEIGHT - (right - left), 0) / 2
    left, right, top, bottom = (
        left - for_width, right + for_width, top - for_height, bottom + for_height
    )  # fmt: skip
    low, high = settings.margin
    room = [(low + (high - low) * rng.random()) * (bottom - top) for _ in range(4)]
    left, top, right, bottom = left - room[0], top - room[1], right + room[2], bottom + room[3]
    low, high = settings.height
    height = low * (high / low) ** rng.random()
    scale = min(height / (bottom - top), settings.max_width / (right - left))
    height = scale * (bottom - top)
    if height < 0.5 * low:
        raise ValueError(
            f"text {text[:60]!r} with {len(text)} characters does not fit: in an image of "
            f"max_width={settings.max_width:g} it would be {height:.0f} pixels high, and "
            f"height={settings.height} asks for more; raise max_width or shorten the text"
        )
    size = max(1, round(scale * (right - left))), max(1, round(height))
    fitted = np.diag([scale, scale, 1.0]) @ translation(-left, -top)
    return geometry.then(fitted), size, scale


def ink_points(
    layout: TextLayout, origin: tuple[int, int]
) -> tuple[NDArray[np.float32], NDArray[np.int64]]:
    """Points round the ink of all characters on the canvas, ``(n, 2)``, and whose they are."""
    parts, owners = [], []
    for index, (glyph, position) in enumerate(zip(layout.glyphs, layout.positions.tolist())):
        if glyph.coverage.size:
            rim = glyph.rim
            parts.append(
                rim + np.array([position[0] + origin[0], position[1] + origin[1]], np.float32)
            )
            owners.append(np.full(len(rim), index))
    return np.concatenate(parts), np.concatenate(owners)


def _char_boxes(
    points: NDArray[np.float32], owners: NDArray[np.int64], count: int
) -> NDArray[np.float32]:
    boxes = boxes_of_points(points, owners, count)
    for index in np.flatnonzero(np.isnan(boxes[:, 0])):  # spaces: where the letter before ends
        boxes[index] = boxes[index - 1, [2, 1, 2, 1]] if index else np.zeros(4)
    boxes[:, 2:] -= boxes[:, :2]
    return boxes
