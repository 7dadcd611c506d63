"""Word images from files, with or without labels."""

from __future__ import annotations

import json
import os
from collections.abc import Callable, Sequence
from functools import partial
from typing import Any

import numpy as np
import torch
from mmengine.dataset import Compose
from torch.utils.data import Dataset

from mms_ocr.datasets.broken import BrokenCounter, TooManyBrokenError
from mms_ocr.datasets.hashing import holdout_indices
from mms_ocr.datasets.loading import PixelBatch
from mms_ocr.datasets.sources import ImageSource, RawImage, open_source
from mms_ocr.datasets.transforms import PackWordImage, ResizeWordImage
from mms_ocr.registry import DATASETS
from mms_ocr.utils.decoding import MAX_PIXELS, decode_image
from mms_ocr.utils.errors import BrokenImageError

Paths = str | os.PathLike[str] | Sequence[str | os.PathLike[str]]


@DATASETS.register_module()
class WordImageDataset(Dataset):
    """Word images of one or several folders, LMDBs or JSON-lines files.

    The pipeline gets ``img`` (uint8 BGR ``(H, W, 3)``), ``img_path`` (file, and key for an LMDB),
    ``img_shape`` and ``ori_shape`` (height, width), ``sample_idx`` and, if ``labelled``, ``text``.
    A broken image is replaced by the next one; see :class:`~mms_ocr.datasets.broken.BrokenCounter`.

    Args:
        path: Where the images are: see :func:`mms_ocr.datasets.sources.open_source`. Several paths
            are read one after the other.
        pipeline: Transforms or their configs.
        labelled: Whether labels are read; then every source needs them.
        data_root: Folder that file names in JSON lines are relative to; by default their own.
        max_broken: Share of broken images above which reading raises an error.
        max_pixels: An image of more pixels counts as broken.
        holdout: ``dict(share=0.1, part='train')`` leaves a tenth of every source out, and
            ``part='val'`` is that tenth; see :func:`mms_ocr.datasets.hashing.holdout_indices`.
        indices: Only these images of the part: the first N, or a list of indices.
        extras: ``('char_boxes',)`` adds the boxes of a word's characters, float32 ``(n, 4)``
            ``[x, y, w, h]`` in pixels, if the source has them: JSON lines in the field
            ``char_boxes``, an LMDB under ``boxes-%09d``, as ``mms-ocr render`` writes them.
        metainfo: Facts about the data set, for models and visualizers.

    Raises:
        FileNotFoundError: A path does not exist.
        ValueError: A source is empty, malformed or without the requested labels.
    """

    def __init__(
        self,
        path: Paths,
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
            raise ValueError("path is empty; give at least one folder, LMDB or .jsonl file")
        if unknown := set(extras) - {"char_boxes"}:
            raise ValueError(f"extras hold {min(unknown)!r}; the only choice is 'char_boxes'")
        if extras and not labelled:
            raise ValueError("extras=('char_boxes',) needs labelled=True: boxes belong to a label")
        self.extras = tuple(extras)
        self.labelled = labelled
        self.max_pixels = max_pixels
        self.metainfo = dict(metainfo or {})
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
                f"holdout={holdout}, indices={indices} leave no image of {names}: choose more"
            )
        self.broken = BrokenCounter(max_broken, names, self._length)

    def open(self, path: str | os.PathLike[str], data_root: str | None) -> ImageSource:
        """Open one of the paths."""
        return open_source(path, data_root)

    @property
    def num_read(self) -> int:
        """See :attr:`BrokenCounter.num_read`."""
        return self.broken.num_read

    @property
    def num_broken(self) -> int:
        """See :attr:`BrokenCounter.num_broken`."""
        return self.broken.num_broken

    def full_init(self) -> None:
        """Do nothing; MMEngine calls it on every data set."""

    def __len__(self) -> int:
        return self._length

    def __getitem__(self, index: int) -> Any:
        """Return the packed image at ``index``, or the first after it that is not broken.

        Raises:
            IndexError: The index is outside the data set.
            TooManyBrokenError: More than the accepted share of the images are broken, or all.
        """
        return self._read(index, self.pipeline)

    def __getitems__(self, indices: Sequence[int]) -> Sequence[Any]:
        """Return the items of a batch; torch's loaders call it.

        If the pipeline only resizes and packs pixels, images are resized into one channels-last
        tensor, which is an eighth faster than packing and collating items.
        """
        steps = self.pipeline.transforms
        is_plain = [type(step) for step in steps] == [ResizeWordImage, PackWordImage]
        is_own = type(self).__getitem__ is WordImageDataset.__getitem__
        if not is_plain or not is_own or steps[1].meta_keys:
            return [self[index] for index in indices]
        resize = steps[0]
        pixels = torch.empty(len(indices), *resize.size, 3, dtype=torch.uint8)
        for index, target in zip(indices, pixels.numpy()):
            self._read(index, partial(resize.transform, out=target))
        return PixelBatch(pixels.permute(0, 3, 1, 2))

    def _read(self, index: int, finish: Callable[[dict[str, Any]], Any]) -> Any:
        length = self._length
        if not -length <= index < length:
            raise IndexError(f"index {index} outside a data set of {length} images")
        for step in range(length):
            current = (index + step) % length
            self.broken.count_read()
            try:
                packed = finish(self.load(current))
            except BrokenImageError as error:
                self.broken.count_broken(str(error))
                continue
            if packed is not None:
                return packed
            self.broken.count_broken(f"{self.image_name(current)}: refused by the pipeline")
        raise TooManyBrokenError(f"not one image of {self.broken.name} can be read")

    def load(self, index: int) -> dict[str, Any]:
        """Read and decode the image at ``index`` for the pipeline.

        Raises:
            BrokenImageError: It cannot be used.
        """
        source, position = self.locate(index)
        raw = source.read(position, self.labelled)
        try:
            image = decode_image(raw.data, self.max_pixels)
        except BrokenImageError as error:
            raise BrokenImageError(f"{raw.name}: {error}") from error
        return self.as_results(index, raw, image)

    def as_results(self, index: int, raw: RawImage, image: np.ndarray) -> dict[str, Any]:
        """Build what the pipeline gets of a decoded image.

        Raises:
            BrokenImageError: Its ``char_boxes`` are no boxes of the characters.
        """
        shape = image.shape[:2]
        results = {"img": image, "img_path": raw.name, "img_shape": shape, "ori_shape": shape}
        results["sample_idx"] = index
        if self.labelled:
            results["text"] = raw.text
        if self.extras and raw.char_boxes is not None:
            results["char_boxes"] = _read_boxes(raw)
        return results

    def locate(self, index: int) -> tuple[ImageSource, int]:
        """Return the source of the image at ``index``, and its index there."""
        if self._chosen is not None:
            index = int(self._chosen[index])
        if len(self.sources) == 1:
            return self.sources[0], index
        number = int(np.searchsorted(self._starts, index, side="right")) - 1
        return self.sources[number], index - int(self._starts[number])

    def image_name(self, index: int) -> str:
        """Return file, and key for an LMDB, of the image at ``index``."""
        source, position = self.locate(index)
        return source.name(position)

    def _choose(
        self, holdout: dict[str, Any] | None, indices: int | Sequence[int] | None
    ) -> np.ndarray | None:
        """Return indices into all images of all sources, or None for all of them."""
        chosen = None
        if holdout is not None:
            if not {"share", "part"} <= set(holdout) <= {"share", "part", "seed"}:
                raise ValueError(f"holdout takes share, part and seed, got {dict(holdout)}")
            parts = [holdout_indices(len(source), **holdout) for source in self.sources]
            starts = self._starts.astype(parts[0].dtype)
            chosen = np.concatenate([part + start for part, start in zip(parts, starts)])
        if indices is None:
            return chosen
        available = int(self._starts[-1]) if chosen is None else len(chosen)
        if isinstance(indices, int):
            kept = np.arange(min(indices, available))
        else:
            kept = np.asarray(indices, dtype=np.int64)
            if len(kept) and not (kept.min() >= 0 and kept.max() < available):
                raise ValueError(f"indices have to be in [0, {available})")
        return kept if chosen is None else chosen[kept]


def _read_boxes(raw: RawImage) -> np.ndarray:
    """Check the boxes of characters that a source has: float32 ``(n, 4)``."""
    stored, count = raw.char_boxes, len(raw.text or "")
    try:
        boxes = np.array(json.loads(stored) if isinstance(stored, bytes) else stored, np.float32)
    except (ValueError, TypeError) as error:
        raise BrokenImageError(f"{raw.name}: its char_boxes are not numbers: {error}") from error
    if boxes.shape != (count, 4) or not np.isfinite(boxes).all():
        raise BrokenImageError(
            f"{raw.name}: its char_boxes must be [x, y, w, h] for each of the {count} characters "
            f"of its label, got {boxes.shape}"
        )
    return boxes
