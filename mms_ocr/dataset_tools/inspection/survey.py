"""What is in a data set: sizes, shapes, labels, broken images and duplicates."""

from __future__ import annotations

from array import array
from collections import Counter
from dataclasses import dataclass, field

import numpy as np

from mms_ocr.dataset_tools.inspection.fingerprints import fingerprints
from mms_ocr.datasets.sources import ImageSource
from mms_ocr.utils.progress import Progress, silent

_KEPT_ERRORS = 5
_EXAMPLES = 36


@dataclass
class Survey:
    """What was found in a source.

    Attributes:
        path: The source.
        kind: What it is: a folder of images, an LMDB or JSON lines.
        count: Images in it.
        looked_at: Images that were read.
        broken: How many of them cannot be used.
        errors: What is wrong with the first of those.
        heights: Of the good ones, in pixels.
        widths: Of the good ones, in pixels.
        label_lengths: In characters; empty where there are no labels.
        characters: How often each character stands in the labels.
        duplicates: Good images that equal, pixel by pixel, one before them.
        examples: Indices of some good images.
    """

    path: str
    kind: str
    count: int
    looked_at: int = 0
    broken: int = 0
    errors: list[str] = field(default_factory=list)
    heights: np.ndarray = field(default_factory=lambda: np.zeros(0, np.int32))
    widths: np.ndarray = field(default_factory=lambda: np.zeros(0, np.int32))
    label_lengths: np.ndarray = field(default_factory=lambda: np.zeros(0, np.int32))
    characters: Counter[str] = field(default_factory=Counter)
    duplicates: int = 0
    examples: list[int] = field(default_factory=list)

    @property
    def aspect_ratios(self) -> np.ndarray:
        """Width by height of the good images."""
        return self.widths / self.heights


def survey_of(
    source: ImageSource,
    sample: int | None = None,
    workers: int = 0,
    progress: Progress = silent,
) -> Survey:
    """Read the images of a source and count what is there.

    Args:
        source: Where the images are.
        sample: Read only so many images, spread evenly over the source.
        workers: Processes that read beside this one.
        progress: Shows how far it is.
    """
    result = Survey(source.path, source.kind, len(source))
    indices = None
    if sample is not None and sample < len(source):
        indices = np.linspace(0, len(source) - 1, sample).astype(np.int64)
    # Arrays, as ten million images would take gigabytes in lists.
    heights, widths, lengths, good = array("i"), array("i"), array("i"), array("q")
    pixels = array("Q")
    title = f"reading {source.path}"
    for fingerprint in fingerprints(
        source, indices, _has_labels(source), workers=workers, title=title, progress=progress
    ):
        result.looked_at += 1
        if fingerprint.error is not None:
            result.broken += 1
            if len(result.errors) < _KEPT_ERRORS:
                result.errors.append(fingerprint.error)
            continue
        heights.append(fingerprint.shape[0])
        widths.append(fingerprint.shape[1])
        pixels.append(fingerprint.pixels)
        if fingerprint.text is not None:
            lengths.append(len(fingerprint.text))
            result.characters.update(fingerprint.text)
        good.append(fingerprint.index)
    result.heights, result.widths = np.array(heights), np.array(widths)
    result.label_lengths = np.array(lengths)
    result.duplicates = len(pixels) - len(np.unique(np.array(pixels)))
    spread = np.linspace(0, len(good) - 1, min(_EXAMPLES, len(good)))
    result.examples = [good[int(place)] for place in spread]
    return result


def _has_labels(source: ImageSource) -> bool:
    try:
        source.check_labels()
    except ValueError:
        return False
    return True
