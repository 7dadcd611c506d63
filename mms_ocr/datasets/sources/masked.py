"""Word images with masks beside them, from every layout of the field."""

from __future__ import annotations

import os

from mms_ocr.datasets.sources.folder import FolderSource
from mms_ocr.datasets.sources.jsonl import JsonlSource, open_labels_in
from mms_ocr.datasets.sources.lmdb_source import LmdbSource
from mms_ocr.datasets.sources.pairing import PairedSource, pair_by_stem
from mms_ocr.utils.layouts import is_json_lines, is_lmdb, is_textseg

_FOLDERS = (("image", "mask"), ("images", "masks"))


def has_mask_folders(path: str) -> bool:
    """Whether a folder has ``image/`` and ``mask/`` in it, or ``images/`` and ``masks/``."""
    return any(all(os.path.isdir(os.path.join(path, name)) for name in pair) for pair in _FOLDERS)


def open_masked(path: str | os.PathLike[str], data_root: str | None = None) -> PairedSource:
    """Open images with masks, whatever layout they have.

    Args:
        path: A folder with ``labels.jsonl`` at its top that names masks; one with ``image/`` and
            ``mask/`` in it (or ``images/`` and ``masks/``), where the files of a pair have the same
            path but for its suffix; an LMDB with keys
            ``image-%09d`` and ``mask-%09d``; or JSON lines with the fields ``filename`` and
            ``mask``. ``mms-ocr render --extras mask`` and ``mms-ocr convert`` write all of them.
        data_root: For JSON lines, the folder that file names are relative to; by default the
            annotation file's own.

    Raises:
        FileNotFoundError: Nothing is there.
        ValueError: What is there is empty or malformed, or an image or mask lacks its pair.
    """
    path = os.fspath(path)
    if not os.path.exists(path):
        raise FileNotFoundError(
            f"there are no images with masks at {path!r}: give a folder with image/ and mask/ in "
            "it, an LMDB with mask-… beside image-…, or a .jsonl file"
        )
    if is_lmdb(path):
        return _open_lmdb(path)
    if is_json_lines(path):
        return _open_lines(JsonlSource(path, data_root))
    lines = open_labels_in(path, "mask")
    if lines is not None:
        return _open_lines(lines)
    if is_textseg(path):
        raise ValueError(
            f"{path!r} is TextSeg as it is released: read it with mms_ocr.TextSegDataset, or "
            "convert it with mms-ocr convert"
        )
    for names in _FOLDERS:
        found = [os.path.isdir(os.path.join(path, name)) for name in names]
        if all(found):
            return _open_folders(path, *names)
        if any(found):
            there, missing = names if found[0] else names[::-1]
            raise ValueError(f"{path!r} has a folder {there!r} and none {missing!r} beside it")
    raise ValueError(
        f"{path!r} holds no images with masks: it has no 'labels.jsonl' with masks, no folders "
        "'image' and 'mask', and is no LMDB"
    )


def _open_lines(images: JsonlSource) -> PairedSource:
    if not images.has_field("mask"):
        raise ValueError(
            f"annotation file {images.path!r} names no masks: there is no 'mask' in its first line"
        )
    masks = JsonlSource(images.path, images.data_root, field="mask")
    return PairedSource(images.path, images, masks)


def _open_lmdb(path: str) -> PairedSource:
    images = LmdbSource(path)
    if not images.has("mask-000000001"):
        raise ValueError(f"LMDB {path!r} has no masks: there is no key 'mask-000000001'")
    return PairedSource(path, images, LmdbSource(path, image_key="mask-%09d"))


def _open_folders(path: str, image_folder: str, mask_folder: str) -> PairedSource:
    images = FolderSource(os.path.join(path, image_folder))
    masks = FolderSource(os.path.join(path, mask_folder))
    return PairedSource(path, images, masks, pair_by_stem(images, masks))
