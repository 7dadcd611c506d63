"""Images in a folder tree."""

from __future__ import annotations

import os
from collections.abc import Iterator

from mms_ocr.datasets.sources.base import (
    BrokenImageError,
    ImageSource,
    RawImage,
    SourceChangedError,
)
from mms_ocr.datasets.sources.names import CompactNames

__all__ = ["IMAGE_SUFFIXES", "FolderSource", "read_image_file"]

#: File names that end so, in any case, are images.
IMAGE_SUFFIXES = (".jpg", ".jpeg", ".png", ".bmp", ".webp", ".tif", ".tiff", ".gif", ".ppm", ".pgm")


class FolderSource(ImageSource):
    """All image files under a folder, at any depth, in sorted order; no labels.

    The tree is listed once, when the source is made. Links to folders are not followed, so that a
    loop of links ends.

    Args:
        path: The folder.

    Raises:
        FileNotFoundError: There is no such folder.
        ValueError: No image file lies under it.
    """

    kind = "folder of images"

    def __init__(self, path: str) -> None:
        super().__init__(path)
        if not os.path.isdir(path):
            raise FileNotFoundError(f"there is no folder {path!r}")
        self._names = CompactNames(_walk(path, ""))
        if not len(self._names):
            raise ValueError(
                f"folder {path!r} holds no image files (looked at all depths for "
                f"{', '.join(IMAGE_SUFFIXES)})"
            )

    def __len__(self) -> int:
        return len(self._names)

    def name(self, index: int) -> str:
        """The path of the image file."""
        return os.path.join(self.path, self._names[index])

    def read(self, index: int, labelled: bool = False) -> RawImage:
        """See :meth:`ImageSource.read`; there never is a label."""
        name = self.name(index)
        return RawImage(read_image_file(name, self.path), name, None)

    def check_labels(self) -> None:
        """See :meth:`ImageSource.check_labels`."""
        raise ValueError(
            f"a folder of images has no labels ({self.path!r}): give JSON lines or an LMDB, or set "
            "labelled=False"
        )


def _walk(root: str, inside: str) -> Iterator[str]:
    files, folders = [], []
    with os.scandir(os.path.join(root, inside)) as entries:
        for entry in entries:
            if entry.name.lower().endswith(IMAGE_SUFFIXES):
                files.append(entry.name)
            elif entry.is_dir(follow_symlinks=False):
                folders.append(entry.name)
    files.sort()
    prefix = inside + os.sep if inside else ""
    for name in files:
        yield prefix + name
    for name in sorted(folders):
        yield from _walk(root, prefix + name)


def read_image_file(path: str, root: str) -> bytes:
    """The bytes of an image file.

    Args:
        path: The file.
        root: The folder that has to exist as long as the source is used.

    Raises:
        BrokenImageError: The file is missing, empty or unreadable.
        SourceChangedError: ``root`` is gone altogether.
    """
    try:
        with open(path, "rb") as file:
            data = file.read()
    except OSError as error:
        if not os.path.isdir(root):
            raise SourceChangedError(f"folder {root!r} vanished while it was in use") from error
        raise BrokenImageError(f"{path}: {error.strerror}") from error
    if not data:
        raise BrokenImageError(f"{path}: the file is empty")
    return data
