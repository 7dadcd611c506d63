"""Whole batches of word images, decoded and resized straight into one array."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from contextlib import ExitStack
from typing import TYPE_CHECKING, Any, overload

import numpy as np
import torch
from mmengine.dataset import default_collate
from mmengine.structures import BaseDataElement
from torch import Tensor

from mms_ocr.datasets.sources import ImageSource, RawImage
from mms_ocr.datasets.transforms import PackWordImage, ResizeWordImage, resize_word_image
from mms_ocr.registry import FUNCTIONS

if TYPE_CHECKING:
    from mms_ocr.datasets.word_images import WordImageDataset

__all__ = ["WordBatch", "collate_words", "read_batch"]


class WordBatch(Sequence[dict[str, Any]]):
    """The items of a batch of which the images lie in one tensor.

    Item by item it is what the data set gives item by item, so that any collate function takes it;
    :func:`collate_words` takes the tensor as it is.

    Args:
        inputs: uint8 tensor ``(B, 3, H, W)``.
        data_samples: What is packed beside each image, or None for nothing.
    """

    def __init__(self, inputs: Tensor, data_samples: list[BaseDataElement] | None = None) -> None:
        self.inputs = inputs
        self.data_samples = data_samples

    def __len__(self) -> int:
        return len(self.inputs)

    @overload
    def __getitem__(self, index: int) -> dict[str, Any]: ...
    @overload
    def __getitem__(self, index: slice) -> WordBatch: ...
    def __getitem__(self, index: int | slice) -> dict[str, Any] | WordBatch:
        samples = None if self.data_samples is None else self.data_samples[index]
        if isinstance(index, slice):
            return WordBatch(self.inputs[index], samples)  # type: ignore[arg-type]
        item = dict(inputs=self.inputs[index])
        return item if samples is None else dict(item, data_samples=samples)

    def collated(self) -> dict[str, Any]:
        """The batch as models take it: ``inputs`` and, where there are any, ``data_samples``."""
        if self.data_samples is None:
            return dict(inputs=self.inputs)
        return dict(inputs=self.inputs, data_samples=self.data_samples)


@FUNCTIONS.register_module()
def collate_words(data_batch: Sequence) -> Any:
    """Collate as MMEngine's ``default_collate`` does, and take a :class:`WordBatch` as it is.

    Args:
        data_batch: The items of a batch.
    """
    return (
        data_batch.collated() if isinstance(data_batch, WordBatch) else default_collate(data_batch)
    )


def read_batch(
    dataset: WordImageDataset, indices: Sequence[int], resize: ResizeWordImage, pack: PackWordImage
) -> WordBatch:
    """Read a batch with the pixels, samples, counts and errors of reading it image by image.

    Each source is opened and checked once for the batch, and no image is copied after its resize:
    ``inputs`` is a view of pixels that lie as OpenCV writes them, the channels last.

    Args:
        dataset: The data set.
        indices: Of the images in it.
        resize: The first of its two transforms.
        pack: The second.

    Raises:
        IndexError: An index is outside the data set.
        TooManyBrokenError: More than the accepted share of its images are broken.
        SourceChangedError: A source shrank, vanished or was rewritten.
    """
    pixels = np.empty((len(indices), *resize.size, 3), np.uint8)
    samples = []
    readers: dict[ImageSource, Callable[[int], RawImage]] = {}
    with ExitStack() as opened:

        def load(index: int) -> dict[str, Any]:
            source, place = dataset.locate(index)
            read = readers.get(source)
            if read is None:
                read = readers[source] = opened.enter_context(source.reading(dataset.labelled))
            return dataset.decode(index, read(place))

        for index, slot in zip(indices, pixels):
            results = dataset.first_usable(index, load)
            resize_word_image(results["img"], resize.size, resize.interpolation, slot)
            if pack.meta_keys:
                samples.append(pack.sample({**results, "img": slot, "img_shape": resize.size}))
    inputs = torch.from_numpy(pixels).permute(0, 3, 1, 2)
    return WordBatch(inputs, samples if pack.meta_keys else None)
