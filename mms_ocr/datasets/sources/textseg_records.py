"""Word crops with masks from TextSeg as it is released."""

from __future__ import annotations

import json
import math
import os
from collections.abc import Sequence
from typing import Any, NamedTuple

import cv2
import numpy as np

from mms_ocr.datasets.label_maps import decode_masked
from mms_ocr.datasets.sources import BrokenImageError, RawImage
from mms_ocr.datasets.sources.folder import read_image_file
from mms_ocr.datasets.sources.records import Record, Records

_ANNOTATION_FOLDERS = ("annotation", "bpoly_label")
_SPLITS = ("train", "val", "test")


class _Word(NamedTuple):
    tag: str
    text: str
    box: tuple[int, int, int, int]  # left, top, right, bottom; the latter two outside


class TextSegRecords(Records):
    """Words cut from TextSeg (Xu et al., CVPR 2021), each with the part of the mask over it.

    Reads ``split.json``, ``image/TAG.jpg``, ``annotation/TAG_anno.json`` and
    ``semantic_label/TAG_maskfg.png`` (0 background, 100 text, 200 its effects, 255 to be ignored;
    the values are kept). A word is the upright rectangle around its polygon, cut at the border of
    the image; nothing is resampled, and crops are stored as PNG.

    Args:
        path: The folder with ``split.json``.
        splits: Which of ``'train'``, ``'val'`` and ``'test'``.

    Raises:
        FileNotFoundError: A file or folder of the layout is missing.
        ValueError: A file does not hold what it should; or there are no words.
    """

    kinds = ("image", "mask")

    def __init__(self, path: str, splits: Sequence[str] = ("train", "val")) -> None:
        unknown = set(splits) - set(_SPLITS)
        if unknown or not splits:
            raise ValueError(f"splits of TextSeg are {', '.join(_SPLITS)}, got {tuple(splits)}")
        self.path = path
        self.splits = tuple(splits)
        tags = _load(os.path.join(path, "split.json"))
        folder = _annotation_folder(path)
        self._words: list[_Word] = []
        for split in splits:
            if not isinstance(tags, dict) or not isinstance(tags.get(split), list):
                raise ValueError(f"{os.path.join(path, 'split.json')} has no list {split!r}")
            for tag in tags[split]:
                if not isinstance(tag, str) or os.path.basename(tag) != tag or "\0" in tag:
                    raise ValueError(
                        f"{os.path.join(path, 'split.json')}: {tag!r} in {split!r} is no plain "
                        "name of an image"
                    )
                self._words += _words(tag, os.path.join(folder, f"{tag}_anno.json"))
        if not self._words:
            raise ValueError(f"TextSeg at {path!r} has no words in {', '.join(splits)}")
        self._latest: tuple[str, np.ndarray, np.ndarray] | None = None

    def __len__(self) -> int:
        return len(self._words)

    def name(self, index: int) -> str:
        """Which word it is: ``FOLDER:TAG:TEXT``."""
        word = self._words[index]
        return f"{self.path}:{word.tag}:{word.text}"

    def read(self, index: int) -> Record:
        """See :meth:`Records.read`."""
        word = self._words[index]
        image, mask = self._picture(word.tag)
        left, top, right, bottom = word.box
        place = np.s_[max(top, 0) : bottom, max(left, 0) : right]
        if not mask[place].size:
            raise BrokenImageError(f"{self.path}: a word of {word.tag} lies outside of its image")
        crops = {"image": image[place], "mask": mask[place]}
        images = {kind: cv2.imencode(".png", crop)[1].tobytes() for kind, crop in crops.items()}
        return Record(images, word.text)

    def describe(self) -> dict[str, object]:
        """See :meth:`Records.describe`."""
        return dict(super().describe(), splits=list(self.splits))

    def _picture(self, tag: str) -> tuple[np.ndarray, np.ndarray]:
        """Image and mask of a tag; the latest are kept, as words of an image come together."""
        if self._latest is None or self._latest[0] != tag:
            image = self._read_file("image", f"{tag}.jpg")
            mask = self._read_file("semantic_label", f"{tag}_maskfg.png")
            self._latest = (tag, *decode_masked(image, mask, max_pixels=1 << 27))
        return self._latest[1:]

    def _read_file(self, folder: str, name: str) -> RawImage:
        file = os.path.join(self.path, folder, name)
        return RawImage(read_image_file(file, self.path), file, None)


def _annotation_folder(path: str) -> str:
    for name in _ANNOTATION_FOLDERS:
        if os.path.isdir(os.path.join(path, name)):
            return os.path.join(path, name)
    raise FileNotFoundError(f"TextSeg at {path!r} has no folder {_ANNOTATION_FOLDERS[0]!r}")


def _words(tag: str, file: str) -> list[_Word]:
    annotation = _load(file)
    words = []
    try:
        for entry in annotation.values():
            corners = np.array(entry["bbox"], float).reshape(-1, 2)
            (left, top), (right, bottom) = corners.min(axis=0), corners.max(axis=0)
            box = (math.floor(left), math.floor(top), math.ceil(right), math.ceil(bottom))
            words.append(_Word(tag, str(entry["text"]), box))
    except (AttributeError, KeyError, TypeError, ValueError) as error:
        raise ValueError(f"{file} has an entry without 'text' and 'bbox' as TextSeg has: {error}")
    return words


def _load(file: str) -> Any:
    if not os.path.isfile(file):
        raise FileNotFoundError(f"no TextSeg here: there is no {file!r}")
    with open(file, encoding="utf-8") as stream:
        try:
            return json.load(stream)
        except ValueError as error:
            raise ValueError(f"{file} is no JSON: {error}")
