"""Words in low and in high resolution, read from files."""

from __future__ import annotations

import os
from collections.abc import Callable, Sequence
from typing import Any

from mms_ocr.datasets.sources import PairedSource, open_pairs
from mms_ocr.datasets.sources.label_maps import decode_pair
from mms_ocr.datasets.word_images import Paths, WordImageDataset
from mms_ocr.registry import DATASETS
from mms_ocr.utils.errors import BrokenImageError

_TEST = "test/"
#: LMDBs of TextZoom's release, below its folder.
TEXTZOOM_SPLITS = ("train1", "train2", "test/easy", "test/medium", "test/hard")


@DATASETS.register_module()
class WordPairDataset(WordImageDataset):
    """Pairs of a small and a large image of a word: TextZoom's LMDBs, folders or JSON lines.

    The pipeline gets what :class:`~mms_ocr.datasets.WordImageDataset` gives, with the small image
    as ``img``, the large one as ``gt``, and ``subset`` if there are ``subsets``. A pair is broken
    if one image is, the two differ in EXIF orientation, or the small one has more pixels.

    Args:
        path: Where the pairs are: see :func:`mms_ocr.datasets.sources.open_pairs`.
        pipeline: Transforms or their configs.
        subsets: Names of the paths, one for each, by which metrics separate their results.
        **kwargs: Further arguments of :class:`~mms_ocr.datasets.WordImageDataset`.

    Raises:
        ValueError: An image has no partner, or there is not one subset for each path.
    """

    def __init__(
        self,
        path: Paths,
        pipeline: Sequence[dict | Callable] = (),
        *,
        subsets: Sequence[str] | None = None,
        **kwargs: Any,
    ) -> None:
        super().__init__(path, pipeline, **kwargs)
        if subsets is not None and len(subsets) != len(self.sources):
            raise ValueError(
                f"{len(self.sources)} paths need as many subsets, got {len(subsets)} "
                f"({', '.join(subsets)})"
            )
        self.subsets = None if subsets is None else tuple(subsets)

    def open(self, path: str | os.PathLike[str], data_root: str | None) -> PairedSource:
        """Open one of the paths."""
        return open_pairs(path, data_root)

    def load(self, index: int) -> dict[str, Any]:
        """See :meth:`WordImageDataset.load`."""
        source: Any
        source, position = self.locate(index)
        raw, partner = source.read(position, self.labelled), source.read_second(position)
        large, small = decode_pair(raw, partner, self.max_pixels)
        if small.size > large.size:
            raise BrokenImageError(
                f"{partner.name}: {small.shape[1]} x {small.shape[0]} pixels, more than its pair "
                f"of high resolution has, {raw.name} ({large.shape[1]} x {large.shape[0]}); are "
                "the two exchanged?"
            )
        results = dict(self.as_results(index, raw, small), gt=large)
        if self.subsets is not None:
            results["subset"] = self.subsets[self.sources.index(source)]
        return results


@DATASETS.register_module()
class TextZoomDataset(WordPairDataset):
    """Pairs of TextZoom (Wang et al., ECCV 2020) as it is released: an LMDB for each of its splits.

    Those of a test split have a ``subset``: ``'easy'``, ``'medium'`` or ``'hard'``.

    Args:
        path: The folder with ``train1``, ``train2`` and ``test`` in it, or several such.
        pipeline: Transforms or their configs.
        splits: Some of the training or of the test splits among :data:`TEXTZOOM_SPLITS`.
        **kwargs: Further arguments of :class:`~mms_ocr.datasets.WordPairDataset`.

    Raises:
        ValueError: A split is unknown, or training and test splits are mixed.
    """

    def __init__(
        self,
        path: Paths,
        pipeline: Sequence[dict | Callable] = (),
        *,
        splits: Sequence[str] = ("train1", "train2"),
        **kwargs: Any,
    ) -> None:
        tests = [split.startswith(_TEST) for split in splits]
        if not splits or not set(splits) <= set(TEXTZOOM_SPLITS) or len(set(tests)) > 1:
            raise ValueError(
                f"splits of TextZoom are some of {', '.join(TEXTZOOM_SPLITS)}, either for training "
                f"or for testing, got {tuple(splits)}"
            )
        roots = [path] if isinstance(path, (str, os.PathLike)) else list(path)
        paths = [os.path.join(root, split) for root in roots for split in splits]
        subsets = [split.removeprefix(_TEST) for _ in roots for split in splits]
        super().__init__(paths, pipeline, subsets=subsets if tests[0] else None, **kwargs)
