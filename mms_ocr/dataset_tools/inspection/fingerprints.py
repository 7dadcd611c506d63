"""What an image is, in a few bytes: its size, exact hashes, and one of its looks."""

from __future__ import annotations

import hashlib
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
_LOOK_SIZE = 16
_FLAT = 8  # gray levels: below this range an image is blank, and its looks are those of its noise


@dataclass
class Fingerprint:
    """What stands for an image of a source.

    Attributes:
        index: Place in its source.
        error: What is wrong with the image; the other fields are empty then.
        shape: Height and width.
        file: 64-bit hash of the bytes of the file.
        pixels: 64-bit hash of the size and the decoded pixels.
        look: Perceptual hash, bool ``(256,)``; None for blank images, and where not asked for.
        text: The label, where there is one.
    """

    index: int
    error: str | None = None
    shape: tuple[int, int] = (0, 0)
    file: int = 0
    pixels: int = 0
    look: np.ndarray | None = None
    text: str | None = None


def look_of(image: np.ndarray) -> np.ndarray | None:
    """Perceptual hash of an image: ``imagehash.phash`` with 16 x 16 frequencies.

    Args:
        image: uint8 BGR ``(H, W, 3)``.

    Returns:
        bool array ``(256,)``, or None for a blank image.
    """
    if int(image.max()) - int(image.min()) < _FLAT:
        return None
    rgb = Image.fromarray(np.ascontiguousarray(image[:, :, ::-1]))
    return imagehash.phash(rgb, hash_size=_LOOK_SIZE).hash.ravel()


def fingerprints(
    source: ImageSource,
    indices: Sequence[int] | np.ndarray | None = None,
    labelled: bool = False,
    looks: bool = False,
    workers: int = 0,
    title: str = "reading",
    progress: Progress = silent,
) -> Iterator[Fingerprint]:
    """Fingerprints of the images of a source, in order.

    Args:
        source: Where the images are.
        indices: Which of them; all by default.
        labelled: Whether to read the labels.
        looks: Whether to compute perceptual hashes, which takes most of the time.
        workers: Processes that do it beside this one.
        title: What the progress is called.
        progress: Shows how far it is.
    """
    chosen = range(len(source)) if indices is None else indices
    loader = DataLoader(
        _Fingerprints(source, chosen, labelled, looks), _BATCH, num_workers=workers, collate_fn=list
    )
    every = (fingerprint for batch in loader for fingerprint in batch)
    for _, fingerprint in zip(progress(range(len(chosen)), title, len(chosen)), every):
        yield fingerprint


class _Fingerprints(Dataset):
    def __init__(
        self, source: ImageSource, indices: Sequence[int] | np.ndarray, labelled: bool, looks: bool
    ) -> None:
        self.source, self.indices, self.labelled, self.looks = source, indices, labelled, looks

    def __len__(self) -> int:
        return len(self.indices)

    def __getitem__(self, place: int) -> Fingerprint:
        index = int(self.indices[place])
        try:
            raw = self.source.read(index, self.labelled)
        except BrokenImageError as error:
            return Fingerprint(index, str(error))
        try:
            image = decode_image(raw.data)
        except BrokenImageError as error:
            return Fingerprint(index, f"{raw.name}: {error}")
        return Fingerprint(
            index,
            shape=(image.shape[0], image.shape[1]),
            file=_hash(raw.data),
            pixels=_hash(repr(image.shape).encode() + image.tobytes()),
            look=look_of(image) if self.looks else None,
            text=raw.text,
        )


def _hash(data: bytes) -> int:
    return int.from_bytes(hashlib.blake2b(data, digest_size=8).digest(), "little")
