"""Words with masks in TextSeg's layout, each word an image of its own."""

from __future__ import annotations

import json
import os
from typing import Any

import cv2
import numpy as np

from mms_ocr.dataset_tools.conversion.writers import RecordWriter
from mms_ocr.datasets.label_maps import decode_label_map, decode_masked
from mms_ocr.datasets.sources import BrokenImageError, RawImage
from mms_ocr.datasets.sources.records import Record, Records
from mms_ocr.utils.decoding import decode_image, decode_oriented
from mms_ocr.utils.writing import write_json

#: What the levels of a mask mean: 0 background and any other text; or TextSeg's own.
MASK_LEVELS = ("binary", "textseg")
_TEXT, _EFFECTS = 100, 200
_TEXTSEG_LEVELS = (0, _TEXT, _EFFECTS, 255)
_PROBED = 64  # masks that decide what the levels of a set mean
_FOLDERS = ("image", "annotation", "semantic_label")
_PROGRESS = "progress.json"


class MasksAsTextSeg(Records):
    """Words whose masks have TextSeg's levels: 0 background, 100 text, 200 effects, 255 ignored.

    Args:
        records: Words with masks and labels.
        levels: ``'textseg'`` keeps the levels, ``'binary'`` makes all above 0 text. By default
            those are TextSeg's of which one of the first 64 masks has text or effects as TextSeg
            marks them, and all others binary.

    Raises:
        ValueError: The words have no masks or no labels, or ``levels`` is unknown.
    """

    kinds = ("image", "mask")

    def __init__(self, records: Records, levels: str | None = None) -> None:
        if "mask" not in records.kinds:
            raise ValueError(
                f"{records.path} has no masks, and TextSeg's layout has one for every word: give "
                "an LMDB with keys mask-%09d, or JSON lines with a field 'mask'"
            )
        if levels not in (None, *MASK_LEVELS):
            raise ValueError(f"masks are {' or '.join(MASK_LEVELS)}, got {levels!r}")
        self.path = records.path
        self._records = records
        self.levels = levels or self._guess()

    def __len__(self) -> int:
        return len(self._records)

    def read(self, index: int) -> Record:
        """See :meth:`Records.read`."""
        record = self._records.read(index)
        where = f"word {index} of {self.path}"
        if record.text is None:
            raise ValueError(f"{where} has no label, and TextSeg's layout has one for every word")
        image = RawImage(record.images["image"], f"{where}, image", None)
        pixels, mask = decode_masked(image, RawImage(record.images["mask"], f"{where}, mask", None))
        if self.levels == "binary":
            mask = np.where(mask > 0, np.uint8(_TEXT), np.uint8(0))
        elif not np.isin(mask, _TEXTSEG_LEVELS).all():
            raise BrokenImageError(f"{where}: the mask has other levels than {_TEXTSEG_LEVELS}")
        images = {"image": image.data, "mask": cv2.imencode(".png", mask)[1].tobytes()}
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


class TextSegWriter(RecordWriter):
    """``image/TAG.jpg``, ``semantic_label/TAG_maskfg.png``, ``annotation/TAG_anno.json``, splits.

    A word is a whole image with one polygon round all of it. The bytes of images are kept, also
    where they are no JPEG: what reads them goes by the content, not by the name.

    Args:
        path: What the finished folder is called.
        plan: See :class:`RecordWriter`; ``plan['split']`` names the split of all words.
    """

    def _open(self) -> None:
        for name in _FOLDERS:
            (self.part / name).mkdir(exist_ok=True)
        if (self.part / _PROGRESS).is_file():
            self.read, self.written = json.loads((self.part / _PROGRESS).read_text())

    def _append(self, records: Any, read: int) -> None:
        for index, record in enumerate(records, start=self.written):
            height, width = decode_image(record.images["image"]).shape[:2]
            corners = [0, 0, width, 0, width, height, 0, height]
            word = {"text": record.text, "bbox": corners, "char": {}}
            image, mask, annotation = self._files(index)
            image.write_bytes(record.images["image"])
            mask.write_bytes(record.images["mask"])
            annotation.write_text(json.dumps({"0000": word}, ensure_ascii=False), "utf-8")
        write_json(self.part / _PROGRESS, [read, self.written + len(records)])

    def _tag(self, index: int) -> str:
        return f"{self._plan['split']}_{index + 1:09d}"

    def _files(self, index: int) -> tuple[Any, Any, Any]:
        tag = self._tag(index)
        return (
            self.part / "image" / f"{tag}.jpg",
            self.part / "semantic_label" / f"{tag}_maskfg.png",
            self.part / "annotation" / f"{tag}_anno.json",
        )

    def read_back(self, index: int) -> Record:
        """See :meth:`RecordWriter.read_back`."""
        image, mask, annotation = self._files(index)
        word = json.loads(annotation.read_text("utf-8"))["0000"]
        images = {"image": image.read_bytes(), "mask": mask.read_bytes()}
        return Record(images, word["text"])

    def _seal(self) -> None:
        splits: dict[str, list[str]] = {"train": [], "val": [], "test": []}
        splits[self._plan["split"]] = [self._tag(index) for index in range(self.written)]
        write_json(self.part / "split.json", splits)
        if hasattr(os, "sync"):
            os.sync()  # many small files: all of them have to be on the disk before the name is

    def _close(self) -> None:
        """Nothing is kept open."""
