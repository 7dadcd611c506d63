"""Training images that also stand in a test set."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, field
from functools import partial

import numpy as np

from mms_ocr.dataset_tools.inspection.fingerprints import Fingerprint, fingerprints
from mms_ocr.datasets.sources import ImageSource
from mms_ocr.utils.progress import Progress, silent

_LOOK_BITS = 256
_BLOCK = 1024


@dataclass(frozen=True)
class Match:
    """A training image and the test image that it equals or resembles.

    Attributes:
        train: Place of the training source among those given, and index in it.
        test: Place of the test source among those given, and index in it.
        kind: ``'file'``, the same bytes; ``'pixels'``, the same pixels in another file; or
            ``'near'``, a similar look.
        distance: Share of the bits of the perceptual hash that differ, in [0, 1]; 0 for the
            exact kinds.
    """

    train: tuple[int, int]
    test: tuple[int, int]
    kind: str
    distance: float


@dataclass
class Contamination:
    """What was found.

    Attributes:
        matches: One for each training image concerned, with the test image nearest to it; in the
            order of the training images.
        broken_train: Unreadable training images.
        broken_test: Unreadable test images, which nothing could be compared with.
    """

    matches: list[Match] = field(default_factory=list)
    broken_train: list[str] = field(default_factory=list)
    broken_test: list[str] = field(default_factory=list)

    def clean_indices(self, place: int, length: int) -> np.ndarray:
        """Indices of a training source's images that match no test image, in order."""
        found = [match.train[1] for match in self.matches if match.train[0] == place]
        return np.setdiff1d(np.arange(length), found)


class _TestImages:
    """The test images' fingerprints, to be searched."""

    def __init__(self) -> None:
        self.files: dict[int, tuple[int, int]] = {}
        self.pixels: dict[int, tuple[int, int]] = {}
        self.places: list[tuple[int, int]] = []
        self._looks: list[np.ndarray] = []
        self._matrix = np.zeros((0, _LOOK_BITS), np.float32)

    def add(self, place: tuple[int, int], fingerprint: Fingerprint) -> None:
        self.files.setdefault(fingerprint.file, place)
        self.pixels.setdefault(fingerprint.pixels, place)
        if fingerprint.look is not None:
            self.places.append(place)
            self._looks.append(fingerprint.look)

    def close(self) -> None:
        if self._looks:
            self._matrix = _signs(self._looks)

    def nearest(self, looks: Sequence[np.ndarray]) -> tuple[np.ndarray, np.ndarray]:
        """For each look the nearest test image, and the share of bits that differ."""
        if not self.places or not looks:
            return np.zeros(len(looks), int), np.ones(len(looks))
        # A product of signs counts equal bits less unequal ones.
        products = _signs(looks) @ self._matrix.T
        nearest = products.argmax(axis=1)
        return nearest, (1 - products[np.arange(len(looks)), nearest] / _LOOK_BITS) / 2


def find_contamination(
    train: Sequence[ImageSource],
    test: Sequence[ImageSource],
    max_distance: float = 0.2,
    workers: int = 0,
    progress: Progress = silent,
) -> Contamination:
    """Find training images that are in a test set, exactly or nearly.

    Nearly is told by the perceptual hash of the library ImageHash (DCT, 256 bits): every training
    image is compared with every test image. Blank images are compared exactly only. The test
    images' hashes are kept in memory, a kilobyte each; training images pass by.

    Args:
        train: Sources of training images.
        test: Sources of test images.
        max_distance: Share of the bits that may differ, in [0, 0.5). 0 finds images that look the
            same; from about 0.25 on, different words in one type match.
        workers: Processes that read beside this one.
        progress: Shows how far it is.

    Raises:
        ValueError: ``max_distance`` is outside its range.
    """
    if not 0 <= max_distance < 0.5:
        raise ValueError(f"a distance is in [0, 0.5), got {max_distance}")
    result = Contamination()
    known = _TestImages()
    read = partial(fingerprints, looks=True, workers=workers, progress=progress)
    for place, source in enumerate(test):
        for fingerprint in read(source, title=f"reading {source.path}"):
            if fingerprint.error is not None:
                result.broken_test.append(fingerprint.error)
            else:
                known.add((place, fingerprint.index), fingerprint)
    known.close()
    for place, source in enumerate(train):
        block: list[Fingerprint] = []
        for fingerprint in read(source, title=f"comparing {source.path}"):
            if fingerprint.error is not None:
                result.broken_train.append(fingerprint.error)
                continue
            block.append(fingerprint)
            if len(block) == _BLOCK:
                result.matches += _compare(place, block, known, max_distance)
                block = []
        result.matches += _compare(place, block, known, max_distance)
    return result


def _compare(
    place: int, block: list[Fingerprint], known: _TestImages, max_distance: float
) -> list[Match]:
    looks = {
        fingerprint.index: fingerprint.look for fingerprint in block if fingerprint.look is not None
    }
    nearest, distances = known.nearest(list(looks.values()))
    near = {
        index: (known.places[number], float(distance))
        for index, number, distance in zip(looks, nearest, distances)
        if distance <= max_distance
    }
    matches = []
    for fingerprint in block:
        train = (place, fingerprint.index)
        if fingerprint.file in known.files:
            matches.append(Match(train, known.files[fingerprint.file], "file", 0.0))
        elif fingerprint.pixels in known.pixels:
            matches.append(Match(train, known.pixels[fingerprint.pixels], "pixels", 0.0))
        elif fingerprint.index in near:
            test, distance = near[fingerprint.index]
            matches.append(Match(train, test, "near", distance))
    return matches


def _signs(looks: Sequence[np.ndarray]) -> np.ndarray:
    return np.stack(looks).astype(np.float32) * 2 - 1
