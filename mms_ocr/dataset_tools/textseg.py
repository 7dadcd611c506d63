"""Masks with the levels of TextSeg."""

from __future__ import annotations

import cv2
import numpy as np

from mms_ocr.dataset_tools.records import Record, Records
from mms_ocr.datasets.sources import BrokenImageError, RawImage
from mms_ocr.datasets.sources.label_maps import decode_label_map, decode_masked
from mms_ocr.utils.decoding import decode_oriented

#: What the levels of a mask mean: 0 background and all others text; or those of TextSeg.
MASK_LEVELS = ("binary", "textseg")
_TEXT, _EFFECTS = 100, 200
_TEXTSEG_LEVELS = (0, _TEXT, _EFFECTS, 255)
_PROBED = 64  # masks that decide on the levels of a set


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
