"""Segmentation of text in word images, with ``mms-ocr segment``."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np

from mms_ocr.apis.inference import WordInferencer
from mms_ocr.apis.input_images import InputImage
from mms_ocr.apis.tasks import SEGMENTATION
from mms_ocr.utils.files import write_image

#: Endings of the names of the files of a word.
PARTS = ("mask", "cutout", "overlay")

_OVERLAY_COLOR = (255, 0, 255)  # magenta, a rare color of words
_OVERLAY_STRENGTH = 0.65


@dataclass(frozen=True)
class SegmentedWord:
    """Word image and its text pixels."""

    name: str
    image: np.ndarray  #: uint8 BGR (H, W, 3)
    probability: np.ndarray  #: of text, float32 (H, W)
    threshold: float = 0.5  #: probability from which a pixel is text

    @property
    def mask(self) -> np.ndarray:
        """Text pixels, bool ``(H, W)``."""
        return self.probability >= self.threshold

    def cutout(self) -> np.ndarray:
        """Make the background transparent, uint8 BGRA ``(H, W, 4)``; opacity is the probability."""
        alpha = np.rint(self.probability * 255).astype(np.uint8)
        return np.dstack([self.image, alpha])

    def overlay(self) -> np.ndarray:
        """Paint the text in magenta, uint8 BGR ``(H, W, 3)``."""
        share = self.mask[:, :, None] * np.float32(_OVERLAY_STRENGTH)
        mixed = self.image * (1 - share) + np.array(_OVERLAY_COLOR, np.float32) * share
        return np.rint(mixed).astype(np.uint8)


class WordSegmenter(WordInferencer[SegmentedWord]):
    """Segments text in word images of any size.

    The first arguments are those of :class:`~mms_ocr.apis.inference.WordInferencer`. ``threshold``
    is the probability from which a pixel is text, in (0, 1); None takes the config's.

    Raises:
        ValueError: ``threshold`` is outside (0, 1).
    """

    task = SEGMENTATION

    def __init__(self, *args: Any, threshold: float | None = None, **kwargs: Any) -> None:
        if threshold is not None and not 0 < threshold < 1:
            raise ValueError(f"threshold must lie in (0, 1), got {threshold}")
        super().__init__(*args, **kwargs)
        self.threshold = float(self.backend.threshold if threshold is None else threshold)

    def predict(self, images: Sequence[InputImage]) -> list[SegmentedWord]:
        """Segment a batch."""
        return [
            SegmentedWord(item.name, item.image, probability, self.threshold)
            for item, probability in zip(images, self.backend.predict(images))
        ]


def write_parts(word: SegmentedWord, folder: str, stem: str) -> list[str]:
    """Write mask, cut-out and overlay of a word as PNG in an existing folder; return the paths.

    Raises ValueError if one of them is the word's own image.
    """
    pictures = (word.mask.astype(np.uint8) * 255, word.cutout(), word.overlay())
    paths = [f"{folder}/{stem}_{part}.png" for part in PARTS]
    for path, picture in zip(paths, pictures):
        write_image(path, picture, source=word.name)
    return paths
