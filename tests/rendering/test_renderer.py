"""Rendered words: exact masks and boxes, contrast, and texts that cannot be rendered."""

import hashlib
import os
import subprocess
import sys
from pathlib import Path

import cv2
import numpy as np
import pytest
from PIL import Image, ImageDraw

from mms_ocr.rendering import (
    FontCollection,
    RenderSettings,
    TextSource,
    WordRenderer,
    generator_for,
)
from mms_ocr.rendering.colors import luma
from mms_ocr.rendering.faces import CAP_HEIGHT
from mms_ocr.rendering.geometry import Bend, Geometry, homography, translation
from mms_ocr.rendering.layout import TextLayout, lay_out
from mms_ocr.rendering.renderer import ink_points

GEOMETRIES = {
    "identity": Geometry((0, 0), np.eye(3)),
    "plane": Geometry((150, 60), translation(160, 80) @ homography(0.9, 1, 0.2, 8, 8e-4, 1e-3)),
    "arc": Geometry((150, 60), translation(160, 90), Bend("arc", 170.0)),
    "wave": Geometry((150, 60), translation(160, 90), Bend("wave", 8.0, 150.0, 1.0)),
}
SIZE = (360, 180)


@pytest.fixture(scope="module")
def fonts() -> FontCollection:
    return FontCollection()


def _renderer(fonts: FontCollection, difficulty: float = 0.5, **overrides) -> WordRenderer:
    return WordRenderer(fonts, TextSource(), RenderSettings.at(difficulty, **overrides))


def _canvas(layout: TextLayout, origin: tuple[int, int]) -> np.ndarray:
    canvas = np.zeros((130, 340), np.uint8)
    layout.draw(canvas, *origin)
    return canvas


def _letters_alone(layout: TextLayout, origin: tuple[int, int]) -> list[np.ndarray]:
    return [
        _canvas(TextLayout(char, (glyph,), position[None]), origin)
        for char, glyph, position in zip(layout.text, layout.glyphs, layout.positions)
    ]


def test_layout_is_what_pillow_sets(dejavu):
    layout = lay_out(dejavu, "AVfly, To")
    canvas = _canvas(layout, (20, 70))
    whole = Image.new("L", (340, 130))
    ImageDraw.Draw(whole).text((20, 70), "AVfly, To", 255, dejavu.font, anchor="ls")
    # Pillow keeps fractions of a pixel between letters, so each may be off by one.
    ours, theirs = np.flatnonzero(canvas.any(0)), np.flatnonzero(np.asarray(whole).any(0))
    assert abs(ours[0] - theirs[0]) <= 1
    assert abs(ours[-1] - theirs[-1]) <= 2
    assert (
        cv2.matchTemplate(canvas, np.asarray(whole)[10:120, 10:330], cv2.TM_CCOEFF_NORMED).max()
        > 0.9
    )


def test_spacing_and_shifts_move_letters(dejavu):
    plain, wide = lay_out(dejavu, "abc"), lay_out(dejavu, "abc", 0.5, np.array([0, 0.25, -0.25]))
    moved = wide.positions - plain.positions
    assert moved.tolist() == [[0, 0], [22, 11], [44, -11]]  # 44 pixels are one unit
    assert CAP_HEIGHT == 44


@pytest.mark.parametrize("name", GEOMETRIES)
@pytest.mark.parametrize("spacing", [-0.25, 0.1])
def test_mask_is_the_union_of_letters_drawn_alone(dejavu, name, spacing):
    layout = lay_out(dejavu, "Rj/Wo", spacing)  # tight: letters overlap
    geometry = GEOMETRIES[name]
    mask = geometry.warp(_canvas(layout, (60, 75)), SIZE) >= 128
    alone = [geometry.warp(ink, SIZE) >= 128 for ink in _letters_alone(layout, (60, 75))]
    union = np.any(alone, axis=0)
    if name == "identity":
        np.testing.assert_array_equal(mask, union)
    else:
        # Where two letters touch, half of a pixel may be covered by both together.
        assert not (union & ~mask).any()
        assert (mask & ~union).sum() <= 0.01 * union.sum()


