"""Opening a path as the source that it is: images, images with masks, or pairs of resolutions."""

from __future__ import annotations

import os
from typing import NamedTuple

from mms_ocr.datasets.sources.base import FolderSource, ImageSource, PairedSource
from mms_ocr.datasets.sources.jsonl import JsonlSource
from mms_ocr.datasets.sources.lmdb_source import LmdbSource
from mms_ocr.utils.errors import warn
from mms_ocr.utils.layouts import LABELS_FILE, is_json_lines, is_lmdb, is_textseg
from mms_ocr.utils.walking import IMAGE_SUFFIXES

_TEXTSEG_ADVICE = (
    "is TextSeg as it is released, with whole pictures: read it with mms_ocr.TextSegDataset, or "
    "convert it with mms-ocr convert"
)


def open_source(path: str | os.PathLike[str], data_root: str | None = None) -> ImageSource:
    """Open a folder tree, an LMDB or a file of JSON lines.

    Args:
        path: A folder of images at any depth; a folder with ``labels.jsonl`` at its top, of which
            the listed words are read; a folder with ``data.mdb`` in it, or an LMDB in one file; or
            an annotation file of JSON lines.
        data_root: For JSON lines, the folder that file names are relative to; by default the
            annotation file's own.

    Raises:
        FileNotFoundError: The path does not exist.
        OSError: A folder cannot be read.
        ValueError: The data are empty, truncated or malformed, or a labelled data set is inside of
            a folder.
    """
    path = os.fspath(path)
    if not os.path.exists(path):
        raise FileNotFoundError(
            f"there is no data at {path!r}: give a folder of images, an LMDB or a .jsonl file"
        )
    if is_lmdb(path):
        return LmdbSource(path)
    if not os.path.isdir(path):
        if path.lower().endswith(IMAGE_SUFFIXES):
            raise ValueError(
                f"{path!r} is a single image: give the folder that it is in, an LMDB or a .jsonl "
                "file"
            )
        return JsonlSource(path, data_root)
    lines = open_labels_in(path)
    if lines is not None:
        return lines
    if is_textseg(path):
        raise ValueError(f"{path!r} {_TEXTSEG_ADVICE}")
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


def open_labels_in(folder: str, field: str = "filename") -> JsonlSource | None:
    """Open ``labels.jsonl`` at the top of a folder, as ``convert`` and ``render`` write it.

    Returns:
        None if there is no such file, or its first line has no such field.

    Raises:
        ValueError: It is malformed.
    """
    path = os.path.join(folder, LABELS_FILE)
    if not os.path.isfile(path):
        return None
    source = JsonlSource(path)
    if not source.has_field(field):
        return None
    warn(f"folder {folder!r}: reading the {len(source):,} words that {path!r} lists")
    return source


class _Pairing(NamedTuple):
    """How files, keys and fields of two images that belong together are named."""

    name: str
    folders: tuple[tuple[str, str], ...]
    keys: tuple[str, str]
    fields: tuple[str, str]


_MASKS = _Pairing(
    "masks", (("image", "mask"), ("images", "masks")), ("image", "mask"), ("filename", "mask")
)
_RESOLUTIONS = _Pairing(
    "pairs of resolutions", (("hr", "lr"),), ("image_hr", "image_lr"), ("image_hr", "image_lr")
)


def open_masked(path: str | os.PathLike[str], data_root: str | None = None) -> PairedSource:
    """Open images with masks, in any layout.

    Args:
        path: A folder with ``labels.jsonl`` at its top that names masks; one with ``image/`` and
            ``mask/`` in it (or ``images/`` and ``masks/``), where the files of a pair have the same
            path up to the suffix; an LMDB with keys ``image-%09d`` and ``mask-%09d``; or JSON lines
            with the fields ``filename`` and ``mask``.
        data_root: For JSON lines, the folder that file names are relative to; by default the
            annotation file's own.

    Raises:
        FileNotFoundError: The path does not exist.
        ValueError: The data are empty or malformed, or an image or mask has no partner.
    """
    return _open_paired(os.fspath(path), data_root, _MASKS)


