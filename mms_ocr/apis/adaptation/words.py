"""Sets of words of an adaptation: opening and reading them, and the words that are written."""

from __future__ import annotations

import hashlib
import itertools
import os
from collections import defaultdict
from collections.abc import Iterator, Sequence
from typing import Any, NamedTuple

import numpy as np

from mms_ocr.apis.adaptation.facts import SetFacts
from mms_ocr.dataset_tools.contamination import MAX_DISTANCE, FingerprintIndex
from mms_ocr.dataset_tools.fingerprints import Fingerprint, fingerprints
from mms_ocr.dataset_tools.records import Record, Records
from mms_ocr.datasets.sources import FolderSource, ImageSource, is_lmdb, open_source
from mms_ocr.datasets.transforms.skip_long_labels import count_columns
from mms_ocr.rendering.words import compose
from mms_ocr.utils.devices import usable_cores
from mms_ocr.utils.escaping import printable
from mms_ocr.utils.layouts import is_textseg
from mms_ocr.utils.progress import Progress

MAX_BROKEN = 0.05
_BLOCK = 1024  # images that are compared with the test images at a time
_MANY = 10_000  # images from which on processes read them
_MAX_WORKERS = 8
_KEPT_MESSAGES = 10


class Word(NamedTuple):
    """Word of a set, and its label without surrounding white space."""

    source: int  # number of its source
    image: Fingerprint


class WordSet:
    """Images of some sources, with labels if ``labelled``.

    Attributes:
        facts: Counts of the set.
        rows: What was left out of it, as JSON data.

    Raises:
        FileNotFoundError: A path does not exist.
        ValueError: No path is given, or a source is empty, malformed or without labels.
    """

    def __init__(self, name: str, paths: Sequence[str], labelled: bool) -> None:
        if not paths:
            raise ValueError(f"no {name} images are given; give a folder, an LMDB or JSON lines")
        self.name = name
        self.labelled = labelled
        self.sources = [open_source(path) if labelled else _open_crops(path) for path in paths]
        for source in self.sources if labelled else ():
            if not source.has_labels():
                raise ValueError(
                    f"{source.path} has no labels, and every {name} word needs one: give JSON "
                    'lines such as {"filename": "1.jpg", "text": "You"}, or an LMDB with labels'
                )
        self.facts = SetFacts(list(paths), sum(map(len, self.sources)))
        self.rows: list[dict[str, Any]] = []

    @property
    def path(self) -> str:
        """All paths, for messages."""
        return ", ".join(source.path for source in self.sources)

    def image_name(self, word: Word) -> str:
        """Return where the image of a word is stored."""
        return self.sources[word.source].name(word.image.index)

    def read(self, progress: Progress) -> Iterator[list[Word]]:
        """Yield the readable words in blocks of one source.

        Raises:
            ValueError: At the end: more than a twentieth of the images are broken.
        """
        first = None
        for number, source in enumerate(self.sources):
            many = len(source) >= _MANY
            images = fingerprints(
                source,
                labelled=self.labelled,
                phashes=True,
                workers=min(usable_cores(), _MAX_WORKERS) if many else 0,
                title=f"reading {source.path}",
                progress=progress,
            )
            while block := list(itertools.islice(images, _BLOCK)):
                words = []
                for image in block:
                    message = image.error or self._label_fault(source, image)
                    if message is None:
                        words.append(Word(number, image))
                        continue
                    first = first or message
                    self.facts.broken += 1
                    self.facts.broken_messages += [message][
                        : _KEPT_MESSAGES - self.facts.broken + 1
                    ]
                    self.rows.append({"set": self.name, "kind": "broken", "error": message})
                if words:
                    yield words
        if self.facts.broken > MAX_BROKEN * self.facts.given:
            raise ValueError(
                f"{self.facts.broken:,} of {self.facts.given:,} {self.name} images cannot be used "
                f"({self.path}), more than the accepted share of {MAX_BROKEN:g}; the first: {first}"
            )

    def _label_fault(self, source: ImageSource, image: Fingerprint) -> str | None:
        """Clean the label of an image, and return what is wrong with it."""
        if not self.labelled:
            return None
        image.text = compose((image.text or "").strip())
        if not image.text:
            return f"{source.name(image.index)}: the label is empty"
        if printable(image.text) != image.text:
            return f"{source.name(image.index)}: the label {image.text!r} has control characters"
        return None

    def without_repeats(self, words: Sequence[Word]) -> list[Word]:
        """Return words of different pixels, without those whose labels contradict each other."""
        copies: dict[int, list[Word]] = defaultdict(list)
        for word in words:
            copies[word.image.pixels].append(word)
        kept = []
        for same in copies.values():
            if len({word.image.text for word in same}) == 1:
                kept.append(same[0])
                self.facts.repeated += len(same) - 1
                continue
            self.facts.contradicting += len(same)
            for word in same:
                row = {"label": word.image.text, "pixels": f"{word.image.pixels:016x}"}
                self._leave_out(word, "contradicting", **row)
        return kept

    def without_test_images(
        self, words: Sequence[Word], index: FingerprintIndex, test: WordSet
    ) -> list[Word]:
        """Return the words that are not in a test set, and list the others."""
        kept = []
        for number, block in itertools.groupby(words, key=lambda word: word.source):
            while part := list(itertools.islice(block, _BLOCK)):
                images = [word.image for word in part]
                matches = {
                    match.train[1]: match for match in index.compare(number, images, MAX_DISTANCE)
                }
                for word in part:
                    match = matches.get(word.image.index)
                    if match is None:
                        kept.append(word)
                        continue
                    source, place = match.test
                    self._leave_out(
                        word,
                        match.kind,
                        test_image=test.sources[source].name(place),
                        distance=round(match.distance, 4),
                    )
        self.facts.left_out += len(words) - len(kept)
        return kept

    def without_long_labels(self, words: Sequence[Word], max_columns: int) -> list[Word]:
        """Return the words whose labels some columns can spell with CTC."""
        kept = []
        for word in words:
            if count_columns(word.image.text or "") <= max_columns:
                kept.append(word)
            else:
                self._leave_out(word, "too_long", label=word.image.text)
        self.facts.too_long += len(words) - len(kept)
        return kept

    def _leave_out(self, word: Word, kind: str, **row: Any) -> None:
        self.rows.append({"set": self.name, "image": self.image_name(word), "kind": kind, **row})


