"""Base class of the data preprocessors: batches of uint8 images on the device."""

from __future__ import annotations

from collections.abc import Sequence

import torch
from mmengine.model import BaseDataPreprocessor
from torch import Tensor


class ImagePreprocessor(BaseDataPreprocessor):
    """Stacks images, moves them to the device and normalizes them.

    Args:
        mean: Mean of each channel, in the order of the model's input, on the scale of 0 to 255.
        std: Standard deviation of each channel.
        bgr_to_rgb: Swap the channels; pipelines give BGR.
        non_blocking: Whether the transfer to the device may overlap with computation.
    """

    mean: Tensor
    std: Tensor
    resize_type = "mms_ocr.ResizeWordImage"  # transform that makes sizes equal, for messages

    def __init__(
        self,
        mean: Sequence[float] = (127.5, 127.5, 127.5),
        std: Sequence[float] = (127.5, 127.5, 127.5),
        bgr_to_rgb: bool = True,
        non_blocking: bool = True,
    ) -> None:
        super().__init__(non_blocking=non_blocking)
        self.bgr_to_rgb = bgr_to_rgb
        self.register_buffer("mean", torch.tensor(mean).view(-1, 1, 1), persistent=False)
        self.register_buffer("std", torch.tensor(std).view(-1, 1, 1), persistent=False)

    def stack(self, images: Tensor | Sequence[Tensor]) -> Tensor:
        """Make a batch of uint8 images of one size, float32 ``(B, 3, H, W)`` on the device.

        Raises:
            ValueError: The images differ in size.
        """
        if not isinstance(images, Tensor):
            sizes = {tuple(image.shape) for image in images}
            if len(sizes) > 1:
                raise ValueError(
                    f"images of one batch differ in size ({sorted(sizes)}); add "
                    f"dict(type={self.resize_type!r}) to the pipeline"
                )
            images = torch.stack(list(images))
        batch: Tensor = self.cast_data(images)
        return (batch.flip(1) if self.bgr_to_rgb else batch).float()

    def normalize(self, images: Tensor) -> Tensor:
        """Normalize images in [0, 255]."""
        return (images - self.mean) / self.std
