"""Word images with masks that separate text from background."""

from __future__ import annotations

import os
from collections.abc import Callable, Mapping, Sequence
from typing import Any

import numpy as np

from mms_ocr.datasets.sources import ImageSource, open_masked
from mms_ocr.datasets.sources.label_maps import decode_masked
from mms_ocr.datasets.sources.textseg import TextSegSource
from mms_ocr.datasets.word_images import Paths, WordImageDataset
from mms_ocr.registry import DATASETS
from mms_ocr.utils.errors import BrokenImageError

_LABELS = {"background": 0, "text": 1, "ignored": 255}
_UNKNOWN = 254
_NUM_LEVELS = 1 << 16
#: Text is the letters alone, as in the authors' code: their outlines, shadows and other effects
#: count as background.
TEXTSEG_MASK_VALUES = dict(background=(0, 200), text=(100,), ignored=(255,))


def mask_labels(
    levels: np.ndarray, mask_values: Mapping[str, Sequence[int]] | None = None
) -> np.ndarray:
    """Convert the gray levels of a mask ``(H, W)`` to labels: 0 background, 1 text, 255 ignored.

    Args:
        levels: The decoded mask, uint8 or uint16.
        mask_values: The gray levels of ``'background'``, ``'text'`` and ``'ignored'``. None takes
            masks of two levels: 0 is background, and the other one is text.

    Raises:
        BrokenImageError: The mask has levels without a label.
    """
    present = np.flatnonzero(np.bincount(levels.ravel()))
    if mask_values is None:
        if len(present) > 2 or (len(present) == 2 and present[0]):
            raise BrokenImageError(
                f"a mask has two gray levels, 0 for background and another for text, and this one "
                f"has {len(present)} ({_listed(present)}); JPEG adds levels, so store masks as "
                "PNG, or give mask_values"
            )
        return (levels > 0).astype(np.uint8)
    table = np.full(_NUM_LEVELS, _UNKNOWN, np.uint8)
    for name, values in mask_values.items():
        table[list(values)] = _LABELS[name]
    unknown = present[table[present] == _UNKNOWN]
    if len(unknown):
        raise BrokenImageError(
            f"gray level {_listed(unknown)} of this mask is not among mask_values {mask_values}"
        )
    return table[levels]


def _listed(levels: np.ndarray) -> str:
    return ", ".join(map(str, levels[:6])) + (", …" if len(levels) > 6 else "")


@DATASETS.register_module()
class WordMaskDataset(WordImageDataset):
    """Word images with masks: folders, LMDBs or JSON lines.

    The pipeline gets what :class:`~mms_ocr.datasets.WordImageDataset` gives, and ``mask``: uint8
    ``(H, W)`` of the size of ``img``; see :func:`mask_labels`. A pair is broken if one of the two
    is, they differ in size or EXIF orientation, or the mask has unknown gray levels.

    Args:
        path: Where the pairs are: see :func:`mms_ocr.datasets.sources.open_masked`.
        pipeline: Transforms or their configs.
        mask_values: See :func:`mask_labels`.
        **kwargs: Further arguments of :class:`~mms_ocr.datasets.WordImageDataset`.

    Raises:
        ValueError: An image has no mask, or ``mask_values`` are wrong.
    """

    sources: list[Any]

    def __init__(
        self,
        path: Paths,
        pipeline: Sequence[dict | Callable] = (),
        *,
        mask_values: Mapping[str, Sequence[int]] | None = None,
        **kwargs: Any,
    ) -> None:
        super().__init__(path, pipeline, **kwargs)
        if mask_values is not None:
            _check_values(mask_values)
        self.mask_values = mask_values

    def open(self, path: str | os.PathLike[str], data_root: str | None) -> ImageSource:
        """Open one of the paths."""
        return open_masked(path, data_root)

    def load(self, index: int) -> dict[str, Any]:
        """See :meth:`WordImageDataset.load`."""
        source: Any
        source, position = self.locate(index)
        raw, mask = source.read(position, self.labelled), source.read_second(position)
        image, levels = decode_masked(raw, mask, self.max_pixels)
        results = self.as_results(index, raw, image)
        try:
            results["mask"] = mask_labels(levels, self.mask_values)
        except BrokenImageError as error:
            raise BrokenImageError(f"{mask.name}: {error}") from error
        return results


@DATASETS.register_module()
class TextSegDataset(WordMaskDataset):
    """Word crops of TextSeg (Xu et al., CVPR 2021) as it is released, with their masks.

    Every word is cut from its whole picture when it is read, which takes tens of milliseconds: for
    long trainings ``mms-ocr convert TextSeg words.lmdb`` once and read that with
    :class:`~mms_ocr.datasets.WordMaskDataset` and the same ``mask_values``.

    Args:
        path: The folder with ``split.json``, or several.
        pipeline: Transforms or their configs.
        splits: Some of ``'train'``, ``'val'`` and ``'test'``.
        mask_values: See :func:`mask_labels`; the default is :data:`TEXTSEG_MASK_VALUES`.
        **kwargs: Further arguments of :class:`~mms_ocr.datasets.WordMaskDataset`.
    """

    def __init__(
        self,
        path: Paths,
        pipeline: Sequence[dict | Callable] = (),
        *,
        splits: Sequence[str] = ("train", "val"),
        mask_values: Mapping[str, Sequence[int]] | None = None,
        **kwargs: Any,
    ) -> None:
        self._splits = tuple(splits)
        super().__init__(path, pipeline, mask_values=mask_values or TEXTSEG_MASK_VALUES, **kwargs)

    def open(self, path: str | os.PathLike[str], data_root: str | None) -> TextSegSource:
        """Open one of the paths."""
        return TextSegSource(os.fspath(path), self._splits)


def _check_values(values: Mapping[str, Sequence[int]]) -> None:
    if "text" not in values or not set(values) <= set(_LABELS):
        raise ValueError(
            f"mask_values gives the gray levels of {', '.join(_LABELS)}, of text at least; got "
            f"{dict(values)}"
        )
    levels = [level for listed in values.values() for level in listed]
    if len(set(levels)) < len(levels) or not all(level in range(_NUM_LEVELS) for level in levels):
        raise ValueError(
            f"mask_values gives each gray level from 0 to 65535 to one label, got {dict(values)}"
        )
