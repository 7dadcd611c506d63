"""How near a restored image comes to the true one: PSNR and SSIM, each as what it is."""

from __future__ import annotations

import math

import torch
from torch import Tensor
from torch.nn import functional as F

_SIGMA = 1.5
_RADIUS = 5  # of the window of 11 x 11
_C1, _C2 = 0.01**2, 0.03**2  # the constants of Wang et al. for a range of 1


def squared_error(predicted: Tensor, truth: Tensor) -> Tensor:
    """Mean squared error of each image, float64 ``(B,)``, of images in [0, 1] ``(B, C, H, W)``."""
    return (predicted.double() - truth.double()).square().flatten(1).mean(dim=1)


def psnr(error: float, most: float = 100.0) -> float:
    """Peak signal-to-noise ratio in dB for a peak of 1.

    Args:
        error: Mean squared error, at least 0.
        most: What a smaller error than this many dB counts as. Without a limit one image that is
            equal to its truth would make every mean infinite.
    """
    return most if error <= 10 ** (-most / 10) else -10 * math.log10(error)


def ssim(predicted: Tensor, truth: Tensor) -> float:
    """SSIM of Wang et al. (2004) of one color image, as scikit-image computes it.

    Gaussian window of 11 x 11 with sigma 1.5, population covariance, mean over the channels and
    over the places where the window lies within the image: a border of 5 pixels has no say.

    Args:
        predicted: ``(C, H, W)`` in [0, 1], at least 11 x 11.
        truth: Likewise.

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
    """SSIM of each image as TextZoom's code has it: over all pixels, zeros beyond the border.

    The same window and constants as :func:`ssim`, which leaves the border out. On word images of
    32 x 128 the border is a third of the pixels, so that the two differ.

    Args:
        predicted: ``(B, C, H, W)`` in [0, 1].
        truth: Likewise.

    Returns:
        float64 ``(B,)``, the mean over channels and pixels.
    """
    one, other = predicted.double(), truth.double()
    products = torch.stack([one, other, one * one, other * other, one * other])
    mean_1, mean_2, square_1, square_2, product = _blur(products.flatten(0, 2)).view_as(products)
    variance_1, variance_2 = square_1 - mean_1**2, square_2 - mean_2**2
    covariance = product - mean_1 * mean_2
    brightness = (2 * mean_1 * mean_2 + _C1) / (mean_1**2 + mean_2**2 + _C1)
    structure = (2 * covariance + _C2) / (variance_1 + variance_2 + _C2)
    return (brightness * structure).flatten(1).mean(dim=1)


def _blur(planes: Tensor) -> Tensor:
    """Planes ``(N, H, W)`` under the Gaussian window, zeros beyond the border."""
    distance = torch.arange(-_RADIUS, _RADIUS + 1, dtype=planes.dtype, device=planes.device)
    window = torch.exp(-(distance**2) / (2 * _SIGMA**2))
    window = window / window.sum()
    blurred = F.conv2d(planes[:, None], window.view(1, 1, 1, -1), padding=(0, _RADIUS))
    return F.conv2d(blurred, window.view(1, 1, -1, 1), padding=(_RADIUS, 0))[:, 0]
