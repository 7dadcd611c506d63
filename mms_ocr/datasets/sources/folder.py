"""Images in a folder tree."""

from __future__ import annotations

import errno
import os
import stat
from collections.abc import Iterable

from mms_ocr.datasets.sources.base import (
    PUT_BACK,
    ImageSource,
    RawImage,
    SourceChangedError,
    open_descriptor,
)
from mms_ocr.utils.errors import BrokenImageError
from mms_ocr.utils.listing import list_files
from mms_ocr.utils.walking import IMAGE_SUFFIXES


class FolderSource(ImageSource):
    """All image files under a folder, at any depth, in sorted order; no labels.

    The tree is listed once, when the source is made; see :func:`list_files`.

    Args:
        path: The folder.

    Raises:
        FileNotFoundError: There is no such folder.
        OSError: A folder in it cannot be read.
        ValueError: No image file lies under it, or it is half a data set.
    """

    kind = "folder of images"

    def __init__(self, path: str) -> None:
        super().__init__(path)
        if not os.path.isdir(path):
            raise FileNotFoundError(f"there is no folder {path!r}")
        self._names = list_files(path)
        if not len(self._names):
            passed_over = self._names.describe_passed_over()
            raise ValueError(
                f"folder {path!r} holds no image files (looked at all depths for "
                f"{', '.join(IMAGE_SUFFIXES)}{'; passed over ' * bool(passed_over)}{passed_over})"
            )
        #: Annotation files of data sets further down; their labels are not read here.
        self.nested_labels = self._names.labels
        self._witnesses = Witnesses(path, map(self.name, Witnesses.places(len(self))))

    def __len__(self) -> int:
        return len(self._names)

    def name(self, index: int) -> str:
        """The path of the image file."""
        return os.path.join(self.path, self._names[index])

    def read(self, index: int, labelled: bool = False) -> RawImage:
        """See :meth:`ImageSource.read`; there never is a label."""
        name = self.name(index)
        return RawImage(read_image_file(name, self.path, self._witnesses), name, None)

    def check(self) -> None:
        """See :meth:`ImageSource.check`."""
        self._witnesses.check()

    def check_labels(self) -> None:
        """See :meth:`ImageSource.check_labels`."""
        raise ValueError(
            f"a folder of images has no labels ({self.path!r}): give JSON lines or an LMDB, or set "
            "labelled=False"
        )


class Witnesses:
    """A few image files of a folder that were there at the start: without any, all have vanished.

    So a folder that is moved away is reported at once, and not only when too many images are
    missing.

    Args:
        root: The folder.
        paths: Some of the image files in it; those that are missing from the start do not count.
    """

    def __init__(self, root: str, paths: Iterable[str]) -> None:
        self.root = root
        self.paths = [path for path in paths if os.path.isfile(path)]

    @staticmethod
    def places(length: int) -> list[int]:
        """Indices of four images of so many, from all over them."""
        return sorted({length * part // 4 for part in range(4)})

    def check(self) -> None:
        """Raise SourceChangedError if the folder, or what was known to be in it, is gone."""
        if not os.path.isdir(self.root):
            raise SourceChangedError(
                f"folder {self.root!r} vanished while it was in use; {PUT_BACK}"
            )
        if self.paths and not any(map(os.path.isfile, self.paths)):
            raise SourceChangedError(
                f"the images in {self.root!r} vanished while they were in use ({self.paths[0]!r} "
                f"is gone, as are all that were looked for); {PUT_BACK}"
            )


def read_image_file(path: str, root: str, witnesses: Witnesses | None = None) -> bytes:
    """The bytes of an image file.

    Args:
        path: The file.
        root: The folder that has to exist as long as the source is used.
        witnesses: Files of the source that tell whether it exists, beside the folder.

    Raises:
        BrokenImageError: The file is missing, empty or unreadable.
        SourceChangedError: ``root`` or the source is gone altogether.
    """
    try:
        descriptor = open_descriptor(path)
        try:
            mode = os.fstat(descriptor).st_mode
            if not stat.S_ISREG(mode):
                is_folder = stat.S_ISDIR(mode)
                raise OSError(errno.EINVAL, "a folder" if is_folder else "a pipe or a device")
            with open(descriptor, "rb", buffering=0, closefd=False) as file:
                data = file.read()
        finally:
            os.close(descriptor)
    except OSError as error:
        (witnesses or Witnesses(root, ())).check()
        raise BrokenImageError(f"{path}: {error.strerror}") from error
    if not data:
        raise BrokenImageError(f"{path}: the file is empty")
    return data
