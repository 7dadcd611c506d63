"""Word crops of TextSeg, read from the folders in which it is released."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from typing import Any

from mms_ocr.datasets.sources.textseg import TextSegSource
from mms_ocr.datasets.word_masks import WordMaskDataset
from mms_ocr.registry import DATASETS

#: Text is the letters alone, as in the authors' code: their outlines, shadows and other effects
#: count as background.
TEXTSEG_MASK_VALUES = dict(background=(0, 200), text=(100,), ignored=(255,))


@DATASETS.register_module()
class TextSegDataset(WordMaskDataset):
    """Word crops of TextSeg (Xu et al., CVPR 2021) as it is released, with their masks.

    Every word is cut from its whole picture when it is read, which takes tens of milliseconds: for
    long trainings ``mms-ocr convert TextSeg words.lmdb`` once and read that with
    :class:`~mms_ocr.datasets.WordMaskDataset` and the same ``mask_values``.

    Args:
        path: The folder with ``split.json``, or several.
        pipeline: Transforms or their configs; see :class:`~mms_ocr.datasets.WordMaskDataset`.
        splits: Some of ``'train'``, ``'val'`` and ``'test'``.
        mask_values: See :func:`~mms_ocr.datasets.word_masks.mask_labels`; the default is
            :data:`TEXTSEG_MASK_VALUES`.
        **kwargs: Further arguments of :class:`~mms_ocr.datasets.WordMaskDataset`.

    Raises:
        FileNotFoundError: A file or folder of the layout is missing.
        ValueError: A file is malformed, or there are no words.
    """

    def __init__(
        self,
        path: str | Sequence[str],
        pipeline: Sequence[dict | Callable] = (),
        *,
        splits: Sequence[str] = ("train", "val"),
        mask_values: Mapping[str, Sequence[int]] | None = None,
        **kwargs: Any,
    ) -> None:
        self._splits = tuple(splits)
        super().__init__(path, pipeline, mask_values=mask_values or TEXTSEG_MASK_VALUES, **kwargs)

    def open(self, path: Any, data_root: str | None) -> TextSegSource:
        """Open one of the paths."""
        return TextSegSource(path, self._splits)