def open_pairs(path: str | os.PathLike[str], data_root: str | None = None) -> PairedSource:
    """Open pairs of high and low resolution, in any layout.

    Args:
        path: As for :func:`open_masked`, with the folders ``hr/`` and ``lr/``, or keys and fields
            ``image_hr`` and ``image_lr``, as TextZoom has them.
        data_root: See :func:`open_masked`.

    Raises:
        FileNotFoundError: The path does not exist.
        ValueError: The data are empty or malformed, or an image has no partner.
    """
    return _open_paired(os.fspath(path), data_root, _RESOLUTIONS)


def has_mask_folders(path: str) -> bool:
    """Return whether a folder has ``image/`` and ``mask/`` in it, or ``images/`` and ``masks/``."""
    return any(all(_folders_in(path, names)) for names in _MASKS.folders)


def _open_paired(path: str, data_root: str | None, pairing: _Pairing) -> PairedSource:
    first, second = pairing.folders[0]
    expected = (
        f"a folder with {first}/ and {second}/ in it, an LMDB with {pairing.keys[0]}-… and "
        f"{pairing.keys[1]}-…, or JSON lines with {pairing.fields[0]!r} and {pairing.fields[1]!r}"
    )
    if not os.path.exists(path):
        raise FileNotFoundError(f"there are no {pairing.name} at {path!r}: give {expected}")
    if is_lmdb(path):
        images, partners = (f"{key}-%09d" for key in pairing.keys)
        source = LmdbSource(path, image_key=images)
        if not source.has(partners % 1):
            raise ValueError(f"LMDB {path!r} has no {pairing.name}: no key {partners % 1!r}")
        return PairedSource(path, source, LmdbSource(path, image_key=partners))
    lines = path if is_json_lines(path) else None
    if lines is None and os.path.isdir(path):
        labels = open_labels_in(path, pairing.fields[1])
        lines, data_root = (None, data_root) if labels is None else (labels.path, None)
    if lines is not None:
        first_lines = JsonlSource(lines, data_root, pairing.fields[0])
        if not first_lines.has_field(pairing.fields[1]):
            raise ValueError(
                f"annotation file {lines!r} has no {pairing.name}: no {pairing.fields[1]!r} in its "
                "first line"
            )
        return PairedSource(path, first_lines, JsonlSource(lines, data_root, pairing.fields[1]))
    if is_textseg(path):
        raise ValueError(f"{path!r} {_TEXTSEG_ADVICE}")
    for names in pairing.folders:
        present = _folders_in(path, names)
        if all(present):
            first_folder, second_folder = (FolderSource(os.path.join(path, name)) for name in names)
            order = _pair_by_stem(first_folder, second_folder)
            return PairedSource(path, first_folder, second_folder, order)
        if any(present):
            there, missing = names if present[0] else names[::-1]
            raise ValueError(f"{path!r} has a folder {there!r} and no {missing!r} beside it")
    raise ValueError(f"{path!r} has no {pairing.name}: give {expected}")


def _folders_in(path: str, names: tuple[str, str]) -> list[bool]:
    return [os.path.isdir(os.path.join(path, name)) for name in names]


def _pair_by_stem(first: FolderSource, second: FolderSource) -> list[int] | None:
    """Find the partner of every image of a folder in the folder beside it.

    Returns:
        For every image of ``first``, the index of its partner; None if both have the same order.

    Raises:
        ValueError: An image of either folder has no partner, or two have the same path up to the
            suffix.
    """
    indices, partners = _index_by_stem(first), _index_by_stem(second)
    for own, others, folder in ((indices, partners, second), (partners, indices, first)):
        unpaired = sorted(own.keys() - others.keys())
        if unpaired:
            more = f" and {len(unpaired) - 1:,} more" if len(unpaired) > 1 else ""
            raise ValueError(
                f"{os.path.dirname(folder.path)!r}: {unpaired[0]!r}{more} has no pair of the same "
                f"name in {os.path.basename(folder.path)!r}; every image needs one"
            )
    order = [partners[stem] for stem in indices]
    return None if order == list(range(len(order))) else order


def _index_by_stem(source: FolderSource) -> dict[str, int]:
    """Map every image's path in the folder, without suffix, to its index."""
    stems: dict[str, int] = {}
    for index in range(len(source)):
        stem = os.path.splitext(os.path.relpath(source.name(index), source.path))[0]
        if stem in stems:
            raise ValueError(
                f"{source.name(stems[stem])!r} and {source.name(index)!r} differ only in their "
                "suffix, so their partners are ambiguous; rename one"
            )
        stems[stem] = index
    return stems
