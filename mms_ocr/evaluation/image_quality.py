"""Quality of restored images: PSNR, SSIM, and SSIM as in TextZoom's code."""

from __future__ import annotations

import math

import torch
from torch import Tensor
from torch.nn import functional as F

_SIGMA = 1.5
_RADIUS = 5  # of the window of 11 x 11
_C1, _C2 = 0.01**2, 0.03**2  # the constants of Wang et al. for a range of 1


def squared_error(predicted: Tensor, truth: Tensor) -> Tensor:
    """Compute the mean squared error of images ``(B, C, H, W)`` in [0, 1], float64 ``(B,)``."""
    return (predicted.double() - truth.double()).square().flatten(1).mean(dim=1)


def psnr(error: float, maximum: float = 100.0) -> float:
    """Compute the peak signal-to-noise ratio in dB, for a peak of 1.

    Args:
        error: Mean squared error, at least 0.
        maximum: Upper limit; without one, an image equal to its truth makes every mean infinite.
    """
    return maximum if error <= 10 ** (-maximum / 10) else -10 * math.log10(error)


def ssim(predicted: Tensor, truth: Tensor) -> float:
    """Compute SSIM (Wang et al. 2004) of images ``(C, H, W)`` in [0, 1] with scikit-image.

    Gaussian window of 11 x 11 with sigma 1.5, population covariance, mean over the channels and
    over the pixels but for a border of 5.

    Raises:
        ImportError: scikit-image is not installed.
        ValueError: The images are smaller than the window.
    """
    try:
        from skimage.metrics import structural_similarity
    except ImportError as error:
        raise ImportError(
            f"SSIM is scikit-image's, which cannot be imported here ({error}); "
            "pip install scikit-image"
        ) from error
    if min(truth.shape[-2:]) <= 2 * _RADIUS:
        raise ValueError(
            f"SSIM needs images of 11 x 11 pixels and more, got {tuple(truth.shape[-2:])}"
        )
    return float(
        structural_similarity(
            predicted.double().numpy(),
            truth.double().numpy(),
            gaussian_weights=True,
            sigma=_SIGMA,
            use_sample_covariance=False,
            data_range=1.0,
            channel_axis=0,
        )
    )


def ssim_zero_padded(predicted: Tensor, truth: Tensor) -> Tensor:
    """Compute SSIM, float64 ``(B,)``, of images ``(B, C, H, W)`` as TextZoom's code.

    The mean over all pixels, with zeros beyond the border; the border that :func:`ssim` leaves out
    is a third of the pixels of 32 x 128.
    """
    x, y = predicted.double(), truth.double()
    products = torch.stack([x, y, x * x, y * y, x * y])
    mean_1, mean_2, square_1, square_2, product = _blur(products.flatten(0, 2)).view_as(products)
    variance_1, variance_2 = square_1 - mean_1**2, square_2 - mean_2**2
    covariance = product - mean_1 * mean_2
    brightness = (2 * mean_1 * mean_2 + _C1) / (mean_1**2 + mean_2**2 + _C1)
    structure = (2 * covariance + _C2) / (variance_1 + variance_2 + _C2)
    return (brightness * structure).flatten(1).mean(dim=1)


def _blur(planes: Tensor) -> Tensor:
    """Blur planes ``(N, H, W)`` with the Gaussian window, zeros beyond the border."""
    distance = torch.arange(-_RADIUS, _RADIUS + 1, dtype=planes.dtype, device=planes.device)
    window = torch.exp(-(distance**2) / (2 * _SIGMA**2))
    window = window / window.sum()
    blurred = F.conv2d(planes[:, None], window.view(1, 1, 1, -1), padding=(0, _RADIUS))
    return F.conv2d(blurred, window.view(1, 1, -1, 1), padding=(_RADIUS, 0))[:, 0]
