"""Pairs of a large and a small image of the same words, from every layout of the field."""

from __future__ import annotations

import os

from mms_ocr.datasets.sources.folder import FolderSource
from mms_ocr.datasets.sources.jsonl import JsonlSource, open_labels_in
from mms_ocr.datasets.sources.lmdb_source import LmdbSource
from mms_ocr.datasets.sources.pairing import PairedSource, pair_by_stem
from mms_ocr.utils.layouts import is_json_lines, is_lmdb

_HIGH, _LOW = "hr", "lr"


def open_pairs(path: str | os.PathLike[str], data_root: str | None = None) -> PairedSource:
    """Open pairs of high and low resolution, whatever layout they have.

    Args:
        path: An LMDB as TextZoom's, with keys ``image_hr-%09d``, ``image_lr-%09d`` and
            ``label-%09d``; a folder with ``labels.jsonl`` at its top that names pairs; one with the
            folders ``hr`` and ``lr`` in it, where the files of a pair have the same path but for
            its suffix; or JSON lines with the fields ``image_hr`` and ``image_lr``, and ``text``
            where there are labels.
        data_root: For JSON lines, the folder that file names are relative to; by default the
            annotation file's own.

    Raises:
        FileNotFoundError: Nothing is there.
        ValueError: What is there is empty or malformed, or an image lacks its pair.
    """
    path = os.fspath(path)
    if not os.path.exists(path):
        raise FileNotFoundError(
            f"there are no pairs of images at {path!r}: give an LMDB with image_hr-… and "
            "image_lr-…, a folder with hr/ and lr/ in it, or a .jsonl file"
        )
    if is_lmdb(path):
        high_images = LmdbSource(path, image_key="image_hr-%09d")
        return PairedSource(path, high_images, LmdbSource(path, image_key="image_lr-%09d"))
    if is_json_lines(path):
        return _open_lines(path, data_root)
    lines = open_labels_in(path, "image_hr")
    if lines is not None:
        return _open_lines(lines.path, None)
    in_folders = [os.path.isdir(os.path.join(path, part)) for part in (_HIGH, _LOW)]
    if any(in_folders):
        if not all(in_folders):
            there, missing = (_HIGH, _LOW) if in_folders[0] else (_LOW, _HIGH)
            raise ValueError(f"{path!r} has a folder {there!r} and none {missing!r} beside it")
        return _open_folders(path)
    raise ValueError(
        f"{path!r} holds no pairs: it has no 'labels.jsonl' with pairs, no folders 'hr' and 'lr', "
        "and is no LMDB"
    )


def _open_lines(path: str, data_root: str | None) -> PairedSource:
    high, low = (JsonlSource(path, data_root, field) for field in ("image_hr", "image_lr"))
    return PairedSource(path, high, low)


def _open_folders(path: str) -> PairedSource:
    high, low = (FolderSource(os.path.join(path, part)) for part in (_HIGH, _LOW))
    return PairedSource(path, high, low, pair_by_stem(high, low))
