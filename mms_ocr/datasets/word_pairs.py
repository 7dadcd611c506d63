"""Words in low and in high resolution, read from files."""

from __future__ import annotations

import os
from collections.abc import Callable, Sequence
from typing import Any

import numpy as np

from mms_ocr.datasets.label_maps import decode_pair
from mms_ocr.datasets.sources import BrokenImageError, RawImage
from mms_ocr.datasets.sources.pairing import PairedSource
from mms_ocr.datasets.sources.pairs import open_pairs
from mms_ocr.datasets.word_images import WordImageDataset
from mms_ocr.registry import DATASETS
from mms_ocr.utils.decoding import MAX_PIXELS


@DATASETS.register_module()
class WordPairDataset(WordImageDataset):
    """Pairs of a small and a large image of a word: TextZoom's LMDBs, folders or JSON lines.

    The pipeline is given ``gt`` (the large image, uint8 BGR ``(H, W, 3)``), ``img`` (the small
    one), ``img_path`` (file, and key, of the large one), ``img_shape`` and ``ori_shape`` (of the
    small one), ``sample_idx``, ``text`` if ``labelled``, and ``subset`` if there are ``subsets``.

    A pair of which one image is missing or broken, or the small one has more pixels than the large
    one, gives way to the next; they are counted and reported, and more than ``max_broken`` of them
    are an error, as in :class:`~mms_ocr.datasets.WordImageDataset`.

    Args:
        path: Where the pairs are: see :func:`mms_ocr.datasets.sources.pairs.open_pairs`. Several
            paths are read one after the other.
        pipeline: Transforms or their configs.
        subsets: Names of the paths, one for each, by which metrics tell their numbers apart.
        labelled: Whether labels are read; then every source has to have them.
        data_root: For JSON lines, the folder that file names are relative to.
        max_broken: Share of broken pairs from which on reading is an error.
        max_pixels: An image of more pixels than this counts as broken.
        holdout: See :class:`~mms_ocr.datasets.WordImageDataset`.
        indices: Likewise.
        metainfo: Facts about the data set, for models and visualizers.

    Raises:
        FileNotFoundError: A path is missing.
        ValueError: A source is empty or malformed, an image lacks its pair, there is not one subset
            for each path, or the small image of a source's first pair is the larger one.
    """

    def __init__(
        self,
        path: str | os.PathLike[str] | Sequence[str | os.PathLike[str]],
        pipeline: Sequence[dict | Callable] = (),
        *,
        subsets: Sequence[str] | None = None,
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
        if subsets is not None and len(subsets) != len(self.sources):
            raise ValueError(
                f"{len(self.sources)} paths need as many subsets, got {len(subsets)} "
                f"({', '.join(subsets)})"
            )
        self.subsets = None if subsets is None else tuple(subsets)
        for source in self.sources:
            self._check_first(source)

    @staticmethod
    def open(path: str | os.PathLike[str], data_root: str | None) -> PairedSource:
        """Open one of the paths."""
        return open_pairs(path, data_root)

    def decode(self, index: int, raw: RawImage) -> dict[str, Any]:
        """Decode the pair at ``index``, of which the large image is read already.

        Raises:
            BrokenImageError: One of them cannot be used, they differ in EXIF orientation, or the
                small one is the larger one.
        """
        source: Any
        source, place = self.locate(index)
        large, small = decode_pair(raw, source.read_second(place), self.max_pixels)
        if _is_larger(small, large):
            raise BrokenImageError(_exchanged(source, place, small, large))
        results = dict(self.as_results(index, raw, small), gt=large)
        if self.subsets is not None:
            results["subset"] = self.subsets[self.sources.index(source)]
        return results

    def _check_first(self, source: Any) -> None:
        """Report exchanged resolutions before a run starts; broken images are reported when met."""
        try:
            large, small = decode_pair(source.read(0), source.read_second(0), self.max_pixels)
        except BrokenImageError:
            return
        if _is_larger(small, large):
            raise ValueError(_exchanged(source, 0, small, large))


def _is_larger(small: np.ndarray, large: np.ndarray) -> bool:
    return small.shape[0] * small.shape[1] > large.shape[0] * large.shape[1]


def _exchanged(source: Any, place: int, small: np.ndarray, large: np.ndarray) -> str:
    return (
        f"{source.second_name(place)}: {small.shape[1]} x {small.shape[0]} pixels, more than its "
        f"pair of high resolution has, {source.name(place)} ({large.shape[1]} x {large.shape[0]}); "
        "are the two exchanged?"
    )
