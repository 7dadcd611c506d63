"""Word images with masks beside them, from every layout of the field."""

from __future__ import annotations

import os
from collections.abc import Sequence

from mms_ocr.datasets.sources.base import ImageSource, RawImage
from mms_ocr.datasets.sources.folder import FolderSource
from mms_ocr.datasets.sources.jsonl import JsonlSource, open_labels_in
from mms_ocr.datasets.sources.layouts import is_json_lines, is_lmdb, is_textseg
from mms_ocr.datasets.sources.lmdb_source import LmdbSource
from mms_ocr.datasets.sources.pairing import pair_by_stem

_FOLDERS = (("image", "mask"), ("images", "masks"))


class MaskedSource(ImageSource):
    """Two sources, of images and of masks, and which mask belongs to which image.

    Read as a source it is the one of the images.

    Args:
        path: Where the pairs are, as the user named it.
        images: The images, with the labels where there are any.
        masks: The masks.
        order: For every image, the index of its mask; None where both come in the same order.

    Raises:
        ValueError: Without an order, they are not equally many.
    """

    kind = "images with masks"

    def __init__(
        self,
        path: str,
        images: ImageSource,
        masks: ImageSource,
        order: Sequence[int] | None = None,
    ) -> None:
        super().__init__(path)
        if order is None and len(images) != len(masks):
            raise ValueError(
                f"{path!r} has {len(images):,} images and {len(masks):,} masks; every image needs "
                "its mask"
            )
        self.images = images
        self.masks = masks
        self._order = order

    def __len__(self) -> int:
        return len(self.images)

    def name(self, index: int) -> str:
        """Where the image is stored."""
        return self.images.name(index)

    def read(self, index: int, labelled: bool = False) -> RawImage:
        """The image; see :meth:`ImageSource.read`."""
        return self.images.read(index, labelled)

    def read_mask(self, index: int) -> RawImage:
        """Its mask; see :meth:`ImageSource.read`."""
        return self.masks.read(index if self._order is None else self._order[index])

    def check_labels(self) -> None:
        """See :meth:`ImageSource.check_labels`."""
        self.images.check_labels()


def has_mask_folders(path: str) -> bool:
    """Whether a folder has ``image/`` and ``mask/`` in it, or ``images/`` and ``masks/``."""
    return any(all(os.path.isdir(os.path.join(path, name)) for name in pair) for pair in _FOLDERS)


def open_masked(path: str | os.PathLike[str], data_root: str | None = None) -> MaskedSource:
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


def _open_lines(images: JsonlSource) -> MaskedSource:
    if not images.has_field("mask"):
        raise ValueError(
            f"annotation file {images.path!r} names no masks: there is no 'mask' in its first line"
        )
    masks = JsonlSource(images.path, images.data_root, field="mask")
    return MaskedSource(images.path, images, masks)


def _open_lmdb(path: str) -> MaskedSource:
    images = LmdbSource(path)
    if not images.has("mask-000000001"):
        raise ValueError(f"LMDB {path!r} has no masks: there is no key 'mask-000000001'")
    return MaskedSource(path, images, LmdbSource(path, image_key="mask-%09d"))


def _open_folders(path: str, image_folder: str, mask_folder: str) -> MaskedSource:
    images = FolderSource(os.path.join(path, image_folder))
    masks = FolderSource(os.path.join(path, mask_folder))
    return MaskedSource(path, images, masks, pair_by_stem(images, masks))
