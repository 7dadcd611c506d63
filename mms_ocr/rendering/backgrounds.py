"""Backgrounds of words: flat color, gradients, stains, textures, sign edges, image crops.

Images are float32 BGR ``(H, W, 3)`` in [0, 255]. OpenCV draws and resizes uint8 only: it then
computes with integers, and every machine gives the same image.
"""

from __future__ import annotations

import math
import os
from concurrent.futures import ThreadPoolExecutor
from functools import lru_cache

import cv2
import numpy as np
from numpy.typing import NDArray

from mms_ocr.rendering.colors import color_of_luma
from mms_ocr.rendering.settings import RenderSettings
from mms_ocr.utils.decoding import decode_image, read_image_file
from mms_ocr.utils.errors import BrokenImageError, warn
from mms_ocr.utils.walking import IMAGE_SUFFIXES, list_files

Image = NDArray
_MAX_PIXELS = 1 << 27  # of a photograph


class BackgroundImages:
    """Images of a folder tree whose crops become backgrounds.

    All of them are decoded once at the start. Broken ones are left out, with a warning.

    Attributes:
        files: Paths of the usable images in the folder.

    Raises:
        FileNotFoundError: The folder does not exist.
        OSError: A folder in it cannot be read.
        ValueError: It has no usable image.
    """

    def __init__(self, folder: str | os.PathLike[str]) -> None:
        self.folder = os.fspath(folder)
        if not os.path.isdir(self.folder):
            raise FileNotFoundError(f"{folder}: no such folder of background images")
        names = list(list_files(self.folder).names)
        if not names:
            raise ValueError(f"{folder}: no image here or below ({', '.join(IMAGE_SUFFIXES)})")
        with ThreadPoolExecutor(min(8, os.cpu_count() or 1)) as executor:
            faults = list(executor.map(self._find_fault, names))
        self.files = [name for name, fault in zip(names, faults) if fault is None]
        broken = [fault for fault in faults if fault is not None]
        if not self.files:
            raise ValueError(f"{folder}: all of {len(broken):,} images are broken; {broken[0]}")
        if broken:
            warn(
                f"backgrounds of {folder}: left out {len(broken):,} of {len(names):,} images as "
                f"broken, such as {broken[0]}"
            )

    def _find_fault(self, name: str) -> str | None:
        try:
            _read.__wrapped__(os.path.join(self.folder, name))
        except BrokenImageError as error:
            return str(error)
        return None

    def crop(self, rng: np.random.Generator, height: int, width: int) -> Image:
        """Crop a random part of a random image to a size, flipped or not."""
        image = _read(os.path.join(self.folder, self.files[int(rng.integers(len(self.files)))]))
        rows, columns = image.shape[:2]
        fit = min(rows / height, columns / width)
        scale = fit * (0.3 + 0.7 * rng.random())
        crop_h, crop_w = max(1, int(height * scale)), max(1, int(width * scale))
        top = int(rng.integers(rows - crop_h + 1))
        left = int(rng.integers(columns - crop_w + 1))
        part = image[top : top + crop_h, left : left + crop_w]
        if rng.random() < 0.5:
            part = part[:, ::-1]
        part = np.ascontiguousarray(part)
        if scale > 1.2:
            part = cv2.GaussianBlur(part, (0, 0), 0.4 * scale)
        return cv2.resize(part, (width, height), interpolation=cv2.INTER_LINEAR_EXACT).astype(
            np.float32
        )


@lru_cache(maxsize=64)
def _read(path: str) -> NDArray:
    data = read_image_file(path)
    try:
        image = decode_image(data, _MAX_PIXELS)
    except BrokenImageError as error:
        raise BrokenImageError(f"{path}: {error}") from error
    shrink = 1024 / max(image.shape[:2])  # limits the memory; crops are small
    if shrink < 1:
        image = cv2.resize(image, None, fx=shrink, fy=shrink, interpolation=cv2.INTER_AREA)
    return image


