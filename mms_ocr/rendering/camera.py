"""Photographing a word: light, obstacles, optics, sensor and compression.

Images are uint8 BGR ``(H, W, 3)``. They are rounded after every float step, and OpenCV is only used
where it computes with integers: then every machine gives the same image.
"""

from __future__ import annotations

import math

import cv2
import numpy as np
from numpy.typing import NDArray

from mms_ocr.rendering.backgrounds import ramp, smooth_noise
from mms_ocr.rendering.colors import color_of_luma
from mms_ocr.rendering.settings import RenderSettings
from mms_ocr.utils.degrading import add_noise, blur_motion, compress_jpeg, round_pixels

Image = NDArray


def take_photograph(
    rng: np.random.Generator, clean: Image, text_height: float, settings: RenderSettings
) -> Image:
    """Degrade an image, uint8 BGR, as a camera does; ``text_height`` in pixels scales the blur."""
    picture = clean.copy()
    height, width = picture.shape[:2]
    if rng.random() < settings.occlusion:
        _occlude(rng, picture, settings)
    glare = rng.random() < settings.glare
    if settings.light or settings.tint or glare:
        picture = _light(rng, picture, glare, settings)
    if rng.random() < settings.defocus:
        sigma = text_height * settings.defocus_sigma * rng.random()
        if sigma > 0.3:
            picture = cv2.GaussianBlur(picture, (0, 0), sigma)
    if rng.random() < settings.motion:
        length = text_height * settings.motion_length * rng.random()
        picture = blur_motion(picture, length, rng.random() * math.pi)
    small = rng.random() < settings.low_resolution
    if small:
        picture = _shrink(rng, picture, min(settings.lowest_height / text_height, 1.0))
    if settings.exposure:
        picture = _expose(rng, picture, settings.exposure)
    if settings.noise:
        sigma = 255 * settings.noise * rng.random() ** 2
        colored = rng.random() < 0.5  # the other half has the same noise in all channels
        if sigma >= 0.7:
            picture = add_noise(picture, rng, sigma, colored)
    if rng.random() < settings.jpeg:
        low, high = settings.jpeg_quality
        picture = compress_jpeg(picture, round(low + (high - low) * rng.random()))
    if small:
        picture = cv2.resize(picture, (width, height), interpolation=cv2.INTER_LINEAR_EXACT)
    if rng.random() < settings.sharpening:
        picture = _sharpen(rng, picture)
    return picture


def _occlude(rng: np.random.Generator, picture: Image, settings: RenderSettings) -> None:
    """Draw a wire, a pole or a blot, thin enough that the word can be read."""
    height, width = picture.shape[:2]
    color = (color_of_luma(rng, rng.random(), settings.saturation) * 255).tolist()
    kind = rng.random()
    if kind < 0.5:
        start, end = (int(share * width) for share in rng.random(2))
        thickness = max(1, round(height * 0.06 * rng.random()))
        cv2.line(picture, (start, 0), (end, height), color, thickness, cv2.LINE_AA)
    elif kind < 0.75:
        y = int(rng.random() * height)
        slant = int((rng.random() - 0.5) * height * 0.4)
        thickness = max(1, round(height * 0.05 * rng.random()))
        cv2.line(picture, (0, y), (width, y + slant), color, thickness, cv2.LINE_AA)
    else:
        axes = [max(1, round(height * (0.04 + 0.12 * rng.random()))) for _ in range(2)]
        center = int(rng.random() * width), int(rng.random() * height)
        angle = int(rng.random() * 180)
        cv2.ellipse(picture, center, axes, angle, 0, 360, color, -1, cv2.LINE_AA)


def _light(
    rng: np.random.Generator, picture: Image, glare: bool, settings: RenderSettings
) -> Image:
    """Apply uneven and colored light, and optionally a bright reflection."""
    height, width = picture.shape[:2]
    lost = settings.light * rng.random()
    middle = np.float32(1 - lost / 2)
    if rng.random() < 0.7:
        shade = middle + ramp(rng, height, width) * np.float32(lost)
    else:
        noise = smooth_noise(rng, height, width, height * (0.5 + rng.random()))
        if rng.random() < 0.3:  # the hard edge of a cast shadow
            noise = np.clip(noise * np.float32(8), -1, 1)
        shade = middle + noise * np.float32(lost / 2)
    cast = 2 * rng.random(3, np.float32) - 1
    lit = picture * shade[..., None]
    lit *= 1 + (cast - cast.mean()) * np.float32(settings.tint)
    if glare:
        center_x, center_y = rng.random() * width, rng.random() * height
        x = (np.arange(width) - center_x) / (height * (0.2 + 0.9 * rng.random()))
        y = (np.arange(height) - center_y) / (height * (0.15 + 0.5 * rng.random()))
        spot = np.exp(-(y * y))[:, None] * np.exp(-(x * x)) * (60 + 140 * rng.random())
        lit += spot.astype(np.float32)[..., None]
    return round_pixels(lit)


def _shrink(rng: np.random.Generator, picture: Image, least: float) -> Image:
    """Shrink the image by a scale drawn from ``least`` to 1."""
    height, width = picture.shape[:2]
    share = least + (1 - least) * rng.random()
    if share < 0.85:
        picture = cv2.GaussianBlur(picture, (0, 0), 0.35 / share)
    size = max(2, round(width * share)), max(2, round(height * share))
    return cv2.resize(picture, size, interpolation=cv2.INTER_LINEAR_EXACT)


def _expose(rng: np.random.Generator, picture: Image, strength: float) -> Image:
    """Change contrast, brightness and gamma."""
    gain, lift, gamma = (2 * rng.random(3) - 1) * strength
    tones = np.arange(256) / 255
    tones = (tones - 0.5) * (1 + gain) + 0.5 + lift / 2
    tones = np.clip(tones, 0, 1) ** math.exp(gamma)
    return cv2.LUT(picture, np.rint(tones * 255).astype(np.uint8))


def _sharpen(rng: np.random.Generator, picture: Image) -> Image:
    """Apply unsharp masking, which leaves light and dark rims as cameras do."""
    soft = cv2.GaussianBlur(picture, (0, 0), 0.8 + rng.random()).astype(np.float32)
    return round_pixels(picture + (picture - soft) * np.float32(0.3 + 1.2 * rng.random()))
