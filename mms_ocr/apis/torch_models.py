"""Models of the inferencers in torch."""

from __future__ import annotations

import os
from collections.abc import Mapping, Sequence
from typing import Any, ClassVar

import numpy as np
import torch
from mmengine.config import Config
from mmengine.structures import BaseDataElement
from torch import Tensor

from mms_ocr.apis.input_images import InputImage
from mms_ocr.apis.tasks import SEGMENTATION, SUPER_RESOLUTION, Task
from mms_ocr.apis.trained_models import build_trained, load_config
from mms_ocr.utils.cfg_options import merge_cfg_options
from mms_ocr.utils.devices import usable_device
from mms_ocr.utils.resizing import resize_word_image


class TorchModel:
    """Trained model in torch; the arguments are those of an inferencer.

    Attributes:
        cfg: Config of the model.
        model: The model, in evaluation mode.
        device: Its device.
    """

    task: ClassVar[Task]

    def __init__(
        self,
        weights: str,
        config: str | os.PathLike[str] | Config | None,
        device: str | None,
        options: Mapping[str, Any] | None,
    ) -> None:
        self.device = torch.device(usable_device(device))
        self.cfg = load_config(config, weights, self.task)
        merge_cfg_options(self.cfg, options)
        self.model: Any = build_trained(self.cfg, weights, str(self.device))


class TorchSegmenter(TorchModel):
    """Segmentor in torch."""

    task = SEGMENTATION

    @property
    def threshold(self) -> float:
        """Probability from which a pixel is text."""
        return float(self.model.threshold)

    def predict(self, images: Sequence[InputImage]) -> list[np.ndarray]:
        """Compute the probability of text, float32 ``(H, W)`` for each image."""
        inputs = stack_images(images, tuple(self.model.backbone.img_size))
        samples = [
            BaseDataElement(metainfo=dict(ori_shape=item.image.shape[:2])) for item in images
        ]
        predicted = self.model.test_step(dict(inputs=inputs, data_samples=samples))
        return [sample.seg_logits.data[0].sigmoid().numpy() for sample in predicted]


class TorchUpscaler(TorchModel):
    """Super-resolution model in torch."""

    task = SUPER_RESOLUTION

    @property
    def size(self) -> tuple[int, int]:
        """Height and width of its output."""
        return tuple(self.model.size)

    def predict(self, images: Sequence[InputImage]) -> list[np.ndarray]:
        """Restore images that are shrunk to half of ``size``: uint8 BGR ``(*size, 3)``."""
        inputs = stack_images(images, (self.size[0] // 2, self.size[1] // 2))
        restored = []
        for sample in self.model.test_step(dict(inputs=inputs)):
            rgb = (sample.pred_img * 255).round().byte().permute(1, 2, 0).numpy()
            restored.append(np.ascontiguousarray(rgb[:, :, ::-1]))
        return restored


def stack_images(images: Sequence[InputImage], size: tuple[int, int]) -> Tensor:
    """Resize images to ``size`` (height, width) and stack them, uint8 BGR ``(N, 3, H, W)``."""
    resized = np.stack([resize_word_image(item.image, size) for item in images])
    return torch.from_numpy(resized).permute(0, 3, 1, 2)
