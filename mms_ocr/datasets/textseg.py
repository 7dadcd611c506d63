"""Word crops of TextSeg, read from the folders in which it is released."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from typing import Any

from mms_ocr.datasets.sources import ImageSource, RawImage
from mms_ocr.datasets.sources.records import Record
from mms_ocr.datasets.sources.textseg_records import TextSegRecords
from mms_ocr.datasets.word_masks import WordMaskDataset
from mms_ocr.registry import DATASETS

#: Text is the letters alone, as where the data set comes from: their outlines, shadows and other
#: effects count as background.
TEXTSEG_MASK_VALUES = dict(background=(0, 200), text=(100,), ignored=(255,))


class _TextSegSource(ImageSource):
    """Words of TextSeg with their masks."""

    kind = "TextSeg"

    def __init__(self, path: str, splits: Sequence[str]) -> None:
        super().__init__(path)
        self._records = TextSegRecords(path, splits)
        self._latest: tuple[int, Record] | None = None

    def __len__(self) -> int:
        return len(self._records)

    def name(self, index: int) -> str:
        return self._records.name(index)

    def read(self, index: int, labelled: bool = False) -> RawImage:
        record = self._record(index)
        return RawImage(record.images["image"], self.name(index), record.text if labelled else None)

    def read_second(self, index: int) -> RawImage:
        return RawImage(self._record(index).images["mask"], f"{self.name(index)}, mask", None)

    def check_labels(self) -> None:
        """Every word has its text."""

    def _record(self, index: int) -> Record:
        """The word at ``index``; the latest is kept, as its mask is asked for right after it."""
        if self._latest is None or self._latest[0] != index:
            self._latest = (index, self._records.read(index))
        return self._latest[1]


@DATASETS.register_module()
class TextSegDataset(WordMaskDataset):
    """Word crops of TextSeg (Xu et al., CVPR 2021) as it is released, with their masks.

    Every word is cut out of its whole picture when it is read, which takes tens of milliseconds:
    for long trainings ``mms-ocr convert TextSeg words.lmdb`` once and read that with
    :class:`~mms_ocr.datasets.WordMaskDataset` and the same ``mask_values``.

    Args:
        path: The folder with ``split.json``, or several.
        pipeline: Transforms or their configs; see :class:`~mms_ocr.datasets.WordMaskDataset`.
        splits: Which of ``'train'``, ``'val'`` and ``'test'``.
        mask_values: See :func:`~mms_ocr.datasets.word_masks.mask_labels`; None takes
            :data:`TEXTSEG_MASK_VALUES`.
        **kwargs: Further arguments of :class:`~mms_ocr.datasets.WordMaskDataset`.

    Raises:
        FileNotFoundError: A file or folder of the layout is missing.
        ValueError: A file does not hold what it should, or there are no words.
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

    def open(self, path: Any, data_root: str | None) -> ImageSource:  # type: ignore[override]
        """Open one of the paths."""
        return _TextSegSource(path, self._splits)
