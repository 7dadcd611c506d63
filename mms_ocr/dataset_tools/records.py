"""Words with images and labels from every layout of the field, as conversion reads them."""

from __future__ import annotations

import hashlib
import os
from abc import ABC, abstractmethod
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import cv2
import numpy as np

from mms_ocr.datasets.sources.base import FolderSource, ImageSource, RawImage
from mms_ocr.datasets.sources.jsonl import JsonlSource, parse_json
from mms_ocr.datasets.sources.label_maps import decode_label_map, decode_masked, decode_pair
from mms_ocr.datasets.sources.lmdb_source import LmdbSource
from mms_ocr.datasets.sources.opening import (
    MASK_FOLDERS,
    PAIR_FOLDERS,
    has_folders,
    open_labels_in,
    open_masked,
    open_pairs,
    open_source,
)
from mms_ocr.datasets.sources.textseg import TextSegSource
from mms_ocr.utils.decoding import decode_image, decode_oriented
from mms_ocr.utils.errors import BrokenImageError
from mms_ocr.utils.layouts import is_json_lines, is_lmdb, is_textseg

#: What the levels of a mask mean: 0 background and all others text; or those of TextSeg.
MASK_LEVELS = ("binary", "textseg")
_TEXT, _EFFECTS = 100, 200
_TEXTSEG_LEVELS = (0, _TEXT, _EFFECTS, 255)
_PROBED = 64  # masks that decide on the levels of a set


@dataclass(frozen=True)
class Record:
    """One word to be written."""

    images: dict[str, bytes]  # files by kind: image, mask, clean, image_hr, image_lr
    text: str | None
    char_boxes: Any = None  # [[x, y, w, h], …] of the characters; unchecked if from a source


class Records(ABC):
    """A sequence of words that is the same each time it is read.

    Attributes:
        path: Where they come from, for messages.
        kinds: The keys of every record's ``images``.
        labelled: Whether every record has a label.
        stored: What the source has for its words, by the names of fields in JSON lines.
        held: What of it records hold beside images.
    """

    path: str
    kinds: tuple[str, ...]
    labelled: bool
    stored: frozenset[str] = frozenset()
    held: tuple[str, ...] = ("filename", "text", "char_boxes")

    @property
    def left_behind(self) -> list[str]:
        """What of the source records do not hold."""
        return sorted(self.stored.difference(self.kinds, self.held))

    @abstractmethod
    def __len__(self) -> int: ...

    @abstractmethod
    def read(self, index: int) -> Record:
        """Read the word at ``index``.

        Raises:
            BrokenImageError: An image or the label is missing or unreadable.
        """

    @abstractmethod
    def describe(self) -> dict[str, object]:
        """Return what the words depend on, as JSON data: a resumed conversion needs the same."""


class SourceRecords(Records):
    """Words of a source, whose images are decoded to check them.

    Args:
        source: With two kinds of images, it has ``read_second``.
        kinds: Kinds of its images.
        clean: The clean versions of its images, if there are any.
        **options: What the words depend on as well.

    Attributes:
        source: As given.
    """

    def __init__(
        self,
        source: ImageSource,
        kinds: tuple[str, ...],
        clean: ImageSource | None = None,
        **options: object,
    ) -> None:
        self.path = source.path
        self.kinds = (*kinds, "clean") if clean else kinds
        self.source: Any = source
        self._second = kinds[1] if len(kinds) > 1 else None
        self._clean = clean
        self._options = options
        # If only some have labels, those without are broken: none is dropped silently.
        self.labelled = source.has_labels()
        self.stored = frozenset(source.fields())
        if not self.labelled:
            self.held = ("filename",)  # boxes belong to labels

    def __len__(self) -> int:
        return len(self.source)

    def read(self, index: int) -> Record:
        """See :meth:`Records.read`."""
        raw = self.source.read(index, self.labelled)
        stored = [raw]
        if self._second:
            stored.append(self.source.read_second(index))
            (decode_masked if self._second == "mask" else decode_pair)(*stored)
        else:
            _check_image(raw)
        if self._clean:
            stored.append(self._clean.read(index))
            _check_image(stored[-1])
        images = {kind: image.data for kind, image in zip(self.kinds, stored)}
        return Record(images, raw.text, _char_boxes(raw))

    def describe(self) -> dict[str, object]:
        """See :meth:`Records.describe`."""
        path = os.path.abspath(self.path)
        return dict(path=path, count=len(self), kinds=list(self.kinds), **self._options)


def _check_image(raw: RawImage) -> None:
    try:
        decode_image(raw.data)
    except BrokenImageError as error:
        raise BrokenImageError(f"{raw.name}: {error}") from error


def _char_boxes(raw: RawImage) -> Any:
    """Return the boxes of a word's characters as JSON data, which an LMDB stores as text."""
    if not isinstance(raw.char_boxes, bytes):
        return raw.char_boxes
    try:
        return parse_json(raw.char_boxes)
    except BrokenImageError as error:
        raise BrokenImageError(f"{raw.name}: its boxes are {error}") from error


