"""From a path to the source that it is."""

from __future__ import annotations

import os

from mms_ocr.datasets.sources.base import ImageSource
from mms_ocr.datasets.sources.folder import FolderSource
from mms_ocr.datasets.sources.jsonl import JsonlSource, open_labels_in
from mms_ocr.datasets.sources.lmdb_source import LmdbSource
from mms_ocr.utils.layouts import is_lmdb, is_textseg
from mms_ocr.utils.walking import IMAGE_SUFFIXES


def open_source(path: str | os.PathLike[str], data_root: str | None = None) -> ImageSource:
    """Open a folder tree, an LMDB or a file of JSON lines, whichever ``path`` is.

    Args:
        path: A folder of images at any depth; a folder with ``labels.jsonl`` at its top, of which
            the words that it lists are read; a folder with ``data.mdb`` in it, or an LMDB in one
            file; or an annotation file of JSON lines.
        data_root: For JSON lines, the folder that file names are relative to; by default the
            annotation file's own.

    Raises:
        FileNotFoundError: Nothing is there.
        OSError: A folder cannot be read.
        ValueError: What is there is empty, truncated or malformed, or a folder holds a labelled
            data set further down.
    """
    path = os.fspath(path)
    if not os.path.exists(path):
        raise FileNotFoundError(
            f"there is no data at {path!r}: give a folder of images, an LMDB or a .jsonl file"
        )
    if is_lmdb(path):
        return LmdbSource(path)
    if os.path.isdir(path):
        return _open_folder(path)
    if path.lower().endswith(IMAGE_SUFFIXES):
        raise ValueError(
            f"{path!r} is a single image: give the folder that it lies in, an LMDB or a .jsonl file"
        )
    return JsonlSource(path, data_root)


def _open_folder(path: str) -> ImageSource:
    lines = open_labels_in(path)
    if lines is not None:
        return lines
    if is_textseg(path):
        raise ValueError(
            f"{path!r} is TextSeg as it is released, which has whole pictures: convert it with "
            "mms-ocr convert, or read it with mms_ocr.TextSegDataset"
        )
    folder = FolderSource(path)
    if folder.nested_labels:
        more = len(folder.nested_labels) - 1
        nested = os.path.join(path, folder.nested_labels[0])
        raise ValueError(
            f"folder {path!r} holds a labelled data set, {nested!r}"
            f"{f', and {more:,} more' if more else ''}; give "
            f"{os.path.dirname(nested)!r}{' and the others' if more else ''} instead"
        )
    return folder
