"""Layouts of data: LMDB, JSON lines, TextSeg, and images beside their masks."""

from __future__ import annotations

import os
import re
from collections.abc import Callable, Collection

#: The annotation file at the top of a folder that ``convert`` and ``render`` write.
LABELS_FILE = "labels.jsonl"

_LMDB_SUFFIXES = (".lmdb", ".mdb")
# LMDB's magic number in its first meta page, after a page header of 16 bytes, by byte order.
_LMDB_MAGIC = (bytes.fromhex("dec0efbe"), bytes.fromhex("beefc0de"))
# Names of masks beside their images; the last is of those that mms-ocr segment writes.
_MASK_NAME = re.compile(r"(.+)[_.-](?:mask|gt|overlay)")
_MASK_ENDS = ("mask.", "gt.", "overlay.")
_TEXTSEG_FOLDERS = ("annotation", "bpoly_label", "semantic_label")
_IMAGES = ("image", "images", "img", "imgs", "img_dir", "jpegimages", "image_hr", "hr")
_LAYERS = (
    *("mask", "masks", "clean", "image_lr", "lr", "semantic_label", "bpoly_label"),
    *("label", "labels", "gt", "gts", "ann_dir", "annotation", "annotations"),
    *("segmentation", "segmentationclass", "segmentationobject"),
)


def is_lmdb(path: str | os.PathLike[str]) -> bool:
    """Return whether a path is an LMDB, or is named as one.

    That is a folder with ``data.mdb`` in it, a file that begins as an LMDB does, whatever its name,
    or any path that ends in ``.lmdb`` or ``.mdb``, whether it exists or not.
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
    """Return whether a path has the name of an annotation file, and is not a folder."""
    return path.lower().endswith((".jsonl", ".json")) and not os.path.isdir(path)


def is_textseg(path: str) -> bool:
    """Return whether a folder is TextSeg as it is released, with whole pictures."""
    has_folder = any(os.path.isdir(os.path.join(path, name)) for name in _TEXTSEG_FOLDERS)
    return has_folder and os.path.isfile(os.path.join(path, "split.json"))


def layer_folders(
    path: str, folders: Collection[str], has_images: bool, stems_in: Callable[[str], set[str]]
) -> set[str]:
    """Find which folders of a folder hold masks or other versions of the images beside them.

    They do where one folder is named as images are (``image``, ``hr``, …) and others as what
    belongs to them (``mask``, ``clean``, ``lr``, …), in any case. A folder ``mask`` without images
    beside it is like any other. ``stems_in`` lists the first images below one of the folders,
    without suffixes; ``has_images`` means image files beside the folders.

    Raises:
        ValueError: Beside such folders with files of the same names are image files or other
            folders of images: reading the folder would mix or lose images.
    """
    layers = {name for name in folders if name.lower() in _LAYERS and stems_in(name)}
    if not layers:
        return set()
    images = {name for name in folders if name.lower() in _IMAGES and stems_in(name)}
    if not images:  # clean versions with masks
        images = {name for name in layers if name.lower() == "clean"} if len(layers) > 1 else set()
        layers -= images
    if not images:
        return set()
    others = sorted(set(folders) - images - layers)
    beside = sorted(images)[1:] + [name for name in others if stems_in(name)]
    if has_images:
        beside.append("image files")
    if not beside:
        return layers
    shared = [(a, b) for a in images for b in layers if stems_in(a) & stems_in(b)]
    if not shared:  # classes whose names happen to be these
        return set()
    image, layer = min(shared)
    raise ValueError(
        f"folder {path!r} holds {image!r} and {layer!r}, which look like versions of the same "
        f"images, and {beside[0]!r} beside them; give {image!r} alone, or JSON lines that name the "
        "images"
    )


def layer_files(names: Collection[str]) -> set[str]:
    """Find which image files of a folder are masks of others in it, or other versions of them.

    They are called ``1_mask.png``, ``1_gt.png`` or ``1_overlay.png`` beside ``1.jpg`` or
    ``1_cutout.png``, for at least a quarter of the files, or ``mask.png`` and ``image.jpg`` alone.
    """
    joined = "/".join(names).lower()
    if not any(end in joined for end in _MASK_ENDS):  # the usual case, found quickly
        return set()
    stems = {os.path.splitext(name)[0].lower() for name in names}
    if stems <= {*_IMAGES, *_LAYERS} and not stems.isdisjoint(_IMAGES):
        return {name for name in names if os.path.splitext(name)[0].lower() in _LAYERS}
    masks = {
        name
        for name in names
        if (match := _MASK_NAME.fullmatch(os.path.splitext(name)[0].lower()))
        and not stems.isdisjoint((match[1], f"{match[1]}_cutout"))
    }
    return masks if 4 * len(masks) >= len(names) else set()
