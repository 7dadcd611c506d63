"""Word images for the tools that draw pictures."""

from __future__ import annotations

import os
from collections.abc import Sequence

import torch
from mmengine.config import Config
from mmengine.dataset import Compose
from torch import Tensor

from mms_ocr.datasets import WordImageDataset
from mms_ocr.registry import DATASETS
from mms_ocr.utils.decoding import decode_image
from mms_ocr.utils.output_checks import check_outputs
from mms_ocr.utils.walking import IMAGE_SUFFIXES


def check_picture(
    path: str,
    inputs: Sequence[str],
    suffixes: Sequence[str] = (".png", ".jpg", ".jpeg", ".bmp", ".webp", ".tif"),
) -> None:
    """Make the folder of a picture, and refuse a place where none can be written.

    Args:
        path: The picture.
        inputs: What the tool reads, see :func:`check_outputs`.
        suffixes: What its name may end in.

    Raises:
        ValueError: It is an input, or has another suffix.
        OSError: It cannot be written.
    """
    os.makedirs(os.path.dirname(os.path.abspath(path)), exist_ok=True)
    check_outputs([path], inputs, suffixes=suffixes)


def load_word_images(cfg: Config, paths: Sequence[str], count: int) -> Tensor:
    """The first images of files or folders, or of the validation set of a config.

    Args:
        cfg: A pretraining config; its validation pipeline resizes the images.
        paths: Image files, and folders, LMDBs or JSON-lines files; empty takes the validation set.
        count: How many images at most, at least 1.

    Returns:
        uint8 RGB images, ``(N, 3, H, W)``.

    Raises:
        FileNotFoundError: A path is missing.
        ValueError: A file is no image, or the count is less than 1.
    """
    if count < 1:
        raise ValueError(f"at least 1 image is needed, got {count}")
    pipeline = Compose(cfg.val_dataloader.dataset.pipeline)
    packed: list[Tensor] = []
    for path in paths:
        if path.lower().endswith(IMAGE_SUFFIXES) and not os.path.isdir(path):
            packed.append(pipeline(_read(path))["inputs"])
        else:
            dataset = WordImageDataset(path, pipeline.transforms)
            packed.extend(
                dataset[i]["inputs"] for i in range(min(len(dataset), count - len(packed)))
            )
        if len(packed) >= count:
            break
    if not paths:
        dataset = DATASETS.build(cfg.val_dataloader.dataset)
        packed = [dataset[i]["inputs"] for i in range(min(count, len(dataset)))]
    return torch.stack(packed[:count]).flip(1)


def _read(path: str) -> dict:
    try:
        with open(path, "rb") as file:
            image = decode_image(file.read())
    except FileNotFoundError:
        raise FileNotFoundError(f"no image {path}") from None
    except ValueError as error:
        raise ValueError(f"{path}: {error}") from error
    shape = image.shape[:2]
    return {"img": image, "img_path": path, "img_shape": shape, "ori_shape": shape, "sample_idx": 0}
