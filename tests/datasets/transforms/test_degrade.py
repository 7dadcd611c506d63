"""Degradation: each step separately, and its random numbers."""

import cv2
import numpy as np
import pytest
from torch.utils.data import DataLoader

from mms_ocr.datasets.transforms import (
    BlurWord,
    Degradation,
    DegradeWord,
    degrade_word,
    resize_word_image,
)
from mms_ocr.datasets.transforms.degrade import lose_resolution

NOTHING = dict(blur=(0, 0), kernels=("area",), noise=(0, 0), jpeg=0)


@pytest.fixture
def word():
    """A gradient with strokes, uint8 ``(32, 128, 3)``."""
    image = np.tile(np.linspace(90, 200, 128)[None, :, None], (32, 1, 3))
    image[8:24, 20:24] = 10
    image[14:18, 60:90, 1] = 250
    return image.astype(np.uint8)


def degraded(image, seed=0, scale=2, **settings):
    rng = np.random.default_rng(seed)
    return degrade_word(image, rng, scale, Degradation(**{**NOTHING, **settings}))


def test_without_effects_pixels_are_averaged(word):
    blocks = word.reshape(16, 2, 64, 2, 3).astype(float).mean(axis=(1, 3))
    difference = degraded(word).astype(float) - blocks
    assert np.abs(difference).max() <= 0.5
    assert degraded(word, kernels=("bilinear",)).tolist() == degraded(word).tolist()
    assert np.array_equal(degraded(word, scale=1), word)


def test_each_step_equals_opencv(word):
    bicubic = cv2.resize(word, (64, 16), interpolation=cv2.INTER_CUBIC)
    assert np.array_equal(degraded(word, kernels=("bicubic",)), bicubic)
    blurred = cv2.GaussianBlur(word, (0, 0), 1.5)
    expected = cv2.resize(blurred, (64, 16), interpolation=cv2.INTER_AREA)
    assert np.array_equal(degraded(word, blur=(1.5, 1.5)), expected)
    plain = degraded(word)
    _, data = cv2.imencode(".jpg", plain, [cv2.IMWRITE_JPEG_QUALITY, 40])
    compressed = degraded(word, jpeg=1, jpeg_quality=(40, 40))
    assert np.array_equal(compressed, cv2.imdecode(data, cv2.IMREAD_COLOR))
    assert not np.array_equal(compressed, plain)


def test_noise_has_the_given_sigma():
    gray = np.full((256, 512, 3), 128, np.uint8)
    values = degraded(gray, noise=(0.04, 0.04)).astype(float) - 128
    assert values.std() == pytest.approx(255 * 0.04, rel=0.03)
    assert abs(values.mean()) < 0.1
    correlation = np.corrcoef(values[:, :, 0].ravel(), values[:, :, 1].ravel())[0, 1]
    assert abs(correlation) < 0.02  # every channel has its own


def test_strengths_cover_their_range(word):
    gray = np.full((32, 128, 3), 128, np.uint8)
    sigmas = [degraded(gray, seed, noise=(0.02, 0.1)).std() / 255 for seed in range(60)]
    assert 0.018 < min(sigmas) < 0.03
    assert 0.09 < max(sigmas) < 0.105
    kernels = ("area", "bicubic")
    each = {degraded(word, kernels=(kernel,)).tobytes() for kernel in kernels}
    assert {degraded(word, seed, kernels=kernels).tobytes() for seed in range(20)} == each
    compressed = [np.array_equal(degraded(word, s, jpeg=0.7), degraded(word)) for s in range(60)]
    assert 10 <= sum(compressed) <= 27  # 18 of 60 on average are not compressed


def test_a_setting_changes_nothing_else(word):
    strong = degraded(word, 5, noise=(0.05, 0.05), blur=(0, 1))
    compressed = degraded(word, 5, noise=(0.05, 0.05), blur=(0, 1), jpeg=1, jpeg_quality=(95, 95))
    assert np.abs(strong.astype(int) - compressed).mean() < 20  # the same noise and blur


def results(word, index=0):
    return dict(img=word, sample_idx=index, img_path="word.png", ori_shape=word.shape[:2])


def test_pair_is_made_from_one_image(word):
    tall = cv2.resize(word, (100, 64))
    pair = DegradeWord(size=(32, 128), seed=0, **NOTHING).transform(results(tall))
    sharp = resize_word_image(tall, (32, 128))
    assert np.array_equal(pair["gt"], sharp)
    assert np.array_equal(pair["img"], degraded(sharp))
    assert pair["img_shape"] == (16, 64)
    assert pair["ori_shape"] == (64, 100)


