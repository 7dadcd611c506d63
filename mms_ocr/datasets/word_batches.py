"""Whole batches of word images, decoded and resized straight into one array."""

from __future__ import annotations

import math
from collections.abc import Sequence
from typing import Any, NamedTuple, Protocol, overload

import numpy as np
import torch
from mmengine.dataset import Compose, default_collate
from mmengine.structures import BaseDataElement
from torch import Tensor
from torch.utils.data import get_worker_info

from mms_ocr.datasets.transforms import PackWordImage, ResizeWordImage, resize_word_image
from mms_ocr.registry import FUNCTIONS


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


class BatchLayout(NamedTuple):
    """What the items of a data set have in common that can be read into one array.

    Attributes:
        size: Height and width of every image.
        has_samples: Whether something is packed beside each image.
    """

    size: tuple[int, int]
    has_samples: bool


class BatchReadable(Protocol):
    """A data set of which batches can be read in one go."""

    def batch_layout(self) -> BatchLayout | None:
        """None where items have to be read one by one: other transforms, or ways of its own."""

    def read_into(
        self, indices: Sequence[int], slots: Sequence[np.ndarray]
    ) -> list[BaseDataElement]:
        """Read images into ``slots``, uint8 arrays ``(H, W, 3)`` of the layout's size.

        Returns:
            What is packed beside each image; an empty list where the layout has no samples.
        """

    def __getitem__(self, index: int, /) -> Any: ...


def fused_transforms(pipeline: Compose) -> tuple[ResizeWordImage, PackWordImage] | None:
    """The transforms of a pipeline that resizes and packs and does no more; None for others."""
    resize_and_pack = pipeline.transforms
    if [type(transform) for transform in resize_and_pack] == [ResizeWordImage, PackWordImage]:
        return resize_and_pack[0], resize_and_pack[1]
    return None


def batch_layout_of(dataset: Any) -> BatchLayout | None:
    """The layout of a data set of any kind; None where it has none."""
    layout: BatchLayout | None = (
        dataset.batch_layout() if hasattr(dataset, "batch_layout") else None
    )
    return layout


def fused_layout(pipeline: Compose) -> BatchLayout | None:
    """The layout of what a pipeline gives, if it resizes and packs and does no more."""
    transforms = fused_transforms(pipeline)
    if transforms is None:
        return None
    resize, pack = transforms
    return BatchLayout(resize.size, bool(pack.meta_keys))


def finish_into(
    results: dict[str, Any], slot: np.ndarray, resize: ResizeWordImage, pack: PackWordImage
) -> list[BaseDataElement]:
    """Resize the image of ``results`` into ``slot`` and pack the rest, where there is any."""
    resize_word_image(results["img"], resize.size, resize.interpolation, slot)
    if not pack.meta_keys:
        return []
    return [pack.sample({**results, "img": slot, "img_shape": resize.size})]


def read_batch(dataset: BatchReadable, indices: Sequence[int]) -> list[Any] | WordBatch:
    """The items of a data set at ``indices``, in one go where its layout allows that.

    The pixels, samples, counts and errors are those of reading image by image. Each source is
    opened once for the batch, and no image is copied after its resize: ``inputs`` is a view of
    pixels that lie as OpenCV writes them, the channels last. In a loader's worker they lie in
    memory that the main process shares.

    Args:
        dataset: The data set.
        indices: Of the items.

    Raises:
        IndexError: An index is outside the data set.
        TooManyBrokenError: More than the accepted share of its images are broken.
        SourceChangedError: A source shrank, vanished or was rewritten.
    """
    layout = dataset.batch_layout()
    if layout is None:
        return [dataset[index] for index in indices]
    pixels = _empty(len(indices), *layout.size, 3)
    samples = dataset.read_into(indices, list(pixels.numpy()))
    return WordBatch(pixels.permute(0, 3, 1, 2), samples if layout.has_samples else None)


def _empty(*shape: int) -> Tensor:
    """An uint8 tensor, in shared memory if a loader's worker asks for it.

    There torch would copy it to shared memory when it sends it to the main process.
    """
    if get_worker_info() is None:
        return torch.empty(shape, dtype=torch.uint8)
    storage = torch.UntypedStorage._new_shared(math.prod(shape))
    return torch.empty(0, dtype=torch.uint8).set_(storage).view(shape)
