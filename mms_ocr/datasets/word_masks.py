"""Word images with masks that separate text from background."""

from __future__ import annotations

import os
from collections.abc import Callable, Mapping, Sequence
from typing import Any

import numpy as np

from mms_ocr.datasets.sources import ImageSource, RawImage, open_masked
from mms_ocr.datasets.sources.label_maps import decode_masked
from mms_ocr.datasets.word_images import Paths, WordImageDataset
from mms_ocr.registry import DATASETS
from mms_ocr.utils.errors import BrokenImageError

_LABELS = {"background": 0, "text": 1, "ignored": 255}
_UNKNOWN = 254
_NUM_LEVELS = 1 << 16
_CHECKED_PAIRS = 8  # read when the data set is opened


def mask_labels(
    levels: np.ndarray, mask_values: Mapping[str, Sequence[int]] | None = None
) -> np.ndarray:
    """Convert the gray levels of a mask to labels.

    Args:
        levels: The decoded mask, uint8 or uint16 ``(H, W)``; see
            :func:`~mms_ocr.datasets.sources.label_maps.decode_label_map`.
        mask_values: The gray levels of ``'background'``, ``'text'`` and ``'ignored'``. None takes
            masks of two levels: 0 is background, and the other one is text.

    Returns:
        uint8 ``(H, W)``: 0 background, 1 text, 255 ignored.

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
    ``(H, W)`` of the size of ``img``: 0 background, 1 text, 255 ignored.

    A pair is broken if one of the two is missing or broken, they differ in size or EXIF
    orientation, or the mask has unknown gray levels.

    Args:
        path: Where the pairs are: see :func:`mms_ocr.datasets.sources.open_masked`.
        pipeline: Transforms or their configs.
        mask_values: See :func:`mask_labels`.
        **kwargs: Further arguments of :class:`~mms_ocr.datasets.WordImageDataset`.

    Raises:
        FileNotFoundError: A path does not exist.
        ValueError: A source is empty or malformed, an image has no mask, ``mask_values`` are
            wrong, or all of the first eight pairs are broken.
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
        self.mask_values = None if mask_values is None else _checked_values(mask_values)
        self._check_first_pairs()

    def open(self, path: str | os.PathLike[str], data_root: str | None) -> ImageSource:
        """Open one of the paths."""
        return open_masked(path, data_root)

    def decode(self, index: int, raw: RawImage) -> dict[str, Any]:
        """Decode the pair at ``index``, of which the image is read already.

        Raises:
            BrokenImageError: The pair is broken.
        """
        source, position = self.locate(index)
        stored: RawImage = source.read_second(position)  # type: ignore[attr-defined]
        image, levels = decode_masked(raw, stored, self.max_pixels)
        results = self.as_results(index, raw, image)
        try:
            results["mask"] = mask_labels(levels, self.mask_values)
        except BrokenImageError as error:
            raise BrokenImageError(f"{stored.name}: {error}") from error
        return results

    def _check_first_pairs(self) -> None:
        faults = []
        for index in range(min(_CHECKED_PAIRS, len(self))):
            try:
                self.load(index)
            except BrokenImageError as error:
                faults.append(str(error))
            else:
                return
        raise ValueError(f"all of the first {len(faults)} pairs are broken: {faults[0]}")


def _checked_values(values: Mapping[str, Sequence[int]]) -> dict[str, tuple[int, ...]]:
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
    return {name: tuple(listed) for name, listed in values.items()}