def test_with_a_seed_it_depends_on_the_index_only(word):
    transform, same, other = (DegradeWord(seed=seed) for seed in (3, 3, 4))
    first = transform.transform(results(word, 7))["img"]
    transform.transform(results(word, 8))
    np.random.seed(99)
    assert np.array_equal(same.transform(results(word, 7))["img"], first)
    assert not np.array_equal(transform.transform(results(word, 8))["img"], first)
    assert not np.array_equal(other.transform(results(word, 7))["img"], first)
    with pytest.raises(ValueError, match="needs sample_idx"):
        other.transform(dict(img=word))


def test_without_a_seed_it_draws_from_numpy(word):
    transform = DegradeWord()
    np.random.seed(1)
    first, second = (transform.transform(results(word))["img"] for _ in range(2))
    assert not np.array_equal(first, second)
    np.random.seed(1)
    assert np.array_equal(transform.transform(results(word))["img"], first)


@pytest.mark.parametrize(
    ("settings", "message"),
    [
        (dict(size=(32, 127)), r"scale 2 does not divide the size \(32, 127\)"),
        (dict(scale=0), "scale 0 does not divide"),
        (dict(blur=(2, 1)), r"blur of the degradation is \(2, 1\)"),
        (dict(noise=(0, 3)), r"noise of the degradation is \(0, 3\)"),
        (dict(jpeg_quality=(0, 50)), r"jpeg_quality of the degradation is \(0, 50\)"),
        (dict(jpeg=1.5), "jpeg of the degradation is a probability, got 1.5"),
        (dict(kernels=("lanczos",)), "kernels of the degradation are some of area"),
        (dict(kernels=()), "kernels of the degradation are some of area"),
    ],
)
def test_wrong_settings_raise(settings, message):
    with pytest.raises(ValueError, match=message):
        DegradeWord(**settings)


# --- BlurWord ------------------------------------------------------------------------------------


@pytest.fixture
def image():
    return np.random.default_rng(0).integers(60, 196, (16, 32, 3), dtype=np.uint8)


def test_lost_resolution_averages_pixels(image):
    np.testing.assert_array_equal(lose_resolution(image, 1.0), image)
    result = lose_resolution(image, 0.25).astype(float)
    means = image.reshape(4, 4, 8, 4, 3).mean(axis=(1, 3))
    # Halfway between the centers of four blocks, the value is their mean.
    around = (means[:-1, :-1] + means[1:, :-1] + means[:-1, 1:] + means[1:, 1:]) / 4
    four = np.stack([result[i::4, j::4][:3, :7] for i in (3, 4) for j in (3, 4)])
    np.testing.assert_allclose(four.mean(axis=0), around, atol=1.5)
    assert lose_resolution(image, 0.001).std(axis=(0, 1)).max() == 0


def test_blur_word_changes_its_share_of_images(image):
    before, blur = image.copy(), BlurWord(prob=0.5, min_scale=1.0, noise=0.0, motion=5)
    kinds = []
    for _ in range(200):
        blurred = blur(dict(img=image, text="a"))
        assert (blurred["img"].shape, blurred["img"].dtype, blurred["text"]) == (
            (16, 32, 3),
            np.uint8,
            "a",
        )
        kinds.append(not np.array_equal(blurred["img"], image))
    np.testing.assert_array_equal(image, before)
    # Without loss of resolution and noise only motion blur acts, on half of the chosen half.
    assert np.mean(kinds) == pytest.approx(0.25, abs=0.1)
    assert BlurWord(prob=0.0)(dict(img=image))["img"] is image


def test_resolution_is_lost_at_a_constant_rate(image):
    blur, left = BlurWord(prob=1.0, noise=0.0), []
    for _ in range(200):
        blurred = blur(dict(img=image))["img"].astype(float)
        left.append(np.abs(np.diff(blurred, axis=1)).mean())
    assert np.mean(left[:100]) == pytest.approx(np.mean(left[100:]), rel=0.25)
    assert min(left) < 0.2 * max(left)


class Noisy:
    """A data set whose items differ only by noise."""

    def __len__(self):
        return 4

    def __getitem__(self, index):
        gray = np.full((16, 32, 3), 128, np.uint8)
        return int(BlurWord(prob=1.0, min_scale=1.0)(dict(img=gray))["img"].astype(int).sum())


def test_loader_workers_draw_different_numbers():
    def seeded(worker):
        np.random.seed(worker)  # as MMEngine does

    sums = [int(batch) for batch in DataLoader(Noisy(), 1, num_workers=4, worker_init_fn=seeded)]
    again = [int(batch) for batch in DataLoader(Noisy(), 1, num_workers=4, worker_init_fn=seeded)]
    assert sums == again
    assert len(set(sums)) > 1


@pytest.mark.parametrize(
    "settings", [dict(prob=2), dict(min_scale=0), dict(noise=-1), dict(motion=2)]
)
def test_impossible_settings_of_blur_word(settings):
    with pytest.raises(ValueError, match="of BlurWord"):
        BlurWord(**settings)
