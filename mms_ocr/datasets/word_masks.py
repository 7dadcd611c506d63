"""Word images with masks that tell text from background."""

from __future__ import annotations

import os
from collections.abc import Callable, Mapping, Sequence
from typing import Any

import numpy as np

from mms_ocr.datasets.label_maps import decode_masked
from mms_ocr.datasets.sources import BrokenImageError, ImageSource, RawImage
from mms_ocr.datasets.sources.masked import open_masked
from mms_ocr.datasets.word_images import WordImageDataset
from mms_ocr.registry import DATASETS
from mms_ocr.utils.decoding import MAX_PIXELS

BACKGROUND, TEXT, IGNORED = 0, 1, 255
_LABELS = {"background": BACKGROUND, "text": TEXT, "ignored": IGNORED}
_UNKNOWN = 254
_LEVELS = 1 << 16
_PROBED = 8  # pairs read when a source is opened


def mask_labels(
    levels: np.ndarray, mask_values: Mapping[str, Sequence[int]] | None = None
) -> np.ndarray:
    """Labels from a mask as it is stored.

    Args:
        levels: The decoded mask, uint8 or uint16 ``(H, W)``; see
            :func:`~mms_ocr.datasets.label_maps.decode_label_map`.
        mask_values: Which gray levels stand for ``'background'``, ``'text'`` and ``'ignored'``.
            None takes masks of two levels: 0 is background, and any other one text.

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
                "PNG, or say with mask_values what each level is"
            )
        return (levels > 0).astype(np.uint8)
    table = np.full(_LEVELS, _UNKNOWN, np.uint8)
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

    The pipeline is given what :class:`~mms_ocr.datasets.WordImageDataset` gives, and ``mask``:
    uint8 ``(H, W)`` of the size of ``img``: 0 background, 1 text, 255 not counted.

    A pair of which one is missing or broken, that differ in size or EXIF orientation, or whose mask
    has unknown gray levels, gives way to the next; they are counted and reported, and more than
    ``max_broken`` of them raise an error, as do eight at the very start.

    Args:
        path: Where the pairs are: see :func:`mms_ocr.datasets.sources.masked.open_masked`. Several
            paths are read one after the other.
        pipeline: Transforms or their configs.
        mask_values: See :func:`mask_labels`.
        labelled: Whether labels are read; then every source has to have them.
        data_root: For JSON lines, the folder that file names are relative to.
        max_broken: Share of broken pairs from which on reading is an error.
        max_pixels: An image of more pixels than this counts as broken.
        holdout: See :class:`~mms_ocr.datasets.WordImageDataset`.
        indices: Likewise.
        metainfo: Facts about the data set, for models and visualizers.

    Raises:
        FileNotFoundError: A path is missing.
        ValueError: A source is empty or malformed, an image lacks its mask, ``mask_values`` are
            wrong, or the first pairs cannot be used.
    """

    sources: list[Any]

    def __init__(
        self,
        path: str | os.PathLike[str] | Sequence[str | os.PathLike[str]],
        pipeline: Sequence[dict | Callable] = (),
        *,
        mask_values: Mapping[str, Sequence[int]] | None = None,
        labelled: bool = False,
        data_root: str | None = None,
        max_broken: float = 0.01,
        max_pixels: int = MAX_PIXELS,
        holdout: dict[str, Any] | None = None,
        indices: int | Sequence[int] | None = None,
        metainfo: dict[str, Any] | None = None,
    ) -> None:
        super().__init__(
            path,
            pipeline,
            labelled=labelled,
            data_root=data_root,
            max_broken=max_broken,
            max_pixels=max_pixels,
            holdout=holdout,
            indices=indices,
            metainfo=metainfo,
        )
        self.mask_values = None if mask_values is None else _checked_values(mask_values)
        self._probe()

    @staticmethod
    def open(path: str | os.PathLike[str], data_root: str | None) -> ImageSource:
        """Open one of the paths."""
        return open_masked(path, data_root)

    def decode(self, index: int, raw: RawImage) -> dict[str, Any]:
        """Decode the pair at ``index``, of which the image is read already.

        Raises:
            BrokenImageError: One of the two cannot be used, or they differ in EXIF orientation or
                size.
        """
        source, place = self.locate(index)
        stored: RawImage = source.read_second(place)  # type: ignore[attr-defined]
        image, levels = decode_masked(raw, stored, self.max_pixels)
        results = self.as_results(index, raw, image)
        try:
            results["mask"] = mask_labels(levels, self.mask_values)
        except BrokenImageError as error:
            raise BrokenImageError(f"{stored.name}: {error}") from error
        return results

    def _probe(self) -> None:
        """Refuse, before a run starts, what is wrong as a whole."""
        faults = []
        for index in range(min(_PROBED, len(self))):
            try:
                self.load(index)
            except BrokenImageError as error:
                faults.append(str(error))
                continue
            return
        raise ValueError(f"none of the first {len(faults)} pairs can be used: {faults[0]}")


def _checked_values(values: Mapping[str, Sequence[int]]) -> dict[str, tuple[int, ...]]:
    unknown = sorted(set(values) - set(_LABELS))
    if unknown or "text" not in values:
        raise ValueError(
            f"mask_values names the gray levels of {', '.join(_LABELS)}, text at least; got "
            f"{dict(values)}"
        )
    levels = [level for listed in values.values() for level in listed]
    if len(set(levels)) < len(levels) or not all(level in range(_LEVELS) for level in levels):
        raise ValueError(
            f"mask_values give each gray level from 0 to 65535 to one label, got {dict(values)}"
        )
    return {name: tuple(listed) for name, listed in values.items()}