@pytest.mark.parametrize("name", GEOMETRIES)
def test_boxes_hold_the_ink_of_each_letter_and_no_more(dejavu, name):
    layout, geometry = lay_out(dejavu, "gE(j:"), GEOMETRIES[name]
    points, owners = ink_points(layout, (60, 75))
    moved = geometry.forward(points)
    for index, ink in enumerate(_letters_alone(layout, (60, 75))):
        rows, columns = geometry.warp(ink, SIZE).nonzero()
        left, top = moved[owners == index].min(axis=0)
        right, bottom = moved[owners == index].max(axis=0)
        ink_box = [columns.min(), rows.min(), columns.max() + 1, rows.max() + 1]
        if name == "identity":
            assert [left, top, right, bottom] == ink_box
        else:  # bilinear fetching spreads ink over less than a pixel more
            assert left - 1.1 <= ink_box[0] <= left + 1
            assert top - 1.1 <= ink_box[1] <= top + 1
            assert right - 1 <= ink_box[2] <= right + 1.1
            assert bottom - 1 <= ink_box[3] <= bottom + 1.1


def test_boxes_of_rendered_words_hold_their_ink(fonts):
    renderer = _renderer(fonts, neighbours=0.9)
    for index in range(60):
        word = renderer.render(index)
        rows, columns = word.mask.nonzero()
        left, top = word.char_boxes[:, :2].min(axis=0)
        right, bottom = (word.char_boxes[:, :2] + word.char_boxes[:, 2:]).max(axis=0)
        assert left - 0.5 <= columns.min()
        assert columns.max() + 0.5 <= right
        assert top - 0.5 <= rows.min()
        assert rows.max() + 0.5 <= bottom
        # All of the text is inside the picture.
        height, width = word.mask.shape
        assert min(left, top) >= -0.5
        assert right <= width + 0.5
        assert bottom <= height + 0.5


def test_plain_words_are_two_colors_where_the_mask_says(fonts):
    renderer = _renderer(fonts, 0, contrast=(0.3, 0.4))
    for index in range(40):
        word = renderer.render(index)
        ink = word.clean[word.coverage == 255].astype(float)
        ground = word.clean[word.coverage == 0].astype(float)
        assert ink.std(axis=0).max() == ground.std(axis=0).max() == 0
        contrast = abs(luma(ink[None]) - luma(ground[None]))
        assert 0.295 <= contrast <= 0.405
        np.testing.assert_array_equal(word.image, word.clean)
        assert word.image.shape[0] == 48


def test_contrast_to_the_mean_background_lies_in_the_range(fonts):
    renderer = _renderer(
        fonts, 1, contrast=(0.35, 0.45), outline=0, shadow=0, emboss=0, neighbours=0, ink_gradient=0
    )
    contrasts = []
    for index in range(60):
        word = renderer.render(index)
        ink, ground = word.coverage == 255, word.coverage == 0
        if ink.sum() > 30:
            contrasts.append(abs(luma(word.clean[ink][None]) - luma(word.clean[ground][None])))
    # The background behind the ink is not seen, so single words lie a little off.
    assert 0.33 <= np.median(contrasts) <= 0.47
    assert np.mean(np.abs(np.array(contrasts) - 0.4) < 0.15) > 0.9


def test_difficulty_removes_detail(fonts):
    def likeness(difficulty: float) -> float:
        words = map(_renderer(fonts, difficulty).render, range(80))
        errors = [np.abs(w.image.astype(float) - w.clean).mean() for w in words]
        return float(np.mean(errors))

    likenesses = [likeness(difficulty) for difficulty in (0, 0.25, 0.5, 1)]
    assert likenesses[0] == 0
    assert likenesses == sorted(likenesses)


@pytest.mark.parametrize("difficulty", [0, 0.5, 1])
def test_every_text_and_look_can_be_rendered(fonts, difficulty):
    source = TextSource(random_string_share=0.5, words_per_line=(1, 6))
    renderer = WordRenderer(fonts, source, RenderSettings.at(difficulty), seed=2**64 - 1)
    for index in range(80):
        word = renderer.render(index + 2**40)
        height, width = word.image.shape[:2]
        assert 8 <= height <= 64
        assert 1 <= width <= 1024
        assert len(word.char_boxes) == len(word.text) <= 32
        assert np.isfinite(word.char_boxes).all()
        assert word.mask.any()


