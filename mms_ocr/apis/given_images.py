"""Images as users give them: files, folders, data sets, arrays, or lists of these."""

from __future__ import annotations

import os
from collections.abc import Callable, Iterable, Iterator
from pathlib import Path
from typing import Any, NamedTuple

import numpy as np

from mms_ocr.datasets.decoding import decode_image
from mms_ocr.datasets.sources import BrokenImageError, open_source
from mms_ocr.datasets.sources.folder import IMAGE_SUFFIXES

__all__ = ["GivenImage", "given_images", "output_stem"]

Report = Callable[[str], Any]


class GivenImage(NamedTuple):
    """An image and where it is from.

    Attributes:
        name: Its path, with the key where it is in an LMDB; or ``array 0`` for the first array.
        image: uint8 BGR ``(H, W, 3)``.
    """

    name: str
    image: np.ndarray


def given_images(inputs: Any, report: Report | None = None) -> Iterator[GivenImage]:
    """Read images one by one.

    Args:
        inputs: The path of an image, or of a folder, LMDB or file of JSON lines; an array, uint8
            ``(H, W, 3)`` in BGR or ``(H, W)`` in grey; or an iterable of these.
        report: Is told of every image that cannot be used, in one line, and the rest go on; without
            it, that is an error.

    Raises:
        FileNotFoundError: A path is missing, and there is no ``report``.
        ValueError: An image cannot be used, likewise.
        TypeError: An input is none of these.
    """
    arrays = 0
    for given in [inputs] if _is_one(inputs) else inputs:
        try:
            if isinstance(given, np.ndarray):
                arrays += 1
                yield GivenImage(f"array {arrays - 1}", _checked_array(given, arrays - 1))
            elif isinstance(given, (str, os.PathLike)):
                yield from _images_at(os.fspath(given), report)
            else:
                raise TypeError(
                    f"an image is given by its path or as an array, got a {type(given).__name__}"
                )
        except (FileNotFoundError, ValueError) as error:
            if report is None:
                raise
            report(str(error))


def _is_one(inputs: Any) -> bool:
    return isinstance(inputs, (str, os.PathLike, np.ndarray)) or not isinstance(inputs, Iterable)


def _checked_array(array: np.ndarray, number: int) -> np.ndarray:
    if array.dtype != np.uint8 or not array.size or array.shape[2:] not in ((), (3,)):
        raise ValueError(
            f"array {number} is {array.dtype} {array.shape}; give uint8 (H, W, 3) in BGR or (H, W) "
            "in grey"
        )
    return np.repeat(array[:, :, None], 3, axis=2) if array.ndim == 2 else array


def _images_at(path: str, report: Report | None) -> Iterator[GivenImage]:
    if not os.path.exists(path):
        raise FileNotFoundError(f"there is no image or folder {path!r}")
    if os.path.isfile(path) and path.lower().endswith(IMAGE_SUFFIXES):
        yield GivenImage(path, _decoded(Path(path).read_bytes(), path))
        return
    source = open_source(path)
    for index in range(len(source)):
        try:
            raw = source.read(index)
            image = _decoded(raw.data, raw.name)
        except BrokenImageError as error:
            if report is None:
                raise
            report(str(error))
            continue
        yield GivenImage(raw.name, image)


def _decoded(data: bytes, name: str) -> np.ndarray:
    try:
        return decode_image(data)
    except BrokenImageError as error:
        raise BrokenImageError(f"{name}: {error}") from error


def output_stem(name: str, taken: set[str]) -> str:
    """A file name without suffix for what is made of an image; no two are equal.

    Args:
        name: Of the image, see :class:`GivenImage`.
        taken: Names that were given already; this one is added.
    """
    base = os.path.basename(name.rstrip("/\\"))
    root, suffix = os.path.splitext(base)
    stem = (root if suffix.lower() in IMAGE_SUFFIXES else base).replace(":", "_").replace(" ", "_")
    unique, number = stem, 2
    while unique in taken:
        unique, number = f"{stem}_{number}", number + 1
    taken.add(unique)
    return unique