def smooth_noise(rng: np.random.Generator, height: int, width: int, cell: float) -> NDArray:
    """Draw ``(H, W)`` noise in [-1, 1] that changes over about ``cell`` pixels."""
    rows, columns = max(2, math.ceil(height / cell) + 1), max(2, math.ceil(width / cell) + 1)
    return _enlarge(rng, rows, columns, height, width) * np.float32(2 / 255) - 1


def _enlarge(rng: np.random.Generator, rows: int, columns: int, height: int, width: int) -> NDArray:
    """Interpolate random numbers: float32 ``(H, W)`` of integers from 0 to 255."""
    coarse = np.frombuffer(rng.bytes(rows * columns), np.uint8).reshape(rows, columns)
    fine = cv2.resize(coarse, (width, height), interpolation=cv2.INTER_LINEAR_EXACT)
    return fine.astype(np.float32)


def ramp(rng: np.random.Generator, height: int, width: int) -> NDArray:
    """Draw a linear ramp ``(H, W)`` from -0.5 to 0.5 in a random direction."""
    angle = rng.random() * 2 * math.pi
    cos, sin = math.cos(angle), math.sin(angle)
    reach = abs(cos) * width + abs(sin) * height
    x = (np.arange(width, dtype=np.float32) - (width - 1) / 2) * np.float32(cos / reach)
    y = (np.arange(height, dtype=np.float32) - (height - 1) / 2) * np.float32(sin / reach)
    return x[None] + y[:, None]


def make_background(
    rng: np.random.Generator,
    height: int,
    width: int,
    settings: RenderSettings,
    images: BackgroundImages | None = None,
) -> Image:
    """Draw a background by the settings' probabilities."""
    if images is not None and rng.random() < settings.image:
        return images.crop(rng, height, width)
    base = _color(rng, settings)
    picture = np.empty((height, width, 3), np.float32)
    picture[:] = base
    if rng.random() < settings.gradient:
        other = base + (_color(rng, settings) - base) * np.float32(0.15 + 0.5 * rng.random())
        picture += ramp(rng, height, width)[..., None] * (other - base)
    if rng.random() < settings.clouds:
        _add_clouds(rng, picture)
    if rng.random() < settings.texture:
        _TEXTURES[int(rng.integers(len(_TEXTURES)))](rng, picture)
    if rng.random() < settings.panel:
        _add_panel(rng, picture, settings)
    return np.clip(picture, 0, 255, out=picture)


def _color(rng: np.random.Generator, settings: RenderSettings) -> NDArray:
    # Dark and light signs are more common than middle grays.
    draw = rng.random()
    middle = 0.5 - 0.5 * math.cos(math.pi * draw)
    target = 0.03 + 0.94 * (0.3 * draw + 0.7 * middle)
    return color_of_luma(rng, target, settings.saturation) * np.float32(255)


def _add_clouds(rng: np.random.Generator, picture: Image) -> None:
    height, width = picture.shape[:2]
    strength = 6 + 34 * rng.random() ** 2
    cell = height * (0.15 + 0.7 * rng.random())
    noise = smooth_noise(rng, height, width, cell)
    noise += np.float32(0.5) * smooth_noise(rng, height, width, max(cell / 3, 2))
    tint = np.float32(1) + np.float32(0.3) * (rng.random(3, np.float32) - np.float32(0.5))
    picture += noise[..., None] * (tint * np.float32(strength))


def _add_grain(rng: np.random.Generator, picture: Image) -> None:
    height, width = picture.shape[:2]
    # Grain that is longer in one direction looks like wood, cloth or brushed metal.
    stretch = 1 + 12 * rng.random() ** 2
    cells = (1.2 + 1.5 * rng.random(), (1.2 + 1.5 * rng.random()) * stretch)
    along_x = rng.random() < 0.6
    cell_y, cell_x = cells if along_x else cells[::-1]
    rows, columns = max(2, math.ceil(height / cell_y)), max(2, math.ceil(width / cell_x))
    grain = _enlarge(rng, rows, columns, height, width) - np.float32(127.5)
    picture += grain[..., None] * np.float32((12 + 40 * rng.random()) / 255)


