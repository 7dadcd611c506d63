"""Input images: files, folders, data sets, patterns, arrays, or lists of these."""

from __future__ import annotations

import glob
import os
import re
import unicodedata
from collections.abc import Callable, Iterable, Iterator
from itertools import count
from pathlib import Path
from typing import Any, NamedTuple

import numpy as np

from mms_ocr.datasets.sources import BrokenImageError, ImageSource, is_lmdb, open_source
from mms_ocr.utils.decoding import decode_image
from mms_ocr.utils.walking import IMAGE_SUFFIXES

Report = Callable[[str], Any]

# Not allowed in file names on Windows; spaces, for shells; and names of devices there.
_RESERVED = re.compile(r'[<>:"/\\|?*\x00- ]|[. ]+$|^(?:con|prn|aux|nul|com\d|lpt\d)(?=$|\.)', re.I)


class InputImage(NamedTuple):
    """Image, uint8 BGR ``(H, W, 3)``, and its name.

    The name is its path, with the key in an LMDB; or its number among the inputs: ``image 3``.
    """

    name: str
    image: np.ndarray


class BrokenImage(NamedTuple):
    """Input that cannot be used, why, and the type of the error that reports it."""

    name: str
    reason: str
    error: type[Exception] = BrokenImageError

    @property
    def line(self) -> str:
        """Name and reason, the name once."""
        # Not anywhere in the reason: a name may be a word of it, such as "image".
        is_named = re.search(rf"(^|'){re.escape(self.name)}[:,']", self.reason)
        return self.reason if is_named else f"{self.name}: {self.reason}"


def input_images(inputs: Any, report: Report | None = None) -> Iterator[InputImage]:
    """Read images one by one; see :func:`each_image` and :func:`report_broken`."""
    return report_broken(each_image(inputs), report)


def report_broken(items: Iterable[Any], report: Report | None = None) -> Iterator[Any]:
    """Yield the images or results that are not broken.

    ``report`` is called with a line for each broken one. Without it, the first raises
    FileNotFoundError if a path is missing, and ValueError otherwise.
    """
    for item in items:
        if not isinstance(item, BrokenImage):
            yield item
        elif report is None:
            raise item.error(item.line)
        else:
            report(item.line)


def each_image(inputs: Any) -> Iterator[InputImage | BrokenImage]:
    """Yield all images in order, the broken ones among them.

    Args:
        inputs: The path of an image, folder, LMDB or JSON-lines file (``.jsonl``); a pattern of
            files such as ``'crops/*.png'``; the bytes of an image file; an array, uint8 BGR
            ``(H, W, 3)`` or gray ``(H, W)``; or an iterable of these. Others raise TypeError.
    """
    single = (str, bytes, os.PathLike, np.ndarray)
    if isinstance(inputs, single) or not isinstance(inputs, Iterable):
        inputs = [inputs]
    for number, item in enumerate(inputs, start=1):
        if isinstance(item, np.ndarray):
            yield _check_array(item, f"image {number}")
        elif isinstance(item, bytes):
            yield decode_input(item, f"image {number}")
        elif isinstance(item, (str, os.PathLike)):
            yield from _read_path(os.fspath(item))
        else:
            kinds = "by its path, as the bytes of its file or as an array"
            raise TypeError(f"an image is given {kinds}, got a {type(item).__name__}")


def image_fields(item: InputImage) -> dict[str, Any]:
    """Make the fields that the transforms of a data set start from."""
    shape = item.image.shape[:2]
    names = dict(img_path=item.name, sample_idx=0)
    return dict(img=item.image, img_shape=shape, ori_shape=shape, **names)


def is_one_image(inputs: Any) -> bool:
    """Return whether the input is an array, bytes or the path of a file: a single image."""
    if isinstance(inputs, (str, os.PathLike)):
        path = os.fspath(inputs)
        return not (_is_data_set(path) or _is_pattern(path))
    return isinstance(inputs, (bytes, np.ndarray))


