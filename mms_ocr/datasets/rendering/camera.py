"""What happens between a sign and its photograph: light, obstacles, optics, sensor, compression.

All functions but :func:`take_photograph` change a float32 BGR picture in [0, 255].
"""

from __future__ import annotations

import math

import cv2
import numpy as np
from numpy.typing import NDArray

from .backgrounds import ramp, smooth_noise
from .colours import colour_of_luma
from .settings import RenderSettings

__all__ = ["take_photograph"]

Image = NDArray


def take_photograph(
    rng: np.random.Generator,
    clean: NDArray,
    text_height: float,
    settings: RenderSettings,
) -> NDArray:
    """The clean picture ``(H, W, 3)`` as a camera would have caught it, same size.

    Args:
        rng: the generator to draw from.
        clean: uint8 BGR.
        text_height: of the word in pixels; blur follows it.
        settings: probabilities and strengths.
    """
    height, width = clean.shape[:2]
    picture: Image = clean.astype(np.float32)
    if rng.random() < settings.occlusion:
        _occlude(rng, picture, settings)
    if settings.light:
        _light(rng, picture, settings.light)
    if rng.random() < settings.glare:
        _glare(rng, picture)
    if rng.random() < settings.defocus:
        sigma = text_height * settings.defocus_sigma * rng.random()
        if sigma > 0.3:
            picture = cv2.GaussianBlur(picture, (0, 0), sigma)
    if rng.random() < settings.motion:
        picture = _motion_blur(rng, picture, text_height * settings.motion_length)
    small = rng.random() < settings.low_resolution
    if small:
        share = _original_share(rng, text_height, settings.lowest_height)
        size = max(2, round(width * share)), max(2, round(height * share))
        picture = cv2.resize(picture, size, interpolation=cv2.INTER_AREA)
    if settings.exposure:
        picture = _expose(rng, picture, settings.exposure)
    if settings.noise:
        _add_noise(rng, picture, settings.noise)
    photograph = np.clip(picture + np.float32(0.5), 0, 255).astype(np.uint8)
    if rng.random() < settings.jpeg:
        low, high = settings.jpeg_quality
        photograph = _compress(photograph, round(low + (high - low) * rng.random()))
    if small:
        mode = cv2.INTER_LINEAR if rng.random() < 0.5 else cv2.INTER_CUBIC
        photograph = cv2.resize(photograph, (width, height), interpolation=mode)
    return photograph


def _original_share(rng: np.random.Generator, text_height: float, lowest: float) -> float:
    least = min(lowest / text_height, 1.0)
    return least + (1 - least) * rng.random()


def _light(rng: np.random.Generator, picture: Image, strength: float) -> None:
    height, width = picture.shape[:2]
    lost = strength * rng.random()
    if rng.random() < 0.7:
        shade = np.float32(1 - lost / 2) + ramp(rng, height, width) * np.float32(lost)
    else:
        cell = height * (0.5 + rng.random())
        noise = smooth_noise(rng, height, width, cell)
        if rng.random() < 0.3:  # the hard edge of a cast shadow
            noise = np.clip(noise * np.float32(8), -1, 1)
        shade = np.float32(1 - lost / 2) + noise * np.float32(lost / 2)
    picture *= shade[..., None]


def _glare(rng: np.random.Generator, picture: Image) -> None:
    height, width = picture.shape[:2]
    centre_x, centre_y = rng.random() * width, rng.random() * height
    radius_x = height * (0.2 + 0.9 * rng.random())
    radius_y = height * (0.15 + 0.5 * rng.random())
    x = (np.arange(width, dtype=np.float32) - np.float32(centre_x)) / np.float32(radius_x)
    y = (np.arange(height, dtype=np.float32) - np.float32(centre_y)) / np.float32(radius_y)
    spot = np.exp(-(x * x))[None] * np.exp(-(y * y))[:, None]
    picture += spot[..., None] * np.float32(60 + 140 * rng.random())


def _occlude(rng: np.random.Generator, picture: Image, settings: RenderSettings) -> None:
    """A wire, a pole or a blot; thin enough that the word can still be told."""
    height, width = picture.shape[:2]
    colour = tuple((colour_of_luma(rng, rng.random(), settings.saturation) * 255).tolist())
    kind = rng.random()
    if kind < 0.5:
        ends = [int(value) for value in rng.random(4) * (width, height, width, height)]
        thickness = max(1, round(height * 0.06 * rng.random()))
        cv2.line(picture, (ends[0], 0), (ends[2], height), colour, thickness, cv2.LINE_AA)
    elif kind < 0.75:
        y = int(rng.random() * height)
        thickness = max(1, round(height * 0.05 * rng.random()))
        slant = int((rng.random() - 0.5) * height * 0.4)
        cv2.line(picture, (0, y), (width, y + slant), colour, thickness, cv2.LINE_AA)
    else:
        axes = [max(1, round(height * (0.04 + 0.12 * rng.random()))) for _ in range(2)]
        centre = int(rng.random() * width), int(rng.random() * height)
        cv2.ellipse(picture, centre, tuple(axes), rng.random() * 180, 0, 360, colour, -1)


def _motion_blur(rng: np.random.Generator, picture: Image, longest: float) -> Image:
    length = longest * rng.random()
    if length < 1:
        return picture
    size = 2 * math.ceil(length / 2) + 1
    kernel = np.zeros((size, size), np.uint8)
    angle = rng.random() * math.pi
    middle = size // 2
    # Sixteenths of a pixel, so that short movements have a direction too.
    dx, dy = (round(math.cos(angle) * length * 8), round(math.sin(angle) * length * 8))
    start, end = (middle * 16 - dx, middle * 16 - dy), (middle * 16 + dx, middle * 16 + dy)
    cv2.line(kernel, start, end, 255, 1, cv2.LINE_AA, 4)
    weights = kernel.astype(np.float32)
    return cv2.filter2D(picture, -1, weights / weights.sum(), borderType=cv2.BORDER_REPLICATE)


def _expose(rng: np.random.Generator, picture: Image, strength: float) -> Image:
    gain, lift, gamma = (2 * rng.random(3) - 1) * strength
    picture = picture * np.float32(1 + gain) + np.float32(255 * (0.5 * lift - 0.5 * gain))
    if abs(gamma) > 0.02:
        table = (np.arange(256) / 255) ** math.exp(gamma) * 255
        whole = np.clip(picture, 0, 255).astype(np.uint8)
        picture = cv2.LUT(whole, table.astype(np.float32))
    return picture


def _add_noise(rng: np.random.Generator, picture: Image, strongest: float) -> None:
    sigma = 255 * strongest * rng.random() ** 2
    if sigma < 0.7:
        return
    if rng.random() < 0.5:  # the same in all channels: luma noise, at a third of the cost
        picture += rng.standard_normal(picture.shape[:2], np.float32)[..., None] * np.float32(sigma)
    else:
        picture += rng.standard_normal(picture.shape, np.float32) * np.float32(sigma)


def _compress(photograph: NDArray, quality: int) -> NDArray:
    written, buffer = cv2.imencode(".jpg", photograph, [cv2.IMWRITE_JPEG_QUALITY, quality])
    if not written:
        raise ValueError(f"JPEG of a {photograph.shape} picture at quality {quality} failed")
    return np.asarray(cv2.imdecode(buffer, cv2.IMREAD_COLOR))
