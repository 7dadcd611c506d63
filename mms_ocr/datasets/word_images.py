"""Word images from files, with or without labels."""

from __future__ import annotations

import json
import os
from collections.abc import Callable, Sequence
from contextlib import ExitStack
from typing import Any, TypeVar

import numpy as np
from mmengine.dataset import Compose
from mmengine.structures import BaseDataElement
from torch.utils.data import Dataset

from mms_ocr.datasets.broken import BrokenCounter, TooManyBrokenError
from mms_ocr.datasets.holdout import holdout_indices
from mms_ocr.datasets.sources import BrokenImageError, ImageSource, RawImage, open_source
from mms_ocr.datasets.word_batches import (
    BatchLayout,
    WordBatch,
    finish_into,
    fused_layout,
    fused_transforms,
    read_batch,
)
from mms_ocr.registry import DATASETS
from mms_ocr.utils.decoding import MAX_PIXELS, decode_image

T = TypeVar("T")


@DATASETS.register_module()
class WordImageDataset(Dataset):
    """Word images of one or several folders, LMDBs or JSON-lines files.

    The pipeline is given ``img`` (uint8 BGR ``(H, W, 3)``), ``img_path`` (file, and key where it is
    an LMDB), ``img_shape`` and ``ori_shape`` (height, width), ``sample_idx`` and, if ``labelled``,
    ``text``.

    A broken image gives the next one in its place; ``num_read`` and ``num_broken`` say how often,
    over all loader workers, and the log does whenever their number reaches a power of two.

    A loader reads whole batches. Where the pipeline is a ResizeWordImage and a PackWordImage and no
    more, they take a shorter way to the same values (:func:`~mms_ocr.datasets.read_batch`).

    Args:
        path: Where the images are: see :func:`mms_ocr.datasets.sources.open_source`. Several paths
            are read one after the other.
        pipeline: Transforms or their configs.
        labelled: Whether the images' labels are read; then every source has to have them.
        data_root: For JSON lines, the folder that file names are relative to; by default the
            annotation file's own.
        max_broken: Share of broken images from which on reading is an error.
        max_pixels: An image of more pixels than this counts as broken.
        holdout: ``dict(share=0.1, part='train')`` leaves a tenth of every source out, and
            ``part='val'`` is that tenth; see :func:`mms_ocr.datasets.holdout.holdout_indices`.
        indices: Only these images (of the part): the first so many, or the ones listed.
        extras: ``('char_boxes',)`` adds the boxes of a word's characters, float32 ``(n, 4)``
            ``[x, y, w, h]`` in pixels, where the source has them: JSON lines in the field
            ``char_boxes``, an LMDB under ``boxes-%09d``, as ``mms-ocr render`` writes them.
        metainfo: Facts about the data set, for models and visualizers.

    Raises:
        FileNotFoundError: A path is missing.
        ValueError: A source is empty or malformed, or lacks the labels asked for; or nothing is
            left of it.
    """

    METAINFO: dict[str, Any] = {}

    def __init__(
        self,
        path: str | os.PathLike[str] | Sequence[str | os.PathLike[str]],
        pipeline: Sequence[dict | Callable] = (),
        *,
        labelled: bool = False,
        data_root: str | None = None,
        max_broken: float = 0.01,
        max_pixels: int = MAX_PIXELS,
        holdout: dict[str, Any] | None = None,
        indices: int | Sequence[int] | None = None,
        extras: Sequence[str] = (),
        metainfo: dict[str, Any] | None = None,
    ) -> None:
        paths = [path] if isinstance(path, (str, os.PathLike)) else list(path)
        if not paths:
            raise ValueError("no path was given to read word images from")
        if unknown := set(extras) - {"char_boxes"}:
            raise ValueError(f"extras hold {min(unknown)!r}; there are only 'char_boxes'")
        if extras and not labelled:
            raise ValueError("extras=('char_boxes',) needs labelled=True: boxes belong to a label")
        self.extras = tuple(extras)
        self.labelled = labelled
        self.max_pixels = max_pixels
        self._metainfo = {**self.METAINFO, **(metainfo or {})}
        self.pipeline = Compose(pipeline)
        self.sources = [self.open(path, data_root) for path in paths]
        if labelled:
            for source in self.sources:
                source.check_labels()
        self._starts = np.cumsum([0] + [len(source) for source in self.sources])
        self._chosen = self._choose(holdout, indices)
        self._length = int(self._starts[-1]) if self._chosen is None else len(self._chosen)
        names = ", ".join(source.path for source in self.sources)
        if not self._length:
            raise ValueError(
                f"holdout={holdout}, indices={indices} leave no image of {names} "
                f"({self._starts[-1]:,} images): ask for a larger part"
            )
        self.broken = BrokenCounter(max_broken, names, self._length)

    @staticmethod
    def open(path: str | os.PathLike[str], data_root: str | None) -> ImageSource:
        """Open one of the paths; a subclass may open other kinds of sources."""
        return open_source(path, data_root)

    @property
    def metainfo(self) -> dict[str, Any]:
        """A copy of the facts about the data set."""
        return dict(self._metainfo)

    @property
    def num_read(self) -> int:
        """Images read so far, broken ones included, by this process and its loader workers."""
        return self.broken.num_read

    @property
    def num_broken(self) -> int:
        """Broken images met so far, by this process and its loader workers."""
        return self.broken.num_broken

    def get_cat_ids(self, index: int) -> list[int]:
        """Refuse to be balanced by classes, of which word images have none.

        Raises:
            ValueError: Always.
        """
        raise ValueError(
            f"{type(self).__name__} has no classes, which ClassBalancedDataset asks for; use "
            "RepeatDataset, or mms_ocr.MixedDataset for shares of several data sets"
        )

    def full_init(self) -> None:
        """Nothing is left to do; MMEngine calls it on every data set."""

    def __len__(self) -> int:
        return self._length

    def __getitem__(self, index: int) -> Any:
        return self.first_usable(index, lambda place: self.pipeline(self.load(place)))

    def __getitems__(self, indices: Sequence[int]) -> list[Any] | WordBatch:
        """The items at ``indices``; torch's loaders ask for a batch in this way."""
        return read_batch(self, indices)

    def batch_layout(self) -> BatchLayout | None:
        """See :class:`mms_ocr.datasets.word_batches.BatchReadable`."""
        # A subclass may read in its own way.
        own = (type(self).__getitem__, type(self).load)
        if own != (WordImageDataset.__getitem__, WordImageDataset.load):
            return None
        return fused_layout(self.pipeline)

    def read_into(
        self, indices: Sequence[int], slots: Sequence[np.ndarray]
    ) -> list[BaseDataElement]:
        """See :class:`mms_ocr.datasets.word_batches.BatchReadable`."""
        transforms = fused_transforms(self.pipeline)
        if transforms is None:
            raise TypeError(f"the pipeline does more than to resize and pack: {self.pipeline}")
        samples: list[BaseDataElement] = []
        readers: dict[ImageSource, Callable[[int], RawImage]] = {}
        with ExitStack() as opened:

            def load(index: int) -> dict[str, Any]:
                source, place = self.locate(index)
                read = readers.get(source)
                if read is None:
                    read = readers[source] = opened.enter_context(source.reading(self.labelled))
                return self.decode(index, read(place))

            for index, slot in zip(indices, slots):
                samples += finish_into(self.first_usable(index, load), slot, *transforms)
        return samples

    def first_usable(self, index: int, make: Callable[[int], T | None]) -> T:
        """What is made of the image at ``index``, or of the first after it that is not broken.

        Args:
            index: From the end if it is negative.
            make: Is given an index and raises BrokenImageError, or gives None, if that image cannot
                be used.

        Raises:
            IndexError: The index is outside the data set.
            TooManyBrokenError: More than the accepted share of the images are broken, or all.
        """
        length = self._length
        if not -length <= index < length:
            raise IndexError(f"index {index} outside a data set of {length} images")
        for step in range(length):
            place = (index + step) % length
            self.broken.count_read()
            try:
                made = make(place)
            except BrokenImageError as error:
                self.broken.count_broken(str(error))
                continue
            if made is not None:
                return made
            self.broken.count_broken(f"{self.image_name(place)}: refused by the pipeline")
        raise TooManyBrokenError(f"not one image of {self.broken.name} can be read")

    def load(self, index: int) -> dict[str, Any]:
        """Read and decode the image at ``index``, as the pipeline is given it.

        Raises:
            BrokenImageError: It cannot be used.
        """
        source, place = self.locate(index)
        return self.decode(index, source.read(place, self.labelled))

    def decode(self, index: int, raw: RawImage) -> dict[str, Any]:
        """Decode the image at ``index``, which is read already, as the pipeline is given it.

        Raises:
            BrokenImageError: It cannot be used.
        """
        try:
            image = decode_image(raw.data, self.max_pixels)
        except BrokenImageError as error:
            raise BrokenImageError(f"{raw.name}: {error}") from error
        return self.as_results(index, raw, image)

    def as_results(self, index: int, raw: RawImage, image: np.ndarray) -> dict[str, Any]:
        """Build what the pipeline is given of a decoded image."""
        shape = image.shape[:2]
        results = {
            "img": image,
            "img_path": raw.name,
            "img_shape": shape,
            "ori_shape": shape,
            "sample_idx": index,
        }
        if self.labelled:
            results["text"] = raw.text
        if self.extras and raw.char_boxes is not None:
            results["char_boxes"] = _read_boxes(raw)
        return results

    def locate(self, index: int) -> tuple[ImageSource, int]:
        """The source of the image at ``index``, and its index there."""
        if self._chosen is not None:
            index = int(self._chosen[index])
        if len(self.sources) == 1:
            return self.sources[0], index
        number = int(np.searchsorted(self._starts, index, side="right")) - 1
        return self.sources[number], index - int(self._starts[number])

    def image_name(self, index: int) -> str:
        """File, and key where it is an LMDB, of the image at ``index``."""
        source, place = self.locate(index)
        return source.name(place)

    def _choose(
        self, holdout: dict[str, Any] | None, indices: int | Sequence[int] | None
    ) -> np.ndarray | None:
        """Indices into all images of all sources, or None for all of them."""
        chosen = None
        if holdout is not None:
            if not {"share", "part"} <= set(holdout) <= {"share", "part", "seed"}:
                raise ValueError(f"holdout takes share, part and seed, got {dict(holdout)}")
            parts = [holdout_indices(len(source), **holdout) for source in self.sources]
            if len(parts) > 1:
                parts = [part + start for part, start in zip(parts, self._starts)]
            chosen = np.concatenate(parts)
        if indices is None:
            return chosen
        available = int(self._starts[-1]) if chosen is None else len(chosen)
        if isinstance(indices, int):
            kept = np.arange(min(indices, available))
        else:
            kept = np.asarray(indices, dtype=np.int64)
            if len(kept) and not (kept.min() >= 0 and kept.max() < available):
                raise ValueError(f"indices lead out of [0, {available})")
        return kept if chosen is None else chosen[kept]


def _read_boxes(raw: RawImage) -> np.ndarray:
    """Boxes of characters, float32 ``(n, 4)``, from what a source has."""
    try:
        stored = raw.char_boxes
        boxes = np.array(json.loads(stored) if isinstance(stored, bytes) else stored, np.float32)
    except (ValueError, TypeError) as error:
        raise BrokenImageError(f"{raw.name}: its char_boxes are no numbers: {error}") from error
    if boxes.shape != (len(raw.text or ""), 4) or not np.isfinite(boxes).all():
        raise BrokenImageError(
            f"{raw.name}: its char_boxes must be [x, y, w, h] for each of the "
            f"{len(raw.text or '')} characters of its label, got {boxes.shape}"
        )
    return boxes
