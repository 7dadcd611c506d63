"""TextZoom, read from the folders in which it is released."""

from __future__ import annotations

import os
from collections.abc import Callable, Sequence
from typing import Any

from mms_ocr.datasets.word_pairs import WordPairDataset
from mms_ocr.registry import DATASETS

_TEST = "test/"
#: LMDBs of the release, below its folder.
TEXTZOOM_SPLITS = ("train1", "train2", "test/easy", "test/medium", "test/hard")


@DATASETS.register_module()
class TextZoomDataset(WordPairDataset):
    """Pairs of TextZoom (Wang et al., ECCV 2020) as it is released: an LMDB for each of its splits.

    Pairs of a test split are told apart by ``subset``: ``'easy'``, ``'medium'`` or ``'hard'``.

    Args:
        path: The folder with ``train1``, ``train2`` and ``test`` in it, or several such.
        pipeline: Transforms or their configs; see :class:`~mms_ocr.datasets.WordPairDataset`.
        splits: Which of ``'train1'``, ``'train2'``, ``'test/easy'``, ``'test/medium'`` and
            ``'test/hard'``: all of them to train on, or all to test on.
        **kwargs: Further arguments of :class:`~mms_ocr.datasets.WordPairDataset`.

    Raises:
        FileNotFoundError: An LMDB of the layout is missing.
        ValueError: A split is unknown, or those of training and testing are mixed; or an LMDB does
            not hold what it should.
    """

    def __init__(
        self,
        path: str | os.PathLike[str] | Sequence[str | os.PathLike[str]],
        pipeline: Sequence[dict | Callable] = (),
        *,
        splits: Sequence[str] = ("train1", "train2"),
        **kwargs: Any,
    ) -> None:
        tests = [split.startswith(_TEST) for split in splits]
        if not splits or not set(splits) <= set(TEXTZOOM_SPLITS) or len(set(tests)) > 1:
            raise ValueError(
                f"splits of TextZoom are some of {', '.join(TEXTZOOM_SPLITS)}, to train on or to "
                f"test on, got {tuple(splits)}"
            )
        roots = [path] if isinstance(path, (str, os.PathLike)) else list(path)
        places = [os.path.join(root, split) for root in roots for split in splits]
        subsets = [split.removeprefix(_TEST) for _ in roots for split in splits]
        super().__init__(places, pipeline, subsets=subsets if tests[0] else None, **kwargs)
