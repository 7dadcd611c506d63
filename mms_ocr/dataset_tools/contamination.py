"""Training images that are also in a test set."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, field
from functools import partial

import numpy as np

from mms_ocr.dataset_tools.fingerprints import Fingerprint, fingerprints
from mms_ocr.datasets.sources import ImageSource
from mms_ocr.utils.progress import Progress, silent

_HASH_BITS = 256
_BLOCK = 1024


@dataclass(frozen=True)
class Match:
    """A training image and the test image that it equals or resembles.

    Attributes:
        train: Number of the training source, and index in it.
        test: Number of the test source, and index in it.
        kind: ``'file'``, the same bytes; ``'pixels'``, the same pixels in another file; or
            ``'near'``, a similar perceptual hash.
        distance: Share of the bits of the perceptual hash that differ, in [0, 1]; 0 for the
            exact kinds.
    """

    train: tuple[int, int]
    test: tuple[int, int]
    kind: str
    distance: float


@dataclass
class Contamination:
    """Result of :func:`find_contamination`.

    Attributes:
        matches: One for each training image that matches, with the nearest test image; in the
            order of the training images.
        broken_train: What is wrong with unreadable training images.
        broken_test: What is wrong with unreadable test images, which were not compared.
    """

    matches: list[Match] = field(default_factory=list)
    broken_train: list[str] = field(default_factory=list)
    broken_test: list[str] = field(default_factory=list)

    def clean_indices(self, place: int, length: int) -> np.ndarray:
        """Return the indices of a training source's images that match no test image, in order."""
        matched = [match.train[1] for match in self.matches if match.train[0] == place]
        return np.setdiff1d(np.arange(length), matched)


class _TestImages:
    """Index of the test images' fingerprints."""

    def __init__(self) -> None:
        self.files: dict[int, tuple[int, int]] = {}
        self.pixels: dict[int, tuple[int, int]] = {}
        self.places: list[tuple[int, int]] = []
        self._phashes: list[np.ndarray] = []
        self._matrix = np.zeros((0, _HASH_BITS), np.float32)

    def add(self, place: tuple[int, int], fingerprint: Fingerprint) -> None:
        self.files.setdefault(fingerprint.file, place)
        self.pixels.setdefault(fingerprint.pixels, place)
        if fingerprint.phash is not None:
            self.places.append(place)
            self._phashes.append(fingerprint.phash)

    def close(self) -> None:
        if self._phashes:
            self._matrix = _signs(self._phashes)

    def nearest(self, phashes: Sequence[np.ndarray]) -> tuple[np.ndarray, np.ndarray]:
        """Find the nearest test image of each hash, and the share of bits that differ."""
        if not self.places or not phashes:
            return np.zeros(len(phashes), int), np.ones(len(phashes))
        # A product of signs is the number of equal bits minus that of unequal ones.
        products = _signs(phashes) @ self._matrix.T
        nearest = products.argmax(axis=1)
        return nearest, (1 - products[np.arange(len(phashes)), nearest] / _HASH_BITS) / 2


def find_contamination(
    train: Sequence[ImageSource],
    test: Sequence[ImageSource],
    max_distance: float = 0.2,
    workers: int = 0,
    progress: Progress = silent,
) -> Contamination:
    """Find training images that are in a test set, exactly or nearly.

    Near duplicates have similar perceptual hashes (the library ImageHash; DCT, 256 bits): every
    training image is compared with every test image. Blank images are compared exactly only. The
    hashes of the test images are in memory, a kilobyte each.

    Args:
        train: Sources of training images.
        test: Sources of test images.
        max_distance: Share of the bits that may differ, in [0, 0.5); 0 asks for equal hashes. From
            about 0.25 on, different words in one typeface match.
        workers: Number of processes that read beside this one.
        progress: Shows the progress.

    Raises:
        ValueError: ``max_distance`` is outside its range.
    """
    if not 0 <= max_distance < 0.5:
        raise ValueError(f"the distance is {max_distance}; give a number in [0, 0.5)")
    result = Contamination()
    index = _TestImages()
    read = partial(fingerprints, phashes=True, workers=workers, progress=progress)
    for place, source in enumerate(test):
        for fingerprint in read(source, title=f"reading {source.path}"):
            if fingerprint.error is not None:
                result.broken_test.append(fingerprint.error)
            else:
                index.add((place, fingerprint.index), fingerprint)
    index.close()
    for place, source in enumerate(train):
        block: list[Fingerprint] = []
        for fingerprint in read(source, title=f"comparing {source.path}"):
            if fingerprint.error is not None:
                result.broken_train.append(fingerprint.error)
                continue
            block.append(fingerprint)
            if len(block) == _BLOCK:
                result.matches += _compare(place, block, index, max_distance)
                block = []
        result.matches += _compare(place, block, index, max_distance)
    return result


def _compare(
    place: int, block: list[Fingerprint], index: _TestImages, max_distance: float
) -> list[Match]:
    phashes = {image.index: image.phash for image in block if image.phash is not None}
    nearest, distances = index.nearest(list(phashes.values()))
    near = {
        train: (index.places[number], float(distance))
        for train, number, distance in zip(phashes, nearest, distances)
        if distance <= max_distance
    }
    matches = []
    for fingerprint in block:
        train = (place, fingerprint.index)
        if fingerprint.file in index.files:
            matches.append(Match(train, index.files[fingerprint.file], "file", 0.0))
        elif fingerprint.pixels in index.pixels:
            matches.append(Match(train, index.pixels[fingerprint.pixels], "pixels", 0.0))
        elif fingerprint.index in near:
            test, distance = near[fingerprint.index]
            matches.append(Match(train, test, "near", distance))
    return matches


def _signs(phashes: Sequence[np.ndarray]) -> np.ndarray:
    return np.stack(phashes).astype(np.float32) * 2 - 1
