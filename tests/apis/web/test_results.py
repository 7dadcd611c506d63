"""What the models of the page make of words, and its HTML."""

import base64
import re

import cv2
import numpy as np
import pytest

from mms_ocr.apis.input_images import InputImage
from mms_ocr.apis.web.inputs import render_examples
from mms_ocr.masking import BlockwiseMask, MultiMask, RandomPatchMask, SpanMask

pytest.importorskip("mmocr")

from mms_ocr.apis.reading import Reading
from mms_ocr.apis.segmenting import SegmentedWord
from mms_ocr.apis.web import cards
from mms_ocr.apis.web.results import STRATEGIES, make_mask_generator


@pytest.fixture(scope="module")
def words():
    return render_examples()


def pictures(html: str) -> list[np.ndarray]:
    """Decode the images that a page holds."""
    found = re.findall(r'<img src="data:image/png;base64,([^"]+)"', html)
    data = [np.frombuffer(base64.b64decode(each), np.uint8) for each in found]
    return [cv2.imdecode(each, cv2.IMREAD_UNCHANGED) for each in data]


def test_words_are_read_as_by_the_reader(page_models, words):
    readings = page_models.read(words)
    expected = page_models.reader([word.image for word in words])
    assert [reading.name for reading in readings] == [word.name for word in words]
    assert [reading.text for reading in readings] == [reading.text for reading in expected]
    assert [reading.text for reading in readings[:3]] == ["Museum", "Harbor", "Platform"]
    html = cards.reading_cards(words, readings)
    assert np.array_equal(pictures(html)[2], words[2].image)
    assert html.count("<article") == 6
    confidence = readings[2].char_confidences[1]
    assert f"<b>l</b><small>{100 * confidence:.0f}</small>" in html


def test_marks_texts_and_names_are_safe():
    word = InputImage('<b>"&', np.zeros((4, 8, 3), np.uint8))
    reading = Reading("x", "<i> a", 0.5, None, (0.95, 0.9, 0.7, 0.59, 0.1))
    html = cards.reading_cards([word], [reading])
    assert "<i>" not in html
    assert "&lt;i&gt; a" in html
    assert "&lt;b&gt;&quot;&amp;" in html
    levels = re.findall('<li class="(.*?)">', html)
    assert levels == ["sure", "sure", "unsure", "doubtful", "doubtful"]
    assert "no text" in cards.reading_cards([word], [Reading("x", "", 0.5)])
    assert "broken" in cards.reading_cards([word], [Reading("x", error="it is broken")])
    assert 'role="alert"' in cards.message_list(["<script>"])
    assert "<script>" not in cards.message_list(["<script>"])
    assert cards.message_list([]) == ""


def test_masks_and_cutouts_are_those_of_the_segmenter(page_models, words):
    (result,) = page_models.segment(words[:1])
    html = cards.segmentation_cards(words[:1], [result])
    image, mask, cutout = pictures(html)
    assert np.array_equal(image, words[0].image)
    assert np.array_equal(mask > 0, result.mask)
    assert 0.02 < result.mask.mean() < 0.6
    assert np.array_equal(cutout, result.cutout())
    assert cutout.shape[2] == 4
    assert html.count("download=") == 2


def test_sharpened_words_are_twice_as_large(page_models, words):
    small = next(word for word in words if len(word.image) == 16)
    results = page_models.upscale([words[0], small])
    html = cards.sharpened_cards([words[0], small], results)
    _, first, _, second = pictures(html)
    assert first.shape[:2] == tuple(2 * side for side in words[0].image.shape[:2])
    assert np.array_equal(second, results[1].upscaled)
    assert html.count("lost detail") == 1


@pytest.mark.parametrize("strategy", STRATEGIES)
def test_encoders_fill_in_what_is_masked(page_models, words, strategy):
    results = page_models.mask(words, strategy, 0.5, seed=1)
    again = page_models.mask(words, strategy, 0.5, seed=1)
    other = page_models.mask(words, strategy, 0.5, seed=2)
    assert len(results) == 6
    for word, same in zip(results, again):
        assert np.array_equal(word.masked, same.masked)
        assert word.image.shape == (32, 128, 3)
        hidden = (word.masked != word.image).any(axis=2)
        # A few patches may be gray themselves.
        assert hidden.mean() == pytest.approx(0.5, abs=0.06)
        shown = ~hidden & (word.masked != 128).any(axis=2) & (word.masked != 127).any(axis=2)
        assert np.abs(word.filled[shown].astype(int) - word.image[shown]).max() <= 1
        assert 0 < word.error < 3
    assert any((a.masked != b.masked).any() for a, b in zip(results, other))
    labels = {word.strategy for word in results}
    assert labels == ({"random patches", "blocks", "spans"} if strategy == "mixed" else {strategy})
    assert len(pictures(cards.masked_cards(results))) == 18


def test_ratios_and_strategies_are_checked(page_models):
    kinds = (RandomPatchMask, BlockwiseMask, SpanMask, MultiMask)
    for strategy, kind in zip(STRATEGIES, kinds):
        assert type(make_mask_generator(strategy, 0.3, (4, 32))) is kind
    assert make_mask_generator("spans", 0.25, (4, 32)).num_removed == 32
    with pytest.raises(ValueError, match="stripes"):
        make_mask_generator("stripes", 0.5, (4, 32))
    with pytest.raises(ValueError, match="ratio"):
        page_models.mask([], "blocks", 1.0, 0)
    assert page_models.mask([], "blocks", 0.5, 0) == []


def test_large_pictures_are_shown_smaller_and_downloaded_whole():
    image = np.zeros((500, 1000, 3), np.uint8)
    word = InputImage("large", image)
    result = SegmentedWord("large", image, np.ones((500, 1000), np.float32))
    html = cards.segmentation_cards([word], [result])
    assert [shown.shape[:2] for shown in pictures(html)] == [(320, 640)] * 3
    links = re.findall(r'href="data:image/png;base64,([^"]+)"', html)
    sizes = [cv2.imdecode(np.frombuffer(base64.b64decode(link), np.uint8), -1) for link in links]
    assert [size.shape for size in sizes] == [(500, 1000, 4), (500, 1000)]


def test_models_are_named_with_their_terms(page_models):
    rows = page_models.describe()
    assert [row[0] for row in rows] == ["reader", "segmentor", "upscaler", "encoder"]
    assert rows[0][1] == "mms_vit_n_ar"
    assert all("research only" in row[2] for row in rows)
