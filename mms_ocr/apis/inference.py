"""Base class of the inferencers: loading, batching, broken images."""

from __future__ import annotations

import os
from abc import ABC, abstractmethod
from collections.abc import Iterator, Mapping, Sequence
from importlib import import_module
from itertools import islice
from typing import TYPE_CHECKING, Any, ClassVar, Generic, TypeVar

from mms_ocr.apis.input_images import BrokenImage, InputImage, Report, each_image, report_broken
from mms_ocr.apis.tasks import RECOGNITION, SEGMENTATION, SUPER_RESOLUTION, Task, runnable_weights
from mms_ocr.utils.bundled import is_onnx

if TYPE_CHECKING:
    from mmengine.config import Config

# Modules and classes that run the models of a task. They are imported when they are needed: those
# of checkpoints import torch.
_IN_TORCH = {
    RECOGNITION: ("recognizers", "TorchReader"),
    SEGMENTATION: ("torch_models", "TorchSegmenter"),
    SUPER_RESOLUTION: ("torch_models", "TorchUpscaler"),
}
_IN_ONNX = {
    RECOGNITION: "OnnxReader", SEGMENTATION: "OnnxSegmenter", SUPER_RESOLUTION: "OnnxUpscaler"
}  # fmt: skip

Result = TypeVar("Result")


class WordInferencer(ABC, Generic[Result]):
    """Trained model that takes word images.

    A model in ONNX, as :func:`mms_ocr.apis.export` writes it, needs onnxruntime, and neither torch
    nor MMOCR.

    Args:
        weights: Bundled weights (``mms-ocr zoo`` lists them), a checkpoint, a model in ONNX, or,
            for a recognizer, a folder that ``mms-ocr adapt`` wrote, whose ``reader.py`` is its
            config; None for the first bundled weights of the task.
        config: Config of a checkpoint: a file, the name of a bundled one, or a Config. None takes
            the bundled config that the checkpoint was trained with, else one with the encoder's
            size (and, for recognizers, the decoder) of the checkpoint.
        device: ``'cpu'``, ``'cuda'``, ``'cuda:1'``, …; None for a GPU if there is one, and the CPU
            for a model in ONNX.
        batch_size: Images of a forward pass.
        options: Changes to the config, such as ``{'model.decoder.max_seq_len': 25}``.

    Attributes:
        backend: What runs the model, a :class:`~mms_ocr.apis.torch_models.TorchModel` or an
            :class:`~mms_ocr.apis.onnx_models.OnnxModel`.

    Raises:
        FileNotFoundError: Config or weights are missing.
        ValueError: They do not fit each other or the task, or there is no such device.
        ImportError: A package that the weights need is not installed.
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
        weights = runnable_weights(weights, self.task)
        self.backend: Any
        if is_onnx(weights):
            if config is not None or options:
                name = "config" if config is not None else "options of a config"
                raise ValueError(
                    f"{weights} is a model in ONNX, which takes no {name}; give the checkpoint"
                )
            module = import_module("mms_ocr.apis.onnx_models")
            self.backend = getattr(module, _IN_ONNX[self.task])(weights, device)
        else:
            name, kind = _IN_TORCH[self.task]
            try:
                module = import_module(f"mms_ocr.apis.{name}")
            except ImportError as error:
                raise ImportError(
                    f"{weights} is a checkpoint, and what runs it cannot be imported ({error}); "
                    "see docs/install.md"
                ) from error
            self.backend = getattr(module, kind)(weights, config, device, options)
            self.cfg, self.model = self.backend.cfg, self.backend.model
        self.device = self.backend.device

    def __call__(self, images: Any, *, report: Report | None = None) -> list[Result]:
        """Process images, and return the list of results; see :meth:`iterate`."""
        return list(self.iterate(images, report))

    def iterate(self, images: Any, report: Report | None = None) -> Iterator[Result]:
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
            results = iter(self.predict(usable) if usable else [])
            for item in batch:
                yield item, item if isinstance(item, BrokenImage) else next(results)

    @abstractmethod
    def predict(self, images: Sequence[InputImage]) -> list[Any]:
        """Process a batch: a result, or a BrokenImage, for each image."""
