"""Degradations of word images: as an augmentation, and to make the small image of a pair."""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import cv2
import numpy as np

from mms_ocr.datasets.transforms.base import WordTransform
from mms_ocr.datasets.transforms.resize import check_scale, resize_word_image
from mms_ocr.registry import TRANSFORMS
from mms_ocr.utils.degrading import add_noise, blur_motion, compress_jpeg

_KERNELS = {
    "area": cv2.INTER_AREA,
    "bilinear": cv2.INTER_LINEAR,
    "bicubic": cv2.INTER_CUBIC,
}
_MIN_BLUR = 0.2  # sigma below which a Gaussian on the pixel grid changes nothing
_STREAM = 0x53  # separates these numbers from other draws by seed and index


def lose_resolution(image: np.ndarray, scale: float) -> np.ndarray:
    """Shrink an image ``(H, W, 3)`` to ``scale`` of its height and width, and enlarge it again."""
    height, width = image.shape[:2]
    small = (max(1, round(width * scale)), max(1, round(height * scale)))
    shrunk = cv2.resize(image, small, interpolation=cv2.INTER_AREA)
    return cv2.resize(shrunk, (width, height), interpolation=cv2.INTER_LINEAR)


@TRANSFORMS.register_module()
class BlurWord(WordTransform):
    """Reduce the resolution of a word image, and add noise and motion blur, each to half of them.

    ABINet and MAERec do this to a quarter of their words. Their transforms do not act as intended:
    MMOCR's PyramidRescale soon draws only the factor 0, and imgaug's augmenters draw the same
    numbers in every loader worker.

    Args:
        prob: Probability of any change.
        min_scale: Smallest share of its height and width that an image is shrunk to; the share is
            drawn uniformly on a logarithmic scale.
        noise: Standard deviation of the noise, in gray levels.
        motion: Maximum number of pixels that a point is spread over, at least 3.

    Raises:
        ValueError: A setting is out of range.
    """

    def __init__(
        self, prob: float = 0.25, min_scale: float = 0.25, noise: float = 4.5, motion: int = 7
    ) -> None:
        if not (0 <= prob <= 1 and 0 < min_scale <= 1 and noise >= 0 and motion >= 3):
            raise ValueError(
                "prob of BlurWord is in [0, 1], min_scale in (0, 1], noise 0 or more and motion at "
                f"least 3, got {prob}, {min_scale}, {noise}, {motion}"
            )
        self.prob = prob
        self.min_scale = min_scale
        self.noise = noise
        self.motion = motion

    def transform(self, results: dict) -> dict:
        """Blur the image in ``results``; its size stays."""
        if np.random.random() >= self.prob:
            return results
        image = lose_resolution(results["img"], self.min_scale ** np.random.random())
        if np.random.random() < 0.5:
            image = add_noise(image, _new_generator(), self.noise)
        if np.random.random() < 0.5:
            length = np.random.randint(3, self.motion + 1)
            image = blur_motion(image, length - 1, np.random.uniform(0, math.pi))
        results["img"] = image
        return results


@dataclass(frozen=True)
class Degradation:
    """Strengths of blur, downscaling, noise and JPEG compression, which are applied in this order.

    A pair is a range from which each word draws uniformly.

    Attributes:
        blur: Sigma of a Gaussian, in pixels of the sharp image; drawn for each axis, since
            resizing to one size has stretched words unevenly.
        kernels: Interpolations of the downscaling, of which one is drawn: ``'area'``,
            ``'bilinear'``, ``'bicubic'`` (OpenCV's).
        noise: Sigma of Gaussian noise on the small image, by channel, in shares of the full range.
        jpeg: Probability of JPEG compression of the small image.
        jpeg_quality: Its quality.

    Raises:
        ValueError: A value is out of range, or a kernel is unknown.
    """

    blur: Sequence[float] = (0.0, 2.0)
    kernels: Sequence[str] = ("area", "bicubic")
    noise: Sequence[float] = (0.0, 0.04)
    jpeg: float = 0.7
    jpeg_quality: Sequence[float] = (40, 95)

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

    Every image draws equally many numbers, so that a setting changes only its own step. The image
    is uint8 ``(H, W, 3)``, its sides multiples of ``scale``; the result is
    ``(H / scale, W / scale, 3)``.
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


@TRANSFORMS.register_module()
class DegradeWord(WordTransform):
    """Make a pair from one sharp word image: ``gt`` as it is, ``img`` degraded and smaller.

    ``img`` is resized to ``size`` and becomes ``gt``; its result of :func:`degrade_word` becomes
    ``img``. Sets ``img_shape`` as well.

    Args:
        size: Height and width of ``gt``, which ``scale`` divides.
        scale: How many times smaller ``img`` is.
        seed: If given, the same ``sample_idx`` is always degraded in the same way, for validation.
            Otherwise the degradation is drawn from NumPy's global state.
        **strengths: See :class:`Degradation`.

    Raises:
        ValueError: ``scale`` does not divide ``size``, or a strength is out of range.
    """

    def __init__(
        self,
        size: tuple[int, int] = (32, 128),
        scale: int = 2,
        seed: int | None = None,
        **strengths: Any,
    ) -> None:
        self.size = check_scale(size, scale)
        self.scale = scale
        self.seed = seed
        self.settings = Degradation(**strengths)

    def transform(self, results: dict) -> dict:
        """Degrade the image in ``results``; ValueError with a seed and without ``sample_idx``."""
        if self.seed is None:
            rng = _new_generator()
        elif "sample_idx" in results:
            rng = np.random.default_rng([_STREAM, self.seed, results["sample_idx"]])
        else:
            raise ValueError("DegradeWord with a seed needs sample_idx, which the data set lacks")
        sharp = resize_word_image(results["img"], self.size)
        results["gt"] = sharp
        results["img"] = degrade_word(sharp, rng, self.scale, self.settings)
        results["img_shape"] = results["img"].shape[:2]
        return results


def _between(limits: Sequence[float], share: float) -> float:
    return limits[0] + (limits[1] - limits[0]) * share


def _new_generator() -> np.random.Generator:
    """Return a generator seeded from NumPy's global state, which each loader worker has its own."""
    return np.random.default_rng(np.random.randint(0, 2**32, 4, np.uint64))
