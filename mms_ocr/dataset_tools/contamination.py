"""Training images that are also in a test set."""

from __future__ import annotations

import itertools
from collections.abc import Sequence
from dataclasses import dataclass, field
from functools import partial

import numpy as np

from mms_ocr.dataset_tools.fingerprints import Fingerprint, fingerprints
from mms_ocr.datasets.sources import ImageSource
from mms_ocr.utils.progress import Progress, silent

_HASH_BITS = 256
_BLOCK = 1024


#: Number of a source, and index in it.
Place = tuple[int, int]


@dataclass(frozen=True)
class Match:
    """Training image and the nearest test image."""

    train: Place  # number of the training source, and index in it
    test: Place  # the same of the test image
    kind: str  # of equality: 'file', 'pixels' in another file, or 'near', by perceptual hash
    distance: float  # share of the bits of the perceptual hash that differ, in [0, 1]


@dataclass
class Contamination:
    """Training images that match, in order, and what is wrong with images that were not read."""

    matches: list[Match] = field(default_factory=list)
    broken_train: list[str] = field(default_factory=list)
    broken_test: list[str] = field(default_factory=list)

    def clean_indices(self, place: int, length: int) -> np.ndarray:
        """Return the indices of a training source's images that match no test image, in order."""
        matched = [match.train[1] for match in self.matches if match.train[0] == place]
        return np.setdiff1d(np.arange(length), matched)


class FingerprintIndex:
    """Index of the test images' fingerprints."""

    def __init__(self) -> None:
        self.files: dict[int, Place] = {}
        self.pixels: dict[int, Place] = {}
        self._places: list[Place] = []
        self._phashes: list[np.ndarray] = []

    def add(self, place: Place, fingerprint: Fingerprint) -> None:
        """Add a test image; ``place`` is the number of its source, and its index in it."""
        self.files.setdefault(fingerprint.file, place)
        self.pixels.setdefault(fingerprint.pixels, place)
        if fingerprint.phash is not None:
            self._places.append(place)
            self._phashes.append(fingerprint.phash)

    def compare(self, train: int, block: Sequence[Fingerprint], max_distance: float) -> list[Match]:
        """Match images, about a thousand at a time, of the training source of a number.

        See :func:`find_contamination`; images without perceptual hash are compared exactly.
        """
        near = self._nearest(block)
        matches = []
        for image in block:
            place = (train, image.index)
            test, distance = near.get(image.index, ((0, 0), 1.0))
            if image.file in self.files:
                matches.append(Match(place, self.files[image.file], "file", 0.0))
            elif image.pixels in self.pixels:
                matches.append(Match(place, self.pixels[image.pixels], "pixels", 0.0))
            elif distance <= max_distance:
                matches.append(Match(place, test, "near", distance))
        return matches

    def _nearest(self, images: Sequence[Fingerprint]) -> dict[int, tuple[Place, float]]:
        """Find the nearest test image of each image, and the share of bits that differ."""
        phashes = {image.index: image.phash for image in images if image.phash is not None}
        if not phashes or not self._phashes:
            return {}
        # A product of signs is the number of equal bits minus that of unequal ones.
        products = _signs(list(phashes.values())) @ _signs(self._phashes).T
        shares = (1 - products / _HASH_BITS) / 2
        return {
            index: (self._places[number], float(share[number]))
            for index, share, number in zip(phashes, shares, shares.argmin(axis=1))
        }


def _signs(phashes: Sequence[np.ndarray]) -> np.ndarray:
    return np.stack(phashes).astype(np.float32) * 2 - 1


MAX_DISTANCE = 0.2  # by default, of near copies


def find_contamination(
    train: Sequence[ImageSource],
    test: Sequence[ImageSource],
    max_distance: float = MAX_DISTANCE,
    workers: int = 0,
    progress: Progress = silent,
) -> Contamination:
    """Find training images that are in a test set, exactly or nearly.

    Near duplicates have similar perceptual hashes (the library ImageHash; DCT, 256 bits): every
    training image is compared with every test image. Blank images are compared exactly only.
    ``max_distance`` is the share of the bits that may differ, in [0, 0.5); 0 asks for equal hashes.
    From about 0.25 on, different words in one typeface match. ``workers`` processes help to read.

    Raises:
        ValueError: ``max_distance`` is outside its range.
    """
    if not 0 <= max_distance < 0.5:
        raise ValueError(f"the distance is {max_distance}; give a number in [0, 0.5)")
    result = Contamination()
    index = FingerprintIndex()
    read = partial(fingerprints, phashes=True, workers=workers, progress=progress)
    for place, source in enumerate(test):
        for image in read(source, title=f"reading {source.path}"):
            if image.error is None:
                index.add((place, image.index), image)
            else:
                result.broken_test.append(image.error)
    for place, source in enumerate(train):
        images = read(source, title=f"comparing {source.path}")
        while block := list(itertools.islice(images, _BLOCK)):
            result.broken_train += [image.error for image in block if image.error is not None]
            good = [image for image in block if image.error is None]
            result.matches += index.compare(place, good, max_distance)
    return result
