"""What layout a path has: an LMDB, JSON lines, TextSeg, or images beside their masks."""

from __future__ import annotations

import os
from collections.abc import Callable, Collection

__all__ = ["LABELS_FILE", "is_json_lines", "is_lmdb", "is_textseg", "layer_folders"]

#: The annotation file at the top of a folder that ``convert`` and ``render`` write.
LABELS_FILE = "labels.jsonl"

_LMDB_SUFFIXES = (".lmdb", ".mdb")
# LMDB's magic number in its first meta page, after a page header of 16 bytes, by byte order.
_LMDB_MAGIC = (bytes.fromhex("dec0efbe"), bytes.fromhex("beefc0de"))
_TEXTSEG_FOLDERS = ("annotation", "bpoly_label", "semantic_label")
_IMAGES = ("image", "images", "img", "imgs", "img_dir", "jpegimages", "image_hr", "hr")
_LAYERS = (
    *("mask", "masks", "clean", "image_lr", "lr", "semantic_label", "bpoly_label"),
    *("label", "labels", "gt", "gts", "ann_dir", "annotation", "annotations"),
    *("segmentation", "segmentationclass", "segmentationobject"),
)


def is_lmdb(path: str | os.PathLike[str]) -> bool:
    """Whether a path is an LMDB, or named as one: what every command goes by.

    That is a folder with ``data.mdb`` in it, a file that begins as an LMDB does, whatever its name,
    or anything whose name ends in ``.lmdb`` or ``.mdb``, be it there or not.
    """
    path = os.fspath(path)
    if path.rstrip("/\\").lower().endswith(_LMDB_SUFFIXES):
        return True
    if not os.path.isfile(path):
        return os.path.isfile(os.path.join(path, "data.mdb"))
    try:
        with open(path, "rb") as file:
            return file.read(20)[16:] in _LMDB_MAGIC
    except OSError:
        return False


def is_json_lines(path: str) -> bool:
    """Whether a path is named as an annotation file, and no folder."""
    return path.lower().endswith((".jsonl", ".json")) and not os.path.isdir(path)


def is_textseg(path: str) -> bool:
    """Whether a folder is TextSeg as it is released: whole pictures, of which words are cut."""
    has_folder = any(os.path.isdir(os.path.join(path, name)) for name in _TEXTSEG_FOLDERS)
    return has_folder and os.path.isfile(os.path.join(path, "split.json"))


def layer_folders(
    path: str, folders: Collection[str], has_images: bool, holds_images: Callable[[str], bool]
) -> set[str]:
    """Find which folders of a folder hold masks or other versions of the images beside them.

    They do where one folder is named as images are (``image``, ``hr``, …) and others as what
    belongs to them (``mask``, ``clean``, ``lr``, …), in any case. A folder ``mask`` without images
    beside it is like any other.

    Args:
        path: The folder, for messages.
        folders: Names of the folders in it.
        has_images: Whether image files are in it as well.
        holds_images: Whether a folder of this name has images in it, at any depth.

    Returns:
        The names of the folders that are not to be read as word images.

    Raises:
        ValueError: There are such folders, but also image files or other folders of images beside
            them, so that the folder is no data set, and reading it would mix or lose images.
    """
    layers = {name for name in folders if name.lower() in _LAYERS and holds_images(name)}
    if not layers:
        return set()
    images = {name for name in folders if name.lower() in _IMAGES and holds_images(name)}
    if not images:  # clean versions with masks
        images = {name for name in layers if name.lower() == "clean"} if len(layers) > 1 else set()
        layers -= images
    if not images:
        return set()
    beside = sorted(images)[1:] + [
        name for name in sorted(set(folders) - images - layers) if holds_images(name)
    ]
    if has_images:
        beside.append("image files")
    if beside:
        raise ValueError(
            f"folder {path!r} holds {min(images)!r} and {min(layers)!r}, which look like versions "
            f"of the same images, and {beside[0]!r} beside them; give {min(images)!r} alone, or "
            "JSON lines that name the images"
        )
    return layers
