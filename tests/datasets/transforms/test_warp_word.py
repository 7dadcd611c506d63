"""Geometric augmentation against hand-computed pictures, and words that are too long."""

import json

import cv2
import numpy as np
import pytest

from mms_ocr.datasets import WordImageDataset
from mms_ocr.datasets.broken import TooManyBrokenError
from mms_ocr.datasets.transforms import ResizeWordImage, SkipLongLabels, WarpWord, warp_word
from mms_ocr.datasets.transforms.warp_word import UNIT_CORNERS, fit_corners, turned_corners


@pytest.fixture
def image():
    return np.random.default_rng(0).integers(0, 256, (8, 16, 3), dtype=np.uint8)


def test_identity_corners_keep_the_image(image):
    np.testing.assert_array_equal(warp_word(image, UNIT_CORNERS), image)


def test_halving_averages_four_pixels_and_repeats_edges(image):
    result = warp_word(image, UNIT_CORNERS * 0.5).astype(float)
    blocks = image.reshape(4, 2, 8, 2, 3).astype(float)
    expected = blocks.mean(axis=(1, 3))
    np.testing.assert_allclose(result[:4, :8], expected, atol=1.5)
    # Beyond its edge, the outermost pixels are repeated.
    np.testing.assert_allclose(result[5:, :8], np.repeat(result[5:6, :8], 3, axis=0), atol=1.5)
    below = image[-1].reshape(8, 2, 3).astype(float).mean(axis=1)
    np.testing.assert_allclose(result[6, :8], below, atol=1.5)


def test_a_picture_turned_upside_down(image):
    corners = fit_corners(turned_corners((8, 16), 180))
    np.testing.assert_allclose(warp_word(image, corners), image[::-1, ::-1], atol=1)


def test_corners_by_hand():
    turned = turned_corners((2, 4), 90)  # top left goes to top right
    np.testing.assert_allclose(turned, [[1, -2], [1, 2], [-1, 2], [-1, -2]], atol=1e-12)
    leaning = turned_corners((2, 4), 0, 45)  # one pixel of height is one of width
    np.testing.assert_allclose(leaning, [[-3, -1], [1, -1], [3, 1], [-1, 1]], atol=1e-12)
    np.testing.assert_allclose(fit_corners(leaning), [[0, 0], [2 / 3, 0], [1, 1], [1 / 3, 1]])
    placed = fit_corners(leaning, 0.5, (1, 0.5))
    assert placed.min(axis=0) == pytest.approx([0.5, 0.25])
    assert placed.max(axis=0) == pytest.approx([1.0, 0.75])


@pytest.mark.parametrize("shape", [(32, 128), (20, 300), (90, 30)])
def test_words_stay_inside_the_picture(shape):
    warp, areas = WarpWord(), []
    for _ in range(300):
        corners = warp.draw_corners(shape)
        assert corners.min() >= -1e-9
        assert corners.max() <= 1 + 1e-9
        edges = np.roll(corners, -1, axis=0) - corners
        after = np.roll(edges, -1, axis=0)
        # Clockwise at every corner: neither mirrored nor folded.
        assert (edges[:, 0] * after[:, 1] > edges[:, 1] * after[:, 0]).all()
        x, y = corners.T
        areas.append(0.5 * abs(x @ np.roll(y, 1) - y @ np.roll(x, 1)))
    assert min(areas) < 0.35
    assert max(areas) > 0.8


def test_angles_are_those_of_the_original_image():
    warp = WarpWord(degrees=15)
    for kind in range(100):
        np.random.seed(kind)
        if np.random.randint(3) == 0:
            break
    np.random.seed(kind)
    corners = warp.draw_corners((60, 120)) * (120, 60)
    # Without the stretch to the frame, edges are perpendicular.
    width, height = np.ptp(turned_corners((60, 120), 0), axis=0)
    assert (width, height) == (120, 60)
    np.random.seed(kind)
    np.random.randint(3)
    angle = np.random.uniform(-15, 15)
    expected = turned_corners((60, 120), angle)
    expected = (expected - expected.min(axis=0)) / np.ptp(expected, axis=0) * (120, 60)
    np.testing.assert_allclose(corners, expected)


def test_warp_keeps_size_and_type_and_copies(image):
    before = image.copy()
    results = [
        WarpWord().transform(dict(img=image, text="ab", ori_shape=(40, 90))) for _ in range(4)
    ]
    np.testing.assert_array_equal(image, before)
    for result in results:
        assert (result["img"].shape, result["img"].dtype) == (image.shape, np.uint8)
        assert result["text"] == "ab"
    assert not np.array_equal(results[0]["img"], results[1]["img"])
    np.random.seed(3)
    first = WarpWord()(dict(img=image))["img"]
    np.random.seed(3)
    np.testing.assert_array_equal(WarpWord()(dict(img=image))["img"], first)
    still = WarpWord(degrees=0, shear=0, min_scale=1, distortion=0)
    for _ in range(6):
        np.testing.assert_array_equal(still(dict(img=image))["img"], image)


@pytest.mark.parametrize(
    ("name", "value"), [("degrees", -1), ("shear", 90), ("min_scale", 1.5), ("distortion", 1)]
)
def test_impossible_settings_give_one_line(name, value):
    with pytest.raises(ValueError, match=rf"{name} of WarpWord is in \[0, .*got {value}"):
        WarpWord(**{name: value})


@pytest.fixture
def labelled(tmp_path):
    def write(labels):
        lines = []
        for index, text in enumerate(labels):
            cv2.imwrite(str(tmp_path / f"{index}.png"), np.full((8, 16, 3), index, np.uint8))
            lines.append(json.dumps({"filename": f"{index}.png", "text": text}))
        path = tmp_path / "words.jsonl"
        path.write_text("\n".join(lines))
        return str(path)

    return write


def test_long_words_are_counted_and_the_next_one_is_read(labelled, capfd):
    path = labelled(["abcd", "abcde", "abca", "aabb", "aba"])
    steps = [SkipLongLabels(max_columns=4), ResizeWordImage((4, 8))]
    words = WordImageDataset(path, steps, labelled=True, max_broken=0.4)
    read = [words[index]["text"] for index in range(5)]
    assert read == ["abcd", "abca", "abca", "aba", "aba"]
    assert (words.num_read, words.num_broken) == (7, 2)
    logged = "".join(capfd.readouterr())
    assert "1.png: the label 'abcde' fills 5 columns, not 1 to 4" in logged
    assert "3.png: the label 'aabb' fills 6 columns" in logged
    strict = WordImageDataset(path, steps, labelled=True, max_broken=0.1)
    with pytest.raises(TooManyBrokenError, match="fills 5 columns"):
        [strict[index] for index in range(5)]


def test_zero_columns_raise():
    with pytest.raises(ValueError, match="max_columns of SkipLongLabels must be positive, got 0"):
        SkipLongLabels(0)
