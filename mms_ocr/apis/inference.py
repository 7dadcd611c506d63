"""Base class of the inferencers: loading, batching, broken images."""

from __future__ import annotations

import os
from abc import ABC, abstractmethod
from collections.abc import Iterator, Mapping, Sequence
from itertools import islice
from typing import Any, ClassVar

import numpy as np
import torch
from mmengine.config import Config
from torch import Tensor

from mms_ocr.apis.input_images import BrokenImage, InputImage, Report, each_image, report_broken
from mms_ocr.apis.trained_models import Task, build_trained, choose_weights, load_config
from mms_ocr.datasets.transforms import resize_word_image
from mms_ocr.utils.cfg_options import merge_cfg_options
from mms_ocr.utils.devices import usable_device


class WordInferencer(ABC):
    """Trained model that takes word images.

    Args:
        weights: Bundled weights (``mms-ocr zoo`` lists them) or a checkpoint; None for the first
            bundled weights of the task.
        config: Its config: a file, the name of a bundled one, or a Config. None takes the bundled
            config that the checkpoint was trained with, else one with the encoder's size (and, for
            recognizers, the decoder) of the checkpoint.
        device: ``'cpu'``, ``'cuda'``, ``'cuda:1'``, …; None for a GPU if there is one.
        batch_size: Images of a forward pass.
        options: Changes to the config, such as ``{'model.decoder.max_seq_len': 25}``.

    Raises:
        FileNotFoundError: Config or checkpoint are missing.
        ValueError: They do not fit each other or the task, or there is no such device.
    """

    task: ClassVar[Task]

    def __init__(
        self,
        weights: str | os.PathLike[str] | None = None,
        config: str | os.PathLike[str] | Config | None = None,
        device: str | None = None,
        batch_size: int = 64,
        options: Mapping[str, Any] | None = None,
    ) -> None:
        if batch_size < 1:
            raise ValueError(f"batch_size must be at least 1, got {batch_size}")
        self.batch_size = batch_size
        self.device = torch.device(usable_device(device))
        weights = choose_weights(weights, self.task)
        self.cfg = load_config(config, weights, self.task)
        merge_cfg_options(self.cfg, options)
        self.model: Any = build_trained(self.cfg, weights, str(self.device))

    def __call__(self, images: Any, *, report: Report | None = None) -> Any:
        """Process images, and return the list of results; see :meth:`iterate`."""
        return list(self.iterate(images, report))

    def iterate(self, images: Any, report: Report | None = None) -> Iterator[Any]:
        """Process images batch by batch, and yield their results in order.

        See :func:`~mms_ocr.apis.input_images.each_image` and
        :func:`~mms_ocr.apis.input_images.report_broken` for the arguments and errors.
        """
        return report_broken((result for _, result in self.process(images)), report)

    def process(self, images: Any) -> Iterator[tuple[InputImage | BrokenImage, Any]]:
        """Yield each input and its result; the result of a broken one is a BrokenImage."""
        inputs = each_image(images)
        while batch := list(islice(inputs, self.batch_size)):
            usable = [item for item in batch if isinstance(item, InputImage)]
            with torch.inference_mode():
                results = iter(self.predict(usable) if usable else [])
            for item in batch:
                yield item, item if isinstance(item, BrokenImage) else next(results)

    @abstractmethod
    def predict(self, images: Sequence[InputImage]) -> list[Any]:
        """Process a batch: a result, or a BrokenImage, for each image."""


def stack_images(images: Sequence[InputImage], size: tuple[int, int]) -> Tensor:
    """Resize images to ``size`` (height, width) and stack them, uint8 BGR ``(N, 3, H, W)``."""
    resized = np.stack([resize_word_image(item.image, size) for item in images])
    return torch.from_numpy(resized).permute(0, 3, 1, 2)
