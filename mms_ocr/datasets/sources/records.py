"""What conversion reads: words with their images and labels, from every layout of the field."""

from __future__ import annotations

import hashlib
import os
from abc import ABC, abstractmethod
from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np

from mms_ocr.datasets.label_maps import decode_masked, decode_pair
from mms_ocr.datasets.sources import BrokenImageError, JsonlSource, LmdbSource, open_source
from mms_ocr.datasets.sources.masked import has_mask_folders, open_masked
from mms_ocr.datasets.sources.pairing import PairedSource
from mms_ocr.datasets.sources.pairs import open_pairs
from mms_ocr.utils.decoding import decode_image


@dataclass(frozen=True)
class Record:
    """One word to be written.

    Attributes:
        images: Encoded image files by what they are: ``image``; ``image`` and ``mask``; or
            ``image_hr`` and ``image_lr``.
        text: The label, or None.
        char_boxes: ``[x, y, w, h]`` of each character, or None; only rendered words have them.
    """

    images: dict[str, bytes]
    text: str | None
    char_boxes: list[list[float]] | None = None


class Records(ABC):
    """A sequence of words that can be read again and again with the same result.

    Attributes:
        path: Where they come from, in the words of messages.
        kinds: The keys of every record's ``images``.
    """

    path: str
    kinds: tuple[str, ...]

    @abstractmethod
    def __len__(self) -> int: ...

    @abstractmethod
    def read(self, index: int) -> Record:
        """The word at ``index``.

        Raises:
            BrokenImageError: An image or the label is missing or unreadable.
        """

    def describe(self) -> dict[str, object]:
        """What the words depend on, as plain JSON data: a conversion goes on only with the same."""
        return dict(path=os.path.abspath(self.path), count=len(self), kinds=list(self.kinds))


class WordRecords(Records):
    """Words of a folder, an LMDB or JSON lines, with masks where they have them.

    Args:
        path: See :func:`mms_ocr.datasets.sources.open_source`.
        data_root: For JSON lines, the folder that file names are relative to.
    """

    def __init__(self, path: str, data_root: str | None = None) -> None:
        self.path = path
        self._source = open_source(path, data_root)
        if self._has_masks():
            self._source = open_masked(path, data_root)
            self.kinds = ("image", "mask")
        else:
            self.kinds = ("image",)
        # Where only some have labels, those without are broken: none is dropped in silence.
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

    def _has_masks(self) -> bool:
        source = self._source
        if isinstance(source, LmdbSource):
            return source.has("mask-000000001")
        if isinstance(source, JsonlSource):
            return source.has_field("mask")
        return has_mask_folders(self.path)


class PairRecords(Records):
    """Pairs of a high and a low resolution, as TextZoom has them.

    Args:
        path: An LMDB with keys ``image_hr-%09d``, ``image_lr-%09d`` and ``label-%09d``, JSON lines
            with fields ``image_hr``, ``image_lr`` and ``text``, or a folder with the folders ``hr``
            and ``lr``; see :func:`mms_ocr.datasets.sources.pairs.open_pairs`.
        data_root: For JSON lines, the folder that file names are relative to.

    Raises:
        FileNotFoundError: Nothing is at ``path``.
        ValueError: It has no such pairs.
    """

    kinds = ("image_hr", "image_lr")

    def __init__(self, path: str, data_root: str | None = None) -> None:
        self.path = path
        pairs = open_pairs(path, data_root)
        self._pairs = pairs
        self._labelled = pairs.first.has_labels()

    def __len__(self) -> int:
        return len(self._pairs)

    def read(self, index: int) -> Record:
        """See :meth:`Records.read`."""
        high = self._pairs.read(index, self._labelled)
        low = self._pairs.read_second(index)
        decode_pair(high, low)
        return Record({"image_hr": high.data, "image_lr": low.data}, high.text)


class Selection(Records):
    """Some of the words, such as those that are left after decontamination.

    Args:
        records: The words to choose from.
        indices: Which of them, in the order wanted.
    """

    def __init__(self, records: Records, indices: Sequence[int] | np.ndarray) -> None:
        self.path = records.path
        self.kinds = records.kinds
        self._records = records
        self._indices = indices

    def __len__(self) -> int:
        return len(self._indices)

    def read(self, index: int) -> Record:
        """See :meth:`Records.read`."""
        return self._records.read(int(self._indices[index]))

    def describe(self) -> dict[str, object]:
        """See :meth:`Records.describe`."""
        indices = np.asarray(self._indices, dtype=np.int64)
        chosen = hashlib.sha256(indices.tobytes()).hexdigest()
        return dict(self._records.describe(), count=len(self), indices=chosen)