class Selection(Records):
    """The words at some indices, such as those that are left after decontamination."""

    def __init__(self, records: Records, indices: Sequence[int] | np.ndarray) -> None:
        self.path = records.path
        self.kinds = records.kinds
        self.labelled = records.labelled
        self.stored, self.held = records.stored, records.held
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


class MasksAsTextSeg(Records):
    """Words whose masks have TextSeg's levels: 0 background, 100 text, 200 effects, 255 ignored.

    Args:
        records: Words with masks and labels.
        levels: ``'textseg'`` keeps the levels, ``'binary'`` turns all above 0 into text. By
            default a set is TextSeg's if one of its first 64 masks has text or effects as TextSeg
            marks them, and binary otherwise.

    Raises:
        ValueError: The words have no masks or no labels, or ``levels`` is unknown.
    """

    kinds = ("image", "mask")
    held = ("filename", "text")

    def __init__(self, records: Records, levels: str | None = None) -> None:
        if "mask" not in records.kinds:
            raise ValueError(
                f"{records.path} has no masks, and TextSeg's layout has one for every word: give "
                "an LMDB with keys mask-%09d, or JSON lines with a field 'mask'"
            )
        if levels not in (None, *MASK_LEVELS):
            raise ValueError(f"masks are {' or '.join(MASK_LEVELS)}, got {levels!r}")
        self.path = records.path
        self.labelled = records.labelled
        self.stored = records.stored
        self._records = records
        self.levels = levels or self._guess()

    def __len__(self) -> int:
        return len(self._records)

    def read(self, index: int) -> Record:
        """See :meth:`Records.read`."""
        record = self._records.read(index)
        place = f"word {index} of {self.path}"
        if record.text is None:
            raise ValueError(f"{place} has no label, and TextSeg's layout has one for every word")
        image, mask = (RawImage(record.images[kind], place, None) for kind in self.kinds)
        pixels, levels = decode_masked(image, mask)
        if self.levels == "binary":
            levels = np.where(levels > 0, np.uint8(_TEXT), np.uint8(0))
        elif not np.isin(levels, _TEXTSEG_LEVELS).all():
            raise BrokenImageError(f"{place}: the mask has other levels than {_TEXTSEG_LEVELS}")
        images = {"image": image.data, "mask": cv2.imencode(".png", levels)[1].tobytes()}
        if decode_oriented(image.data)[1] != 1:  # the mask is stored upright, and so is its image
            images["image"] = cv2.imencode(".png", pixels)[1].tobytes()
        return Record(images, record.text)

    def describe(self) -> dict[str, object]:
        """See :meth:`Records.describe`."""
        return dict(self._records.describe(), masks=self.levels)

    def _guess(self) -> str:
        for index in range(min(_PROBED, len(self))):
            try:
                mask = decode_label_map(self._records.read(index).images["mask"])
            except BrokenImageError:  # reported when it is converted
                continue
            if np.isin(mask, (_TEXT, _EFFECTS)).any():
                return "textseg"
        return "binary"


def open_records(
    path: str,
    layout: str | None = None,
    data_root: str | None = None,
    splits: Sequence[str] = ("train", "val"),
) -> SourceRecords:
    """Open the words of a folder, an LMDB or JSON lines.

    Args:
        path: See :mod:`mms_ocr.datasets.sources.opening`.
        layout: ``'words'``, with masks if they have them; ``'textzoom'``, pairs of a high and a low
            resolution; ``'textseg'``, TextSeg as it is released; or guessed by default.
        data_root: For JSON lines, the folder that file names are relative to.
        splits: For TextSeg.
    """
    layout = layout or guess_layout(path, data_root)
    if layout == "textseg":
        return SourceRecords(TextSegSource(path, splits), ("image", "mask"), splits=list(splits))
    if layout == "textzoom":
        return SourceRecords(open_pairs(path, data_root), ("image_hr", "image_lr"))
    source = open_source(path, data_root)
    fields = source.fields()
    clean: ImageSource | None = None
    if "clean" in fields and isinstance(source, LmdbSource):
        clean = LmdbSource(path, image_key="clean-%09d")
    elif "clean" in fields and isinstance(source, JsonlSource):
        clean = JsonlSource(source.path, source.data_root, "clean")
    has_masks = "mask" in fields
    if isinstance(source, FolderSource):
        has_masks = has_folders(path, MASK_FOLDERS)
    if has_masks:
        return SourceRecords(open_masked(path, data_root), ("image", "mask"), clean)
    return SourceRecords(source, ("image",), clean)


def guess_layout(path: str, data_root: str | None = None) -> str:
    """Return the layout of a data set; the arguments are those of :func:`open_records`."""
    if is_textseg(path):
        return "textseg"
    if is_lmdb(path):
        try:
            LmdbSource(path, image_key="image_hr-%09d")
        except (ValueError, FileNotFoundError):
            return "words"
        return "textzoom"
    is_lines = is_json_lines(path) and os.path.isfile(path)
    lines = JsonlSource(path, data_root) if is_lines else open_labels_in(path)
    is_pairs = lines.has_field("image_hr") if lines else has_folders(path, PAIR_FOLDERS)
    return "textzoom" if is_pairs else "words"
