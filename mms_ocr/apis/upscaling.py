"""Enlarging and sharpening word images: the inferencer behind ``mms-ocr upscale``."""

from __future__ import annotations

import os
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from itertools import islice
from typing import Any

import numpy as np
import torch
from mmengine.config import Config

from mms_ocr.apis.input_images import InputImage, Report, input_images
from mms_ocr.apis.trained_models import (
    SUPER_RESOLUTION,
    build_trained,
    choose_weights,
    load_config,
)
from mms_ocr.datasets.transforms import resize_word_image
from mms_ocr.utils.devices import usable_device
from mms_ocr.utils.files import write_image

SCALE = 2


@dataclass(frozen=True)
class UpscaledWord:
    """A word image and what the network made of it.

    Attributes:
        name: Where the image is from.
        image: uint8 BGR ``(H, W, 3)``, as it was given.
        network_image: uint8 BGR, as the network gives it: ``(32, 128, 3)`` whatever the shape of
            the word.
        shrunk: Whether the image is larger than what the network sees of it, 16 x 64, so that
            detail of it was lost.
    """

    name: str
    image: np.ndarray
    network_image: np.ndarray
    shrunk: bool

    @property
    def upscaled(self) -> np.ndarray:
        """uint8 BGR ``(2 H, 2 W, 3)``: the network's image in the shape of the word."""
        size = (SCALE * self.image.shape[0], SCALE * self.image.shape[1])
        if self.network_image.shape[:2] == size:
            return self.network_image
        return resize_word_image(self.network_image, size)


class WordUpscaler:
    """Makes word images twice as large and sharp, of whatever size they are.

    The network sees every word at 16 x 64 and gives it at 32 x 128; smaller words are enlarged to
    that by bicubic interpolation, and larger ones shrunk.

    Args:
        weights: Bundled weights (``mms-ocr zoo`` lists them) or a checkpoint; None for the bundled
            super-resolution model.
        config: Its config: a path, the name of one that ships, or a Config. None takes the shipped
            one that the checkpoint says it was trained with, else one of
            ``mms_vit_{n,t,s}_sr_words``, whichever has the encoder's size.
        device: ``'cpu'``, ``'cuda'``, ``'cuda:1'``, …; None takes a GPU where there is one.
        batch_size: Images that go through the model together.

    Raises:
        FileNotFoundError: The config or the checkpoint is missing.
        ValueError: They do not fit each other, the config is of no super-resolution, or there is no
            such device.
    """

    def __init__(
        self,
        weights: str | os.PathLike[str] | None = None,
        config: str | os.PathLike[str] | Config | None = None,
        device: str | None = None,
        batch_size: int = 64,
    ) -> None:
        if batch_size < 1:
            raise ValueError(f"batch_size must be at least 1, got {batch_size}")
        self.device = usable_device(device)
        weights = choose_weights(weights, SUPER_RESOLUTION)
        self.cfg = load_config(config, weights, SUPER_RESOLUTION)
        self.model: Any = build_trained(self.cfg, weights, self.device)
        self.batch_size = batch_size
        height, width = self.model.size
        self._seen = (height // SCALE, width // SCALE)

    def __call__(self, inputs: Any, report: Report | None = None) -> list[UpscaledWord]:
        """Upscale all of the given images; see :meth:`iterate`."""
        return list(self.iterate(inputs, report))

    def iterate(self, inputs: Any, report: Report | None = None) -> Iterator[UpscaledWord]:
        """Upscale images, batch by batch.

        Args:
            inputs: See :func:`~mms_ocr.apis.input_images.input_images`.
            report: Called for every image that cannot be used; without it, one raises an error.

        Raises:
            FileNotFoundError: A path is missing, and there is no ``report``.
            ValueError: An image cannot be used, likewise.
        """
        images = input_images(inputs, report)
        while batch := list(islice(images, self.batch_size)):
            yield from self._upscale(batch)

    def _upscale(self, batch: Sequence[InputImage]) -> Iterator[UpscaledWord]:
        planes = np.stack([resize_word_image(given.image, self._seen) for given in batch])
        inputs = torch.from_numpy(planes).permute(0, 3, 1, 2)
        with torch.no_grad():
            predicted = self.model.test_step(dict(inputs=inputs))
        for given, sample in zip(batch, predicted):
            rgb = (sample.pred_img * 255).round().byte().permute(1, 2, 0).numpy()
            height, width = given.image.shape[:2]
            yield UpscaledWord(
                given.name,
                given.image,
                np.ascontiguousarray(rgb[:, :, ::-1]),
                height > self._seen[0] or width > self._seen[1],
            )


def write_upscaled(word: UpscaledWord, folder: str, stem: str, size: str = "double") -> str:
    """Write the upscaled word as PNG.

    Args:
        word: The word.
        folder: Where to; it has to exist.
        stem: Name of the file without its suffix.
        size: ``'double'`` for twice the size of the given image, ``'network'`` for the network's.

    Returns:
        The path.

    Raises:
        ValueError: It is the word's own image.
        OSError: It cannot be written.
    """
    path = f"{folder}/{stem}.png"
    picture = word.upscaled if size == "double" else word.network_image
    write_image(path, picture, source=word.name)
    return path
