"""Word crops with masks from TextSeg as it is released."""

from __future__ import annotations

import json
import math
import os
from collections.abc import Sequence
from typing import Any, NamedTuple

import cv2
import numpy as np

from mms_ocr.datasets.sources.base import ImageSource, RawImage
from mms_ocr.datasets.sources.label_maps import decode_masked
from mms_ocr.utils.decoding import read_image_file
from mms_ocr.utils.errors import BrokenImageError

_SPLITS = ("train", "val", "test")
_MAX_PIXELS = 1 << 27  # of a whole picture


class _Word(NamedTuple):
    tag: str
    text: str
    box: tuple[int, int, int, int]  # left, top, right, bottom; the last two outside


class TextSegSource(ImageSource):
    """Words cut from TextSeg (Xu et al., CVPR 2021), each with the part of the mask over it.

    Reads ``split.json``, ``image/TAG.jpg``, ``annotation/TAG_anno.json`` and
    ``semantic_label/TAG_maskfg.png`` (0 background, 100 text, 200 its effects, 255 ignored). A word
    is the upright rectangle around its polygon, cut at the border of the image, as PNG.

    Args:
        path: The folder with ``split.json``.
        splits: Some of ``'train'``, ``'val'`` and ``'test'``.

    Raises:
        FileNotFoundError: A file or folder of the layout is missing.
        ValueError: A file is malformed, or there are no words.
    """

    kind = "TextSeg"

    def __init__(self, path: str, splits: Sequence[str] = ("train", "val")) -> None:
        super().__init__(path)
        if not splits or set(splits) - set(_SPLITS):
            raise ValueError(f"splits of TextSeg are {', '.join(_SPLITS)}, got {tuple(splits)}")
        split_file = os.path.join(path, "split.json")
        tags = _load_json(split_file)
        folder = os.path.join(path, "annotation")
        if not os.path.isdir(folder):
            folder = os.path.join(path, "bpoly_label")
        self._words: list[_Word] = []
        for split in splits:
            if not isinstance(tags, dict) or not isinstance(tags.get(split), list):
                raise ValueError(f"{split_file} has no list {split!r}")
            for tag in tags[split]:
                if not isinstance(tag, str) or os.path.basename(tag) != tag or "\0" in tag:
                    raise ValueError(f"{split_file}: {tag!r} in {split!r} is not an image name")
                self._words += _read_words(tag, os.path.join(folder, f"{tag}_anno.json"))
        if not self._words:
            raise ValueError(f"TextSeg at {path!r} has no words in {', '.join(splits)}")
        self._latest: tuple[str | None, tuple[np.ndarray, ...]] = (None, ())

    def __len__(self) -> int:
        return len(self._words)

    def name(self, index: int) -> str:
        """Return ``FOLDER:TAG:TEXT``."""
        word = self._words[index]
        return f"{self.path}:{word.tag}:{word.text}"

    def read(self, index: int, labelled: bool = False) -> RawImage:
        """Cut the image of a word; see :meth:`ImageSource.read`."""
        text = self._words[index].text if labelled else None
        return RawImage(self._cut(index, 0), self.name(index), text)

    def read_second(self, index: int) -> RawImage:
        """Cut the mask of a word; see :meth:`ImageSource.read`."""
        return RawImage(self._cut(index, 1), f"{self.name(index)}, mask", None)

    def check_labels(self) -> None:
        """Every word has its text."""

    def _cut(self, index: int, part: int) -> bytes:
        """Cut a word from image (part 0) or mask (part 1) and encode it as PNG."""
        word = self._words[index]
        left, top, right, bottom = word.box
        if self._latest[0] != word.tag:  # kept, as words of an image follow each other
            image = self._read_file("image", f"{word.tag}.jpg")
            mask = self._read_file("semantic_label", f"{word.tag}_maskfg.png")
            self._latest = word.tag, decode_masked(image, mask, _MAX_PIXELS)
        crop = self._latest[1][part][max(top, 0) : bottom, max(left, 0) : right]
        if not crop.size:
            raise BrokenImageError(f"{self.path}: a word of {word.tag} is outside of its image")
        return cv2.imencode(".png", crop)[1].tobytes()

    def _read_file(self, folder: str, name: str) -> RawImage:
        file = os.path.join(self.path, folder, name)
        return RawImage(read_image_file(file), file, None)


def _read_words(tag: str, file: str) -> list[_Word]:
    annotation = _load_json(file)
    words = []
    try:
        for entry in annotation.values():
            corners = np.array(entry["bbox"], float).reshape(-1, 2)
            (left, top), (right, bottom) = corners.min(axis=0), corners.max(axis=0)
            box = (math.floor(left), math.floor(top), math.ceil(right), math.ceil(bottom))
            words.append(_Word(tag, str(entry["text"]), box))
    except (AttributeError, KeyError, OverflowError, TypeError, ValueError) as error:
        raise ValueError(f"{file} has an entry without 'text' and 'bbox' as TextSeg has: {error}")
    return words


def _load_json(file: str) -> Any:
    if not os.path.isfile(file):
        raise FileNotFoundError(f"no TextSeg here: there is no {file!r}")
    with open(file, encoding="utf-8") as stream:
        try:
            return json.load(stream)
        except (ValueError, RecursionError) as error:
            raise ValueError(f"{file} is not JSON: {error}")
