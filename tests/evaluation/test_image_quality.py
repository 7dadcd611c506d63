"""PSNR and SSIM against hand-computed cases, scikit-image and slow sums over windows."""

import math

import numpy as np
import pytest
import torch

from mms_ocr.evaluation.restored_images import psnr, squared_error, ssim, ssim_zero_padded

peak_signal_noise_ratio = pytest.importorskip("skimage.metrics").peak_signal_noise_ratio


@pytest.fixture
def pair():
    generator = torch.Generator().manual_seed(0)
    truth = torch.rand(2, 3, 14, 20, generator=generator)
    noise = 0.1 * torch.randn(truth.shape, generator=generator)
    return (truth + noise).clamp(0, 1), truth


def slow_ssim(predicted, truth, padded):
    """Window by window, as Wang et al. write it; ``(C, H, W)``."""
    places = np.arange(-5, 6)
    window = np.exp(-(places[:, None] ** 2 + places**2) / (2 * 1.5**2))
    window /= window.sum()
    images = [image.double().numpy() for image in (predicted, truth)]
    if padded:
        images = [np.pad(image, ((0, 0), (5, 5), (5, 5))) for image in images]
    values = []
    for first, second in zip(*images):
        for y in range(first.shape[0] - 10):
            for x in range(first.shape[1] - 10):
                a, b = first[y : y + 11, x : x + 11], second[y : y + 11, x : x + 11]
                mean_a, mean_b = (window * a).sum(), (window * b).sum()
                var_a = (window * (a - mean_a) ** 2).sum()
                var_b = (window * (b - mean_b) ** 2).sum()
                cov = (window * (a - mean_a) * (b - mean_b)).sum()
                values.append(
                    (2 * mean_a * mean_b + 0.01**2)
                    * (2 * cov + 0.03**2)
                    / ((mean_a**2 + mean_b**2 + 0.01**2) * (var_a + var_b + 0.03**2))
                )
    return np.mean(values)


def test_both_kinds_of_ssim_equal_slow_ones(pair):
    for predicted, truth in zip(*pair):
        assert ssim(predicted, truth) == pytest.approx(slow_ssim(predicted, truth, False), abs=1e-9)
    slow = [slow_ssim(predicted, truth, True) for predicted, truth in zip(*pair)]
    assert ssim_zero_padded(*pair).tolist() == pytest.approx(slow, abs=1e-9)


def test_the_border_matters_and_equal_images_have_an_ssim_of_1(pair):
    predicted, truth = pair[0][0], pair[1][0]
    assert abs(ssim(predicted, truth) - float(ssim_zero_padded(*pair)[0])) > 1e-3
    assert ssim(truth, truth) == pytest.approx(1)
    assert float(ssim_zero_padded(truth[None], truth[None])) == pytest.approx(1)


def test_ssim_needs_room_for_its_window():
    with pytest.raises(ValueError, match=r"11 x 11 pixels and more, got \(10, 20\)"):
        ssim(torch.zeros(3, 10, 20), torch.zeros(3, 10, 20))


def test_psnr_equals_scikit_image(pair):
    for predicted, truth, error in zip(*pair, squared_error(*pair).tolist()):
        expected = peak_signal_noise_ratio(
            truth.double().numpy(), predicted.double().numpy(), data_range=1
        )
        assert psnr(error) == pytest.approx(expected, abs=1e-9)


@pytest.mark.parametrize(
    ("error", "maximum", "decibels"),
    [
        (1.0, 100, 0.0),
        (0.01, 100, 20.0),
        (0.5, 100, 10 * math.log10(2)),
        (0.0, 100, 100.0),
        (0.0, 60, 60),
        (1e-12, 100, 100),
        (1e-12, 200, 120),
    ],
)
def test_psnr_by_hand_and_its_limit(error, maximum, decibels):
    assert psnr(error, maximum) == pytest.approx(decibels)
