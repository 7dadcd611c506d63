"""Words with images and labels from every layout of the field, as conversion reads them."""

from __future__ import annotations

import hashlib
import os
from abc import ABC, abstractmethod
from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np

from mms_ocr.datasets.sources.base import ImageSource, PairedSource
from mms_ocr.datasets.sources.jsonl import JsonlSource
from mms_ocr.datasets.sources.label_maps import decode_masked, decode_pair
from mms_ocr.datasets.sources.lmdb_source import LmdbSource
from mms_ocr.datasets.sources.opening import (
    has_mask_folders,
    open_labels_in,
    open_masked,
    open_pairs,
    open_source,
)
from mms_ocr.datasets.sources.textseg import TextSegSource
from mms_ocr.utils.decoding import decode_image
from mms_ocr.utils.errors import BrokenImageError
from mms_ocr.utils.layouts import is_json_lines, is_lmdb, is_textseg

#: Words with or without masks; pairs of a high and a low resolution; TextSeg as it is released.
LAYOUTS = ("words", "textzoom", "textseg")


@dataclass(frozen=True)
class Record:
    """One word to be written.

    Attributes:
        images: Encoded image files by kind: ``image``; ``image`` and ``mask``; or ``image_hr`` and
            ``image_lr``.
        text: The label, or None.
        char_boxes: ``[x, y, w, h]`` of each character, or None; only rendered words have them.
    """

    images: dict[str, bytes]
    text: str | None
    char_boxes: list[list[float]] | None = None


class Records(ABC):
    """A sequence of words that gives the same each time it is read.

    Attributes:
        path: Where they come from, for messages.
        kinds: The keys of every record's ``images``.
    """

    path: str
    kinds: tuple[str, ...]

    @abstractmethod
    def __len__(self) -> int: ...

    @abstractmethod
    def read(self, index: int) -> Record:
        """Read the word at ``index``.

        Raises:
            BrokenImageError: An image or the label is missing or unreadable.
        """

    def describe(self) -> dict[str, object]:
        """Return what the words depend on, as JSON data: a resumed conversion needs the same."""
        return dict(path=os.path.abspath(self.path), count=len(self), kinds=list(self.kinds))


class WordRecords(Records):
    """Words of a folder, an LMDB or JSON lines, with masks if they have them.

    Args:
        path: See :func:`mms_ocr.datasets.sources.open_source`.
        data_root: For JSON lines, the folder that file names are relative to.
    """

    def __init__(self, path: str, data_root: str | None = None) -> None:
        self.path = path
        self._source = open_source(path, data_root)
        self.kinds = ("image",)
        if _has_masks(path, self._source):
            self._source = open_masked(path, data_root)
            self.kinds = ("image", "mask")
        # If only some have labels, those without are broken: none is dropped silently.
        self._labelled = self._source.has_labels()

    def __len__(self) -> int:
        return len(self._source)

    def read(self, index: int) -> Record:
        """See :meth:`Records.read`."""
        raw = self._source.read(index, self._labelled)
        if isinstance(self._source, PairedSource):
            mask = self._source.read_second(index)
            decode_masked(raw, mask)
            return Record({"image": raw.data, "mask": mask.data}, raw.text)
        try:
            decode_image(raw.data)
        except BrokenImageError as error:
            raise BrokenImageError(f"{raw.name}: {error}") from error
        return Record({"image": raw.data}, raw.text)


class PairRecords(Records):
    """Pairs of a high and a low resolution, as TextZoom has them.

    Args:
        path: See :func:`mms_ocr.datasets.sources.open_pairs`.
        data_root: For JSON lines, the folder that file names are relative to.

    Raises:
        FileNotFoundError: The path does not exist.
        ValueError: It has no such pairs.
    """

    kinds = ("image_hr", "image_lr")

    def __init__(self, path: str, data_root: str | None = None) -> None:
        self.path = path
        self._pairs = open_pairs(path, data_root)
        self._labelled = self._pairs.first.has_labels()

    def __len__(self) -> int:
        return len(self._pairs)

    def read(self, index: int) -> Record:
        """See :meth:`Records.read`."""
        high = self._pairs.read(index, self._labelled)
        low = self._pairs.read_second(index)
        decode_pair(high, low)
        return Record({"image_hr": high.data, "image_lr": low.data}, high.text)


class TextSegRecords(Records):
    """Word crops of TextSeg with their masks, whose levels are kept.

    Args:
        path: The folder with ``split.json``.
        splits: See :class:`~mms_ocr.datasets.sources.textseg.TextSegSource`.
    """

    kinds = ("image", "mask")

    def __init__(self, path: str, splits: Sequence[str] = ("train", "val")) -> None:
        self.path = path
        self._splits = list(splits)
        self._source = TextSegSource(path, splits)

    def __len__(self) -> int:
        return len(self._source)

    def read(self, index: int) -> Record:
        """See :meth:`Records.read`."""
        image = self._source.read(index, labelled=True)
        return Record(
            {"image": image.data, "mask": self._source.read_second(index).data}, image.text
        )

    def describe(self) -> dict[str, object]:
        """See :meth:`Records.describe`."""
        return dict(super().describe(), splits=self._splits)


class Selection(Records):
    """Some of the words, such as those that are left after decontamination.

    Args:
        records: The words to choose from.
        indices: Which of them, in order.
    """

    def __init__(self, records: Records, indices: Sequence[int] | np.ndarray) -> None:
        self.path = records.path
        self.kinds = records.kinds
        self._records = records
        self._indices = np.asarray(indices, dtype=np.int64)

    def __len__(self) -> int:
        return len(self._indices)

    def read(self, index: int) -> Record:
        """See :meth:`Records.read`."""
        return self._records.read(int(self._indices[index]))

    def describe(self) -> dict[str, object]:
        """See :meth:`Records.describe`."""
        digest = hashlib.sha256(self._indices.tobytes()).hexdigest()
        return dict(self._records.describe(), count=len(self), indices=digest)


def guess_layout(path: str) -> str:
    """Return which of :data:`LAYOUTS` a data set has."""
    if is_textseg(path):
        return "textseg"
    if is_lmdb(path):
        try:
            LmdbSource(path, image_key="image_hr-%09d")
        except (ValueError, FileNotFoundError):
            return "words"
        return "textzoom"
    is_lines = is_json_lines(path) and os.path.isfile(path)
    lines = JsonlSource(path) if is_lines else open_labels_in(path)
    if lines is not None:
        return "textzoom" if lines.has_field("image_hr") else "words"
    has_pairs = all(os.path.isdir(os.path.join(path, name)) for name in ("hr", "lr"))
    return "textzoom" if has_pairs else "words"


def open_records(
    path: str,
    layout: str | None = None,
    data_root: str | None = None,
    splits: Sequence[str] = ("train", "val"),
) -> Records:
    """Open the words of a folder, an LMDB or JSON lines.

    The layout is one of :data:`LAYOUTS`, and guessed by default. ``data_root`` is for JSON lines:
    the folder that file names are relative to. ``splits`` is for TextSeg.
    """
    layout = layout or guess_layout(path)
    if layout == "textseg":
        return TextSegRecords(path, splits)
    return (PairRecords if layout == "textzoom" else WordRecords)(path, data_root)


def _has_masks(path: str, source: ImageSource) -> bool:
    if isinstance(source, LmdbSource):
        return source.has("mask-000000001")
    if isinstance(source, JsonlSource):
        return source.has_field("mask")
    return has_mask_folders(path)