def test_single_marks_keep_their_size(dejavu, fonts):
    renderer = _renderer(fonts, 0)
    for text in "-.'_|:":
        word = renderer.compose(generator_for(0, 0), text, dejavu)
        assert word.mask.any()
        width, height = word.char_boxes[0, 2:]
        assert min(width / word.mask.shape[1], height / word.mask.shape[0]) < 0.5, text


def test_spaces_have_no_area(dejavu, fonts):
    word = _renderer(fonts, 0).compose(generator_for(0, 0), "a b", dejavu)
    assert word.char_boxes[1, 2:].tolist() == [0, 0]
    assert word.char_boxes[0, 0] < word.char_boxes[1, 0] <= word.char_boxes[2, 0]


def test_labels_match_the_drawn_text(make_font, dejavu):
    capitals = {small: small.upper() for small in "abcdefghijklmnopqrstuvwxyz"}
    path = make_font(
        "Capitals", "".join(capitals) + "ABCDEFGHIJKLMNOPQRSTUVWXYZ0123456789", capitals
    )
    renderer = WordRenderer(FontCollection(str(path)), TextSource(["word"], 0.0))
    assert renderer.render(0).text == "WORD"


def test_texts_that_do_not_fit(dejavu, fonts):
    long = "W" * 60
    with pytest.raises(ValueError, match=r"text of 60 characters does not fit into max_width=200"):
        WordRenderer(fonts, TextSource([long], max_length=60), RenderSettings(max_width=200))
    narrow = WordRenderer(fonts, TextSource(["a"], 0.0), RenderSettings(max_width=100))
    with pytest.raises(ValueError, match=r"with 60 characters does not fit: .*max_width=100 its"):
        narrow.compose(generator_for(0, 0), long, dejavu)
    with pytest.raises(ValueError, match=r"with 2000 characters does not fit: set in capitals"):
        _renderer(fonts).compose(generator_for(0, 0), "W" * 2000, dejavu)


def test_texts_that_cannot_be_drawn(dejavu, fonts, make_font):
    with pytest.raises(ValueError, match=r"text 'a日': DejaVuSans\.ttf cannot draw '日'"):
        _renderer(fonts).compose(generator_for(0, 0), "a日", dejavu)
    with pytest.raises(ValueError, match="text '  ' leaves no ink"):
        _renderer(fonts).compose(generator_for(0, 0), "  ", dejavu)
    basic = "ABCDEFGHIJKLMNOPQRSTUVWXYZ0123456789"
    few = FontCollection(
        [str(make_font("Plus", basic + "+")), str(make_font("Minus", basic + "-"))]
    )
    # Each character is in one of the fonts, but the word is in none.
    with pytest.raises(ValueError, match=r"words: 1 of 2 words cannot be drawn .*'A\+-'"):
        WordRenderer(few, TextSource(["A+", "A+-"]))
    # Lines and random strings that no font has are drawn again.
    renderer = WordRenderer(few, TextSource(["A+", "A-"], 0.5, words_per_line=(1, 1)))
    for index in range(60):
        text, face = renderer.content(index)
        assert not face.lacking(text)


def test_samples_do_not_depend_on_the_processor():
    # What a processor without the newer vector instructions computes, asked of both libraries.
    poor = {
        "OPENCV_CPU_DISABLE": "AVX512-SKX,AVX2,FMA3,AVX,FP16,SSE4.2,SSE4.1",
        "NPY_DISABLE_CPU_FEATURES": "X86_V3 X86_V4 AVX2 FMA3 AVX512F AVX512_SKX AVX512_ICL",
    }
    program = f"import sys; sys.path.insert(0, {str(Path(__file__).parent)!r})\n"
    program += "import test_renderer; print(test_renderer.digest_of_samples())"
    run = subprocess.run(
        [sys.executable, "-W", "ignore", "-c", program],
        env={**os.environ, **poor}, capture_output=True, text=True, check=True,
    )  # fmt: skip
    assert run.stdout.strip() == digest_of_samples()


def digest_of_samples() -> str:
    renderer = WordRenderer(FontCollection(), TextSource(), RenderSettings.at(0.9))
    digest = hashlib.sha256()
    for index in range(120):
        word = renderer.render(index)
        for part in (word.image, word.clean, word.coverage, word.char_boxes):
            digest.update(part.tobytes())
    return digest.hexdigest()
