"""Word images for the tools that draw pictures."""

from __future__ import annotations

import os
from collections.abc import Sequence
from itertools import islice

import torch
from mmengine.config import Config
from mmengine.dataset import Compose
from torch import Tensor

from mms_ocr.apis.input_images import image_fields, input_images
from mms_ocr.registry import DATASETS
from mms_ocr.utils.output_checks import check_outputs


def check_picture(
    path: str,
    inputs: Sequence[str],
    suffixes: Sequence[str] = (".png", ".jpg", ".jpeg", ".bmp", ".webp", ".tif"),
) -> None:
    """Make the folder of a picture, and check that it can be written and is none of the inputs."""
    os.makedirs(os.path.dirname(os.path.abspath(path)), exist_ok=True)
    check_outputs([path], inputs, suffixes=suffixes)


def load_word_images(cfg: Config, paths: Sequence[str], count: int) -> Tensor:
    """Load up to ``count`` images of paths, or of the validation set of a pretraining config.

    The config's validation pipeline resizes the images, uint8 RGB ``(N, 3, H, W)``. Raises
    FileNotFoundError if a path is missing, and ValueError without an image or with a broken one.
    """
    if count < 1:
        raise ValueError(f"at least 1 image is needed, got {count}")
    if paths:
        pipeline = Compose(cfg.val_dataloader.dataset.pipeline)
        images = islice(input_images(paths), count)
        packed = [pipeline(image_fields(image))["inputs"] for image in images]
    else:
        dataset = DATASETS.build(cfg.val_dataloader.dataset)
        packed = [dataset[i]["inputs"] for i in range(min(count, len(dataset)))]
    return torch.stack(packed).flip(1)
