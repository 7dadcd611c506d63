"""What happens between a sign and its photograph: light, obstacles, optics, sensor, compression.

Pictures are uint8 BGR ``(H, W, 3)``. Between two float steps a picture is rounded, and OpenCV is
only used where it computes with integers: then every machine gives the same picture.
"""

from __future__ import annotations

import math

import cv2
import numpy as np
from numpy.typing import NDArray

from mms_ocr.rendering.backgrounds import ramp, smooth_noise
from mms_ocr.rendering.colors import color_of_luma
from mms_ocr.rendering.settings import RenderSettings

Image = NDArray


def take_photograph(
    rng: np.random.Generator, clean: Image, text_height: float, settings: RenderSettings
) -> Image:
    """The clean picture as a camera would have caught it, same size.

    Args:
        rng: the generator to draw from.
        clean: uint8 BGR.
        text_height: of the word in pixels; blur follows it.
        settings: probabilities and strengths.
    """
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
        picture = _motion_blur(rng, picture, text_height * settings.motion_length)
    small = rng.random() < settings.low_resolution
    if small:
        picture = _shrink(rng, picture, min(settings.lowest_height / text_height, 1.0))
    if settings.exposure:
        picture = _expose(rng, picture, settings.exposure)
    if settings.noise:
        picture = _add_noise(rng, picture, settings.noise)
    if rng.random() < settings.jpeg:
        low, high = settings.jpeg_quality
        picture = _compress(picture, round(low + (high - low) * rng.random()))
    if small:
        picture = cv2.resize(picture, (width, height), interpolation=cv2.INTER_LINEAR_EXACT)
    if rng.random() < settings.sharpening:
        picture = _sharpen(rng, picture)
    return picture


def _rounded(picture: Image) -> Image:
    return np.clip(picture + np.float32(0.5), 0, 255).astype(np.uint8)


def _occlude(rng: np.random.Generator, picture: Image, settings: RenderSettings) -> None:
    """A wire, a pole or a blot; thin enough that the word can still be told."""
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
    """Uneven and colored light, and a bright reflection if asked for."""
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
    return _rounded(lit)


def _motion_blur(rng: np.random.Generator, picture: Image, longest: float) -> Image:
    """The mean of the picture at equal steps along a line."""
    length = longest * rng.random()
    steps = math.ceil(length) + 1
    angle = rng.random() * math.pi
    if steps < 3:
        return picture
    reach = math.ceil(length / 2)
    height, width = picture.shape[:2]
    wide = np.pad(picture, ((reach, reach), (reach, reach), (0, 0)), "edge")
    total = np.zeros(picture.shape, np.uint16)
    for step in range(steps):
        along = length * (step / (steps - 1) - 0.5)
        x, y = reach + round(along * math.cos(angle)), reach + round(along * math.sin(angle))
        total += wide[y : y + height, x : x + width]
    return ((total + steps // 2) // steps).astype(np.uint8)


def _shrink(rng: np.random.Generator, picture: Image, least: float) -> Image:
    """The picture as a smaller original holds it, its scale drawn from ``least`` to 1."""
    height, width = picture.shape[:2]
    share = least + (1 - least) * rng.random()
    if share < 0.85:
        picture = cv2.GaussianBlur(picture, (0, 0), 0.35 / share)
    size = max(2, round(width * share)), max(2, round(height * share))
    return cv2.resize(picture, size, interpolation=cv2.INTER_LINEAR_EXACT)


def _expose(rng: np.random.Generator, picture: Image, strength: float) -> Image:
    """Another contrast, brightness and gamma."""
    gain, lift, gamma = (2 * rng.random(3) - 1) * strength
    tones = np.arange(256) / 255
    tones = (tones - 0.5) * (1 + gain) + 0.5 + lift / 2
    tones = np.clip(tones, 0, 1) ** math.exp(gamma)
    return cv2.LUT(picture, np.rint(tones * 255).astype(np.uint8))


def _add_noise(rng: np.random.Generator, picture: Image, strongest: float) -> Image:
    sigma = 255 * strongest * rng.random() ** 2
    colored = rng.random() < 0.5
    if sigma < 0.7:
        return picture
    # Half of the pictures get the same noise in all channels: it costs a third.
    shape = picture.shape if colored else (*picture.shape[:2], 1)
    return _rounded(picture + rng.standard_normal(shape, np.float32) * np.float32(sigma))


def _compress(picture: Image, quality: int) -> Image:
    written, buffer = cv2.imencode(".jpg", picture, [cv2.IMWRITE_JPEG_QUALITY, quality])
    if not written:
        raise ValueError(f"JPEG of a {picture.shape} picture at quality {quality} failed")
    return np.asarray(cv2.imdecode(buffer, cv2.IMREAD_COLOR))


def _sharpen(rng: np.random.Generator, picture: Image) -> Image:
    """Unsharp masking, which leaves light and dark rims as cameras and editors do."""
    soft = cv2.GaussianBlur(picture, (0, 0), 0.8 + rng.random()).astype(np.float32)
    return _rounded(picture + (picture - soft) * np.float32(0.3 + 1.2 * rng.random()))
