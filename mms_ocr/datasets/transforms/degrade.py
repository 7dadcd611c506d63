"""Making the small, blurred, noisy and compressed image of a pair from a sharp word image."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import cv2
import numpy as np
from mmcv.transforms import BaseTransform

from mms_ocr.datasets.transforms.resize import check_scale, resize_word_image
from mms_ocr.registry import TRANSFORMS
from mms_ocr.utils.degrading import add_noise, compress_jpeg

_KERNELS = {
    "area": cv2.INTER_AREA,
    "bilinear": cv2.INTER_LINEAR,
    "bicubic": cv2.INTER_CUBIC,
}
_MIN_BLUR = 0.2  # sigma below which a Gaussian on the pixel grid changes nothing
_STREAM = 0x53  # separates these numbers from other draws by seed and index


@dataclass(frozen=True)
class Degradation:
    """Strengths of blur, downscaling, noise and JPEG compression, which are applied in this order.

    A pair is a range from which each word draws uniformly.

    Attributes:
        blur: Sigma of a Gaussian, in pixels of the sharp image; drawn for each axis, since
            resizing to one size has stretched words unevenly.
        kernels: Interpolations of the downscaling, of which one is drawn: ``'area'``,
            ``'bilinear'``, ``'bicubic'`` (OpenCV's).
        noise: Sigma of Gaussian noise on the small image, in shares of the full range; every
            channel has its own.
        jpeg: Probability of JPEG compression of the small image.
        jpeg_quality: Its quality.

    Raises:
        ValueError: A value is out of range, or a kernel is unknown.
    """

    blur: tuple[float, float] = (0.0, 2.0)
    kernels: tuple[str, ...] = ("area", "bicubic")
    noise: tuple[float, float] = (0.0, 0.04)
    jpeg: float = 0.7
    jpeg_quality: tuple[float, float] = (40, 95)

    def __post_init__(self) -> None:
        for name, limits in dict(blur=(0, 16), noise=(0, 1), jpeg_quality=(1, 100)).items():
            value = getattr(self, name)
            if len(value) != 2 or not limits[0] <= value[0] <= value[1] <= limits[1]:
                raise ValueError(
                    f"{name} of the degradation is {tuple(value)}; give a pair (low, high) within "
                    f"{limits}"
                )
        if not 0 <= self.jpeg <= 1:
            raise ValueError(f"jpeg of the degradation is a probability, got {self.jpeg}")
        if not self.kernels or not set(self.kernels) <= set(_KERNELS):
            raise ValueError(
                f"kernels of the degradation are some of {', '.join(_KERNELS)}, got "
                f"{tuple(self.kernels)}"
            )


def degrade_word(
    image: np.ndarray, rng: np.random.Generator, scale: int, settings: Degradation
) -> np.ndarray:
    """Blur, downscale, add noise to, and compress an image.

    Every image draws equally many numbers, so that a setting changes only its own step.

    Args:
        image: uint8 ``(H, W, 3)``, its sides multiples of ``scale``.
        rng: Generator of all draws.
        scale: How many times smaller the result is.
        settings: The strengths.

    Returns:
        uint8 ``(H / scale, W / scale, 3)``.
    """
    drawn = rng.random(6)
    sigmas = _between(settings.blur, drawn[0]), _between(settings.blur, drawn[1])
    if max(sigmas) > _MIN_BLUR:
        # OpenCV computes a sigma of its own in place of 0.
        horizontal, vertical = (max(sigma, 1e-3) for sigma in sigmas)
        image = cv2.GaussianBlur(image, (0, 0), sigmaX=horizontal, sigmaY=vertical)
    kernel = _KERNELS[settings.kernels[int(drawn[2] * len(settings.kernels))]]
    size = image.shape[1] // scale, image.shape[0] // scale
    small = cv2.resize(image, size, interpolation=kernel)
    small = add_noise(small, rng, 255 * _between(settings.noise, drawn[3]))
    if drawn[4] < settings.jpeg:
        small = compress_jpeg(small, round(_between(settings.jpeg_quality, drawn[5])))
    return small


def _between(limits: tuple[float, float], share: float) -> float:
    return limits[0] + (limits[1] - limits[0]) * share


@TRANSFORMS.register_module()
class DegradeWord(BaseTransform):
    """Make a pair from one sharp word image: ``gt`` as it is, ``img`` degraded and smaller.

    ``img`` is resized to ``size`` and becomes ``gt``; its result of :func:`degrade_word` becomes
    ``img``. Sets ``img_shape`` as well.

    Args:
        size: Height and width of ``gt``.
        scale: How many times smaller ``img`` is.
        seed: If given, the same ``sample_idx`` is always degraded in the same way, for validation.
            Otherwise the degradation is drawn from NumPy's global state, which MMEngine seeds for
            each loader worker.
        blur: See :class:`Degradation`, also for the following.
        kernels: Interpolations of the downscaling.
        noise: Sigma, share of the full range.
        jpeg: Probability.
        jpeg_quality: Range of qualities.

    Raises:
        ValueError: ``scale`` does not divide ``size``, or a strength is out of range.
    """

    def __init__(
        self,
        size: tuple[int, int] = (32, 128),
        scale: int = 2,
        seed: int | None = None,
        blur: Sequence[float] = Degradation.blur,
        kernels: Sequence[str] = Degradation.kernels,
        noise: Sequence[float] = Degradation.noise,
        jpeg: float = Degradation.jpeg,
        jpeg_quality: Sequence[float] = Degradation.jpeg_quality,
    ) -> None:
        self.size = check_scale(size, scale)
        self.scale = scale
        self.seed = seed
        self.settings = Degradation(
            tuple(blur),  # type: ignore[arg-type]
            tuple(kernels),
            tuple(noise),  # type: ignore[arg-type]
            jpeg,
            tuple(jpeg_quality),  # type: ignore[arg-type]
        )

    def transform(self, results: dict) -> dict:
        """Degrade the image in ``results``."""
        sharp = resize_word_image(results["img"], self.size)
        results["gt"] = sharp
        results["img"] = degrade_word(sharp, self._generator(results), self.scale, self.settings)
        results["img_shape"] = results["img"].shape[:2]
        return results

    def _generator(self, results: dict) -> np.random.Generator:
        if self.seed is None:
            return np.random.default_rng(np.random.randint(0, 2**32, 4, np.uint64))
        if "sample_idx" not in results:
            raise ValueError("DegradeWord with a seed needs sample_idx, which the data set lacks")
        return np.random.default_rng([_STREAM, self.seed, results["sample_idx"]])

    def __repr__(self) -> str:
        return (
            f"{type(self).__name__}(size={self.size}, scale={self.scale}, seed={self.seed}, "
            f"settings={self.settings})"
        )