def check_inputs(paths: Iterable[str]) -> list[str]:
    """Check folders, data sets and patterns, and replace patterns by the files that they match.

    Raises:
        ValueError: A folder or data set is empty or malformed, or a pattern matches nothing.
    """
    files = []
    for path in paths:
        files += _matching(path) if _is_pattern(path) else [path]
        if os.path.exists(path) and _is_data_set(path):
            open_source(path)
    return files


def _is_data_set(path: str) -> bool:
    return os.path.isdir(path) or path.lower().endswith(".jsonl") or is_lmdb(path)


def _is_pattern(path: str) -> bool:
    return glob.has_magic(path) and not os.path.exists(path)


def _matching(pattern: str) -> list[str]:
    names = [name for name in glob.glob(pattern, recursive=True) if os.path.isfile(name)]
    if not names:
        raise ValueError(f"no file matches {pattern!r}")
    if "**" in pattern:  # loops of links end only when a path is too long
        unique = {os.path.realpath(name): name for name in sorted(names, key=len, reverse=True)}
        names = list(unique.values())
    return sorted(names)


def _read_path(path: str) -> Iterator[InputImage | BrokenImage]:
    try:
        names = _matching(path) if _is_pattern(path) else [path]
        source = open_source(path) if os.path.exists(path) and _is_data_set(path) else None
    except (OSError, ValueError) as error:
        yield BrokenImage(path, str(error))
        return
    if source is None:
        for name in names:
            yield _read_file(name)
        return
    for index in range(len(source)):
        try:
            raw = source.read(index)
        except BrokenImageError as error:
            yield BrokenImage(_name_of(source, index), str(error))
        else:
            yield decode_input(raw.data, raw.name)


def _read_file(path: str) -> InputImage | BrokenImage:
    try:
        data = Path(path).read_bytes()
    except FileNotFoundError:
        return BrokenImage(path, "there is no such file or folder", FileNotFoundError)
    except (OSError, ValueError) as error:  # ValueError: a null character in the name
        return BrokenImage(path, getattr(error, "strerror", None) or str(error))
    return decode_input(data, path)


def _name_of(source: ImageSource, index: int) -> str:
    try:
        return source.name(index)
    except BrokenImageError:
        return source.path  # a line without a file name


def decode_input(data: bytes, name: str) -> InputImage | BrokenImage:
    """Decode the bytes of an image file."""
    if not data:
        return BrokenImage(name, "the file is empty")
    try:
        return InputImage(name, decode_image(data))
    except BrokenImageError as error:
        return BrokenImage(name, str(error))


def _check_array(array: np.ndarray, name: str) -> InputImage | BrokenImage:
    is_gray = array.ndim == 2
    is_color = array.ndim == 3 and array.shape[2] == 3
    if array.dtype != np.uint8 or not array.size or not (is_gray or is_color):
        kinds = "uint8 (H, W, 3) in BGR or (H, W) in gray"
        reason = f"an array of {array.dtype} {array.shape} is not a word image: give {kinds}"
        return BrokenImage(name, reason)
    return InputImage(name, np.repeat(array[:, :, None], 3, axis=2) if is_gray else array)


def output_stem(name: str, taken: set[str], longest: int = 243) -> str:
    """Choose the name of an output file, without suffix, that is unique on any file system.

    Names that differ only by case or by the composition of accents count as equal. Characters that
    Windows does not allow become ``_``. The name is added to the earlier ones in ``taken``, and cut
    to ``longest`` bytes, so that a suffix fits into 255.
    """
    base = os.path.basename(name.rstrip("/\\"))
    root, suffix = os.path.splitext(base)
    stem = _RESERVED.sub("_", root if suffix.lower() in IMAGE_SUFFIXES else base)
    for number in count(1):
        end = f"_{number}" if number > 1 else ""
        while len(os.fsencode(stem + end)) > longest:
            stem = stem[:-1]
        key = unicodedata.normalize("NFC", (stem + end).casefold())
        if key not in taken:
            break
    taken.add(key)
    return stem + end
