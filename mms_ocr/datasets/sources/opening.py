"""Opening a path as the source that it is: images, images with masks, or pairs of resolutions."""

from __future__ import annotations

import contextlib
import os
from collections.abc import Sequence

from mms_ocr.datasets.sources.base import FolderSource, ImageSource, PairedSource
from mms_ocr.datasets.sources.jsonl import JsonlSource
from mms_ocr.datasets.sources.lmdb_source import LmdbSource
from mms_ocr.utils.errors import warn
from mms_ocr.utils.layouts import LABELS_FILE, is_json_lines, is_lmdb, is_textseg
from mms_ocr.utils.walking import IMAGE_SUFFIXES

_Names = tuple[str, str]
MASK_FOLDERS: tuple[_Names, ...] = (("image", "mask"), ("images", "masks"))
PAIR_FOLDERS: tuple[_Names, ...] = (("hr", "lr"),)
#: Keys of an LMDB and fields of JSON lines, as TextZoom has them.
PAIR_KEYS: _Names = ("image_hr", "image_lr")
_TEXTSEG_ADVICE = (
    "is TextSeg as it is released, with whole pictures: read it with mms_ocr.TextSegDataset, or "
    "convert it with mms-ocr convert"
)


def open_source(path: str | os.PathLike[str], data_root: str | None = None) -> ImageSource:
    """Open a folder tree, an LMDB or a file of JSON lines.

    Args:
        path: A folder of images at any depth; a folder with ``labels.jsonl`` at its top, of which
            the listed words are read; an LMDB; or an annotation file of JSON lines.
        data_root: Folder that file names in JSON lines are relative to; by default their own.

    Raises:
        FileNotFoundError: The path does not exist.
        OSError: A folder cannot be read.
        ValueError: The data are empty, truncated or malformed, or a folder holds a labelled set.
    """
    path = os.fspath(path)
    if not os.path.exists(path):
        raise FileNotFoundError(
            f"there is no data at {path!r}: give a folder of images, an LMDB or a .jsonl file"
        )
    if is_lmdb(path):
        return _open_lmdb_images(path)
    if not os.path.isdir(path):
        if path.lower().endswith(IMAGE_SUFFIXES):
            raise ValueError(f"{path!r} is a single image: give the folder that it is in")
        return JsonlSource(path, data_root)
    lines = open_labels_in(path)
    if lines is not None:
        return lines
    if is_textseg(path):
        raise ValueError(f"{path!r} {_TEXTSEG_ADVICE}")
    folder = FolderSource(path)
    if folder.nested_labels:
        nested = os.path.join(path, folder.nested_labels[0])
        raise ValueError(
            f"folder {path!r} holds labelled data sets ({len(folder.nested_labels):,}), such as "
            f"{nested!r}; give {os.path.dirname(nested)!r} and any others instead"
        )
    return folder


def _open_lmdb_images(path: str) -> LmdbSource:
    """Open the images of an LMDB, or, of pairs as TextZoom's, those of high resolution."""
    try:
        return LmdbSource(path)
    except ValueError:
        with contextlib.suppress(ValueError):
            source = LmdbSource(path, image_key=f"{PAIR_KEYS[0]}-%09d")
            warn(f"LMDB {path!r}: reading the images of high resolution of its pairs")
            return source
        raise


def open_labels_in(folder: str, fields: Sequence[str] = ("filename",)) -> JsonlSource | None:
    """Open the images that ``labels.jsonl`` at the top of a folder names in the first field.

    Returns None if there is no such file, or none of its lines has the last field.
    """
    path = os.path.join(folder, LABELS_FILE)
    if not os.path.isfile(path):
        return None
    source = JsonlSource(path)
    if not source.has_field(fields[-1]):
        return None
    if fields[0] != source.field:
        source = JsonlSource(path, field=fields[0])
    warn(f"folder {folder!r}: reading the {len(source):,} words that {path!r} lists")
    return source


def open_masked(path: str | os.PathLike[str], data_root: str | None = None) -> PairedSource:
    """Open images with masks, in any layout.

    Args:
        path: A folder with ``labels.jsonl`` at its top that names masks; one with ``image/`` and
            ``mask/`` in it (or ``images/`` and ``masks/``), where the files of a pair have the same
            path up to the suffix; an LMDB with keys ``image-%09d`` and ``mask-%09d``; or JSON lines
            with the fields ``filename`` and ``mask``.
        data_root: See :func:`open_source`.

    Raises:
        FileNotFoundError: The path does not exist.
        ValueError: The data are empty or malformed, or an image or mask has no partner.
    """
    keys, fields = ("image", "mask"), ("filename", "mask")
    return _open_paired(os.fspath(path), data_root, "masks", MASK_FOLDERS, keys, fields)


def open_pairs(path: str | os.PathLike[str], data_root: str | None = None) -> PairedSource:
    """Open pairs of high and low resolution, in any layout.

    As :func:`open_masked`, with the folders ``hr/`` and ``lr/``, or keys and fields ``image_hr``
    and ``image_lr``, as TextZoom has them.
    """
    what = "pairs of resolutions"
    return _open_paired(os.fspath(path), data_root, what, PAIR_FOLDERS, PAIR_KEYS, PAIR_KEYS)


def has_folders(path: str, pairs: Sequence[_Names]) -> bool:
    """Return whether a folder has both folders of one of some pairs of names in it."""
    return any(all(os.path.isdir(os.path.join(path, name)) for name in names) for names in pairs)


def _open_paired(
    path: str,
    data_root: str | None,
    what: str,
    folders: Sequence[_Names],
    keys: _Names,
    fields: _Names,
) -> PairedSource:
    expected = (
        f"a folder with {folders[0][0]}/ and {folders[0][1]}/ in it, an LMDB with {keys[0]}-… and "
        f"{keys[1]}-…, or JSON lines with {fields[0]!r} and {fields[1]!r}"
    )
    if not os.path.exists(path):
        raise FileNotFoundError(f"there are no {what} at {path!r}: give {expected}")
    if is_lmdb(path):
        source = LmdbSource(path, image_key=f"{keys[0]}-%09d")
        if not source.has_kind(keys[1]):
            raise ValueError(f"LMDB {path!r} has no {what}: no key like '{keys[1]}-000000001'")
        return PairedSource(path, source, LmdbSource(path, image_key=f"{keys[1]}-%09d"))
    lines = JsonlSource(path, data_root, fields[0]) if is_json_lines(path) else None
    if lines is not None and not lines.has_field(fields[1]):
        raise ValueError(f"annotation file {path!r} has no {what}: no line has a {fields[1]!r}")
    if lines := lines or open_labels_in(path, fields):
        return PairedSource(path, lines, JsonlSource(lines.path, lines.data_root, fields[1]))
    if is_textseg(path):
        raise ValueError(f"{path!r} {_TEXTSEG_ADVICE}")
    for names in folders:
        present = [name for name in names if os.path.isdir(os.path.join(path, name))]
        if len(present) == 1:
            raise ValueError(f"{path!r} has a folder {present[0]!r}, and not both of {names}")
        if present:
            first, second = (FolderSource(os.path.join(path, name)) for name in names)
            return PairedSource(path, first, second, _pair_by_stem(first, second))
    raise ValueError(f"{path!r} has no {what}: give {expected}")


def _pair_by_stem(first: FolderSource, second: FolderSource) -> list[int] | None:
    """Return the index of every image's partner; None if both have the same order."""
    indices, partners = _index_by_stem(first), _index_by_stem(second)
    for own, others, folder in ((indices, partners, second), (partners, indices, first)):
        if unpaired := sorted(own.keys() - others.keys()):
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