def _add_stripes(rng: np.random.Generator, picture: Image) -> None:
    height, width = picture.shape[:2]
    period = height * (0.08 + 0.35 * rng.random())
    angle = rng.random() * math.pi if rng.random() < 0.5 else (rng.random() < 0.5) * math.pi / 2
    x = np.arange(width) * (math.cos(angle) * 2 * math.pi / period)
    y = np.arange(height) * (math.sin(angle) * 2 * math.pi / period)
    # In double precision: sines of single precision differ from processor to processor.
    wave = np.sin(x[None] + y[:, None])
    if rng.random() < 0.5:
        wave = np.clip(wave * 4, -1, 1)
    picture += (wave * (4 + 18 * rng.random())).astype(np.float32)[..., None]


def _add_bricks(rng: np.random.Generator, picture: Image) -> None:
    height, width = picture.shape[:2]
    brick_h = height * (0.2 + 0.5 * rng.random())
    brick_w = brick_h * (1 + 2 * rng.random())
    offset = brick_w / 2 if rng.random() < 0.7 else 0.0
    line = np.zeros((height, width), np.uint8)
    thickness = 1 + int(rng.integers(2))
    start_y, start_x = rng.random() * brick_h, rng.random() * brick_w
    for row in range(-1, int(height / brick_h) + 2):
        y = round(start_y + row * brick_h)
        cv2.line(line, (0, y), (width, y), 255, thickness)
        for column in range(-1, int(width / brick_w) + 2):
            x = round(start_x + column * brick_w + (offset if row % 2 else 0))
            cv2.line(line, (x, y), (x, round(y + brick_h)), 255, thickness)
    strength = (10 + 35 * rng.random()) * (-1 if rng.random() < 0.6 else 1)
    joints = cv2.GaussianBlur(line, (3, 3), 0.7).astype(np.float32)
    picture += joints[..., None] * np.float32(strength / 255)


def _add_specks(rng: np.random.Generator, picture: Image) -> None:
    height, width = picture.shape[:2]
    speck = np.zeros((height, width), np.uint8)
    for _ in range(int(rng.integers(6, 40))):
        at = int(rng.integers(width)), int(rng.integers(height))
        tone = int(rng.integers(80, 256))
        cv2.circle(speck, at, int(rng.integers(1, 3)), tone, -1, cv2.LINE_AA)
    strength = (20 + 50 * rng.random()) * (-1 if rng.random() < 0.5 else 1)
    picture += speck.astype(np.float32)[..., None] * np.float32(strength / 255)


_TEXTURES = (_add_grain, _add_grain, _add_stripes, _add_bricks, _add_specks)


def _add_panel(rng: np.random.Generator, picture: Image, settings: RenderSettings) -> None:
    """Draw edges of a sign or rules, near the border where they do not touch the letters."""
    height, width = picture.shape[:2]
    color = _color(rng, settings)
    reach = 0.1 * height
    filled = rng.random() < 0.6
    shape = np.zeros((height, width), np.uint8)
    for side in range(4):
        inset, slant = round(reach * rng.random()), round((rng.random() - 0.5) * reach * 0.7)
        thickness = 1 + int(rng.integers(3))
        if rng.random() < 0.5:
            continue
        # The edge at the top or left; at the bottom or right it is mirrored.
        upright = side % 2 == 1
        length = height if upright else width
        start, end = (0, inset + slant), (length, inset - slant)
        corners = np.array([start, end, (length, -height), (0, -height)])
        if upright:
            corners = corners[:, ::-1]
        if side >= 2:
            corners = np.array([width - 1, height - 1]) - corners
        if filled:  # another surface begins at the edge
            cv2.fillConvexPoly(shape, corners.astype(np.int32), 255, cv2.LINE_AA)
        else:
            ends = corners[:2].tolist()
            cv2.line(shape, ends[0], ends[1], 255, thickness, cv2.LINE_AA)
    picture += (shape.astype(np.float32) * np.float32(1 / 255))[..., None] * (color - picture)
