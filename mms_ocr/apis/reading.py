"""Text recognition of word images, with ``mms-ocr read``."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from typing import Any

from mms_ocr.apis.inference import WordInferencer
from mms_ocr.apis.input_images import BrokenImage, InputImage, Report, is_one_image
from mms_ocr.apis.tasks import RECOGNITION


@dataclass(frozen=True)
class Reading:
    """Text of a word image."""

    name: str  #: of the image
    text: str | None = None  #: None if the image cannot be used
    confidence: float | None = None  #: of the model, in [0, 1]; None if it has none
    error: str | None = None  #: why the image cannot be used
    # Of each character of the text, in [0, 1]: with a CTC head the highest probability of its
    # columns, else that of its step; None if the model has none.
    char_confidences: tuple[float, ...] | None = None


class WordReader(WordInferencer[Reading]):
    """Reads words with a recognizer: any of MMOCR's, those of ``configs/textrecog``, or in ONNX.

    ``WordReader()("word.png").text`` is the shortest way. No code in a checkpoint is run: weights
    are loaded strictly, and the config that MMEngine stores in it is not used. Checkpoints need
    MMOCR; models in ONNX do not.
    """

    task = RECOGNITION

    def __call__(self, images: Any, *, report: Report | None = None) -> Any:
        """Read images: a Reading for a single file, array or bytes, else a list of them."""
        readings = super().__call__(images, report=report)
        return readings[0] if readings and is_one_image(images) else readings

    def stream(self, images: Any) -> Iterator[Reading]:
        """Read images in order; a Reading of a broken one has an ``error``."""
        for _, result in self.process(images):
            is_broken = isinstance(result, BrokenImage)
            yield Reading(result.name, error=result.reason) if is_broken else result

    def predict(self, images: Sequence[InputImage]) -> list[Reading | BrokenImage]:
        """Read a batch."""
        results: list[Reading | BrokenImage] = []
        for item, word in zip(images, self.backend.predict(images)):
            if word is None:
                results.append(BrokenImage(item.name, "the pipeline of the config rejects it"))
            else:
                text, confidence, characters = word
                results.append(Reading(item.name, text, confidence, char_confidences=characters))
        return results
