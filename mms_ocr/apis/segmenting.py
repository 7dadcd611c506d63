"""Cutting words out of their background: the inferencer behind ``mms-ocr segment``."""

from __future__ import annotations

import os
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from itertools import islice
from typing import Any

import numpy as np
import torch
from mmengine.config import Config
from mmengine.structures import BaseDataElement
from torch import Tensor

from mms_ocr.apis.input_images import InputImage, Report, input_images
from mms_ocr.apis.trained_models import (
    SEGMENTATION,
    build_trained,
    choose_weights,
    load_config,
)
from mms_ocr.datasets.transforms import resize_word_image
from mms_ocr.utils.devices import usable_device
from mms_ocr.utils.files import write_image

#: What is written of a word: the names of its files end in these.
PARTS = ("mask", "cutout", "overlay")

_OVERLAY_COLOR = (255, 0, 255)  # magenta, which words are seldom written in
_OVERLAY_STRENGTH = 0.65


@dataclass(frozen=True)
class SegmentedWord:
    """A word image and which of its pixels are text.

    Attributes:
        name: Where the image is from.
        image: uint8 BGR ``(H, W, 3)``.
        probability: float32 ``(H, W)``, that a pixel is text.
        threshold: Probability from which on it is taken for text.
    """

    name: str
    image: np.ndarray
    probability: np.ndarray
    threshold: float = 0.5

    @property
    def mask(self) -> np.ndarray:
        """Bool ``(H, W)``, True where there is text."""
        return self.probability >= self.threshold

    def cutout(self) -> np.ndarray:
        """uint8 BGRA ``(H, W, 4)``: the text, and transparency in place of the background.

        Opacity is the probability, so that edges stay smooth.
        """
        alpha = np.rint(self.probability * 255).astype(np.uint8)
        return np.dstack([self.image, alpha])

    def overlay(self) -> np.ndarray:
        """uint8 BGR ``(H, W, 3)``: the image with its text painted over in magenta."""
        share = self.mask[:, :, None] * np.float32(_OVERLAY_STRENGTH)
        mixed = self.image * (1 - share) + np.array(_OVERLAY_COLOR, np.float32) * share
        return np.rint(mixed).astype(np.uint8)


class WordSegmenter:
    """Tells text from background in word images of any size.

    Args:
        weights: Bundled weights (``mms-ocr zoo`` lists them) or a checkpoint; None for the bundled
            segmentor.
        config: Its config: a path, the name of one that ships, or a Config. None takes the shipped
            one that the checkpoint says it was trained with, else one of
            ``mms_vit_{n,t,s}_seg_rendered``, whichever has the encoder's size.
        device: ``'cpu'``, ``'cuda'``, ``'cuda:1'``, …; None takes a GPU where there is one.
        batch_size: Images that go through the model together.
        threshold: Probability from which on a pixel is text; None takes the config's.

    Raises:
        FileNotFoundError: The config or the checkpoint is missing.
        ValueError: They do not fit each other, the config is of no segmentor, or there is no such
            device.
    """

    def __init__(
        self,
        weights: str | os.PathLike[str] | None = None,
        config: str | os.PathLike[str] | Config | None = None,
        device: str | None = None,
        batch_size: int = 64,
        threshold: float | None = None,
    ) -> None:
        if batch_size < 1:
            raise ValueError(f"batch_size must be at least 1, got {batch_size}")
        if threshold is not None and not 0 < threshold < 1:
            raise ValueError(f"threshold must lie in (0, 1), got {threshold}")
        self.device = usable_device(device)
        weights = choose_weights(weights, SEGMENTATION)
        self.cfg = load_config(config, weights, SEGMENTATION)
        self.model: Any = build_trained(self.cfg, weights, self.device)
        self.batch_size = batch_size
        self.threshold = self.model.threshold if threshold is None else threshold
        self._size: tuple[int, int] = tuple(self.model.backbone.img_size)

    def __call__(self, inputs: Any, report: Report | None = None) -> list[SegmentedWord]:
        """Segment all of the given images; see :meth:`iterate`."""
        return list(self.iterate(inputs, report))

    def iterate(self, inputs: Any, report: Report | None = None) -> Iterator[SegmentedWord]:
        """Segment images, batch by batch.

        Args:
            inputs: See :func:`~mms_ocr.apis.input_images.input_images`.
            report: Called for every image that cannot be used; without it, one raises an error.

        Raises:
            FileNotFoundError: A path is missing, and there is no ``report``.
            ValueError: An image cannot be used, likewise.
        """
        images = input_images(inputs, report)
        while batch := list(islice(images, self.batch_size)):
            yield from self._segment(batch)

    def _segment(self, batch: Sequence[InputImage]) -> Iterator[SegmentedWord]:
        planes = np.stack([resize_word_image(given.image, self._size) for given in batch])
        samples = [
            BaseDataElement(metainfo=dict(ori_shape=given.image.shape[:2])) for given in batch
        ]
        inputs = torch.from_numpy(planes).permute(0, 3, 1, 2)
        with torch.no_grad():
            predicted = self.model.test_step(dict(inputs=inputs, data_samples=samples))
        for given, sample in zip(batch, predicted):
            logits: Tensor = sample.seg_logits.data[0]
            yield SegmentedWord(
                given.name, given.image, logits.sigmoid().numpy(), float(self.threshold)
            )


def write_parts(word: SegmentedWord, folder: str, stem: str) -> list[str]:
    """Write mask, cut-out and overlay of a word as PNG.

    Args:
        word: The word.
        folder: Where to; it has to exist.
        stem: What the names of the three files start with.

    Returns:
        Their paths.

    Raises:
        ValueError: One of them is the word's own image.
        OSError: One of them cannot be written.
    """
    pictures = (word.mask.astype(np.uint8) * 255, word.cutout(), word.overlay())
    paths = [f"{folder}/{stem}_{part}.png" for part in PARTS]
    for path, picture in zip(paths, pictures):
        write_image(path, picture, source=word.name)
    return paths
