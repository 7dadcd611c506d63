"""The interface of image sources, folders of images, and the check for files that change."""

from __future__ import annotations

import os
from abc import ABC, abstractmethod
from typing import Any, NamedTuple

from mms_ocr.utils.decoding import read_image_file
from mms_ocr.utils.walking import IMAGE_SUFFIXES, list_files


class RawImage(NamedTuple):
    """Encoded image as it is stored."""

    data: bytes  # of the image file
    name: str  # path of the file, or path/of.lmdb:key
    text: str | None  # label; None if there is none or it was not requested
    char_boxes: Any = None  # boxes of the label's characters as the source stores them, unchecked


class ImageSource(ABC):
    """Encoded word images by index.

    A source keeps no list of its images as Python objects. It can be pickled: the copy opens the
    files again in its own process.

    Attributes:
        path: The file or folder as the user named it.
        kind: Name of this kind of source in reports.
    """

    kind: str

    def __init__(self, path: str) -> None:
        self.path = path

    @abstractmethod
    def __len__(self) -> int: ...

    @abstractmethod
    def read(self, index: int, labelled: bool = False) -> RawImage:
        """Read the encoded image at ``index`` in ``[0, len)``, with its label if ``labelled``.

        Raises:
            BrokenImageError: This image or its label is missing, empty or unreadable.
            OSError: The annotation file or LMDB changed since the source was opened.
        """

    @abstractmethod
    def name(self, index: int) -> str:
        """Return where the image at ``index`` is stored, without reading it."""

    @abstractmethod
    def check_labels(self) -> None:
        """Raise ValueError if no image has a label; this may read the whole annotation file."""

    def fields(self) -> set[str]:
        """Return the names, as in JSON lines, of all that is stored for images in one place."""
        return set()

    def has_labels(self) -> bool:
        """Return whether any image has a label; see :meth:`check_labels`."""
        try:
            self.check_labels()
        except ValueError:
            return False
        return True


class FolderSource(ImageSource):
    """All image files in a folder tree, in the order of :func:`list_files`; no labels.

    Raises:
        FileNotFoundError: The folder does not exist.
        OSError: A folder in it cannot be read.
        ValueError: It has no image files, or is part of a layout of images and masks.
    """

    kind = "folder of images"

    def __init__(self, path: str) -> None:
        super().__init__(path)
        if not os.path.isdir(path):
            raise FileNotFoundError(f"there is no folder {path!r}")
        #: Annotation files of data sets below this folder; their labels are not read.
        self._names, skipped, self.nested_labels = list_files(path)
        if not len(self._names):
            raise ValueError(
                f"folder {path!r} has no image files at any depth ({', '.join(IMAGE_SUFFIXES)}"
                f"{'; skipped ' * bool(skipped)}{skipped})"
            )

    def __len__(self) -> int:
        return len(self._names)

    def name(self, index: int) -> str:
        """Return the path of the image file."""
        return os.path.join(self.path, self._names[index])

    def read(self, index: int, labelled: bool = False) -> RawImage:
        """See :meth:`ImageSource.read`; there is never a label."""
        name = self.name(index)
        return RawImage(read_image_file(name), name, None)

    def check_labels(self) -> None:
        """See :meth:`ImageSource.check_labels`."""
        raise ValueError(
            f"folder {self.path!r} has no labels: give JSON lines or an LMDB, or set labelled=False"
        )


class PairedSource(ImageSource):
    """Two sources; as a source itself, the images of the first one.

    Args:
        path: The file or folder as the user named it.
        first: The images, with their labels.
        second: Their masks, or the same images in low resolution.
        order: For every image of the first, the index of its partner; None for the same order.

    Raises:
        ValueError: Without an order, the two differ in length.
    """

    kind = "pairs of images"

    def __init__(
        self, path: str, first: ImageSource, second: ImageSource, order: list[int] | None = None
    ) -> None:
        super().__init__(path)
        if order is None and len(first) != len(second):
            raise ValueError(
                f"{path!r} has {len(first):,} images and {len(second):,} masks or images of low "
                "resolution; every image needs one"
            )
        self.first, self.second = first, second
        self._order = order

    def __len__(self) -> int:
        return len(self.first)

    def name(self, index: int) -> str:
        """Return where the first image of a pair is stored."""
        return self.first.name(index)

    def read(self, index: int, labelled: bool = False) -> RawImage:
        """Read the first image of a pair; see :meth:`ImageSource.read`."""
        return self.first.read(index, labelled)

    def read_second(self, index: int) -> RawImage:
        """Read the second image of a pair; see :meth:`ImageSource.read`."""
        return self.second.read(index if self._order is None else self._order[index])

    def check_labels(self) -> None:
        """See :meth:`ImageSource.check_labels`."""
        self.first.check_labels()

    def fields(self) -> set[str]:
        """See :meth:`ImageSource.fields`."""
        return self.first.fields()


def file_state(file: str | int) -> tuple[int, int]:
    """Return size and modification time of a file, by path or descriptor."""
    status = os.stat(file)
    return status.st_size, status.st_mtime_ns


def check_unchanged(path: str, file: str | int, state: tuple[int, int]) -> None:
    """Raise OSError if a file had another :func:`file_state`: an index into it would be wrong."""
    now = file_state(file)
    if now != state:
        raise OSError(
            f"{path!r} changed while it was in use: it had {state[0]:,} bytes and has {now[0]:,}; "
            "restore it and run again, a training with --resume"
        )
