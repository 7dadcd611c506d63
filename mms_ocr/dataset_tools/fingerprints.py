"""Fingerprints of images: size, exact hashes, and a perceptual hash."""

from __future__ import annotations

import hashlib
import itertools
from collections.abc import Iterator, Sequence
from dataclasses import dataclass

import imagehash
import numpy as np
from PIL import Image
from torch.utils.data import DataLoader, Dataset

from mms_ocr.datasets.sources import BrokenImageError, ImageSource
from mms_ocr.utils.decoding import decode_image
from mms_ocr.utils.progress import Progress, silent

_BATCH = 64
_HASH_SIZE = 16
_FLAT = 8  # gray levels; in a smaller range an image is blank, and its hash that of its noise


@dataclass(slots=True)
class Fingerprint:
    """Fingerprint of an image of a source."""

    index: int
    error: str | None = None  # what is wrong with the image; the other fields are empty then
    shape: tuple[int, int] = (0, 0)  # height and width
    file: int = 0  # 64-bit hash of the bytes of the file
    pixels: int = 0  # 64-bit hash of the size and the decoded pixels
    phash: np.ndarray | None = None  # see perceptual_hash; None if not asked for
    text: str | None = None
    size: int = 0  # bytes of the file


def perceptual_hash(image: np.ndarray) -> np.ndarray | None:
    """Compute ``imagehash.phash`` with 16 x 16 frequencies of an image, uint8 BGR ``(H, W, 3)``.

    Returns bool ``(256,)``, or None for a blank image.
    """
    if int(image.max()) - int(image.min()) < _FLAT:
        return None
    rgb = Image.fromarray(np.ascontiguousarray(image[:, :, ::-1]))
    return imagehash.phash(rgb, hash_size=_HASH_SIZE).hash.ravel()


def fingerprints(
    source: ImageSource,
    indices: Sequence[int] | np.ndarray | None = None,
    labelled: bool = False,
    phashes: bool = False,
    workers: int = 0,
    title: str = "reading",
    progress: Progress = silent,
) -> Iterator[Fingerprint]:
    """Yield the fingerprints of the images of a source, or of those with some indices, in order.

    Labels and perceptual hashes, which take most of the time, are read where asked for.
    """
    chosen = range(len(source)) if indices is None else [int(index) for index in indices]
    dataset = _Fingerprints(source, labelled, phashes)
    loader = DataLoader(dataset, _BATCH, sampler=chosen, num_workers=workers, collate_fn=list)
    images = itertools.chain.from_iterable(loader)
    for _, image in zip(progress(range(len(chosen)), title, len(chosen)), images):
        yield image


class _Fingerprints(Dataset):
    def __init__(self, source: ImageSource, labelled: bool, phashes: bool) -> None:
        self.source, self.labelled, self.phashes = source, labelled, phashes

    def __getitem__(self, index: int) -> Fingerprint:
        name = ""
        try:
            raw = self.source.read(index, self.labelled)
            name = f"{raw.name}: "
            image = decode_image(raw.data)
        except BrokenImageError as error:
            return Fingerprint(index, f"{name}{error}")
        return Fingerprint(
            index,
            shape=(image.shape[0], image.shape[1]),
            file=_hash(raw.data),
            pixels=_hash(repr(image.shape).encode() + image.tobytes()),
            phash=perceptual_hash(image) if self.phashes else None,
            text=raw.text,
            size=len(raw.data),
        )


def _hash(data: bytes) -> int:
    return int.from_bytes(hashlib.blake2b(data, digest_size=8).digest(), "little")