def _open_crops(path: str) -> ImageSource:
    """Open images; of a folder all are read, also where a file in it labels some."""
    is_folder = os.path.isdir(path) and not is_lmdb(path) and not is_textseg(path)
    return FolderSource(path) if is_folder else open_source(path)


class WordRecords(Records):
    """Chosen words of a set, whose images were decoded before."""

    kinds = ("image",)

    def __init__(self, words: WordSet, chosen: Sequence[Word]) -> None:
        self.path = words.path
        self.labelled = words.labelled
        self._sources = words.sources
        self._words = chosen

    def __len__(self) -> int:
        return len(self._words)

    def read(self, index: int) -> Record:
        """See :meth:`Records.read`."""
        word = self._words[index]
        raw = self._sources[word.source].read(word.image.index)
        return Record({"image": raw.data}, word.image.text)

    def describe(self) -> dict[str, object]:
        """See :meth:`Records.describe`."""
        digest = hashlib.sha256()
        for word in self._words:
            image = word.image
            digest.update(f"{word.source} {image.index} {image.file} {image.text!r}\n".encode())
        paths = [os.path.abspath(source.path) for source in self._sources]
        return dict(paths=paths, count=len(self), words=digest.hexdigest())


def median_height(words: Sequence[Word]) -> float:
    """Return the median height of images in pixels."""
    return float(np.median([word.image.shape[0] for word in words]))
