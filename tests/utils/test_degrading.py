"""Noise, motion blur and JPEG compression by value."""

import math

import cv2
import numpy as np
import pytest

from mms_ocr.utils.degrading import add_noise, blur_motion, compress_jpeg


@pytest.fixture
def image():
    return np.random.default_rng(0).integers(60, 196, (16, 32, 3), dtype=np.uint8)


@pytest.mark.parametrize("colored", [True, False])
def test_noise_has_its_strength(colored):
    gray = np.full((64, 128, 3), 128, np.uint8)
    noise = add_noise(gray, np.random.default_rng(0), 4.5, colored).astype(float) - 128
    assert noise.std() == pytest.approx(math.sqrt(4.5**2 + 1 / 12), rel=0.03)
    assert abs(noise.mean()) < 0.1
    correlation = np.corrcoef(noise[..., 0].ravel(), noise[..., 1].ravel())[0, 1]
    assert correlation < 0.05 if colored else correlation == pytest.approx(1)


@pytest.mark.parametrize("level", [0, 255])
def test_noise_does_not_overflow(level):
    image = np.full((8, 8, 3), level, np.uint8)
    noisy = add_noise(image, np.random.default_rng(0), 20.0)
    assert abs(noisy.astype(float) - level).max() < 120


@pytest.mark.parametrize("length", [2, 3, 4.5, 6])
@pytest.mark.parametrize("angle", [0.0, math.pi / 4, math.pi / 2, 2.5])
def test_motion_is_the_mean_along_a_line(image, length, angle):
    steps = math.ceil(length) + 1
    expected = np.zeros(image.shape)
    for y in range(16):
        for x in range(32):
            for step in range(steps):
                along = length * (step / (steps - 1) - 0.5)
                column = x + round(along * math.cos(angle))
                row = y + round(along * math.sin(angle))
                expected[y, x] += image[min(max(row, 0), 15), min(max(column, 0), 31)]
    np.testing.assert_allclose(blur_motion(image, length, angle), expected / steps, atol=0.5)


def test_no_motion_changes_nothing(image):
    assert blur_motion(image, 1.0, 0.3) is image


def test_jpeg_equals_opencv(image):
    _, data = cv2.imencode(".jpg", image, [cv2.IMWRITE_JPEG_QUALITY, 40])
    expected = cv2.imdecode(data, cv2.IMREAD_COLOR)
    np.testing.assert_array_equal(compress_jpeg(image, 40), expected)
