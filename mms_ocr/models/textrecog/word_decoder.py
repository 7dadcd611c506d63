"""Base class of the text decoders: dictionary, labels, and predictions with confidences.

MMOCR would shorten or change labels that do not fit in silence.
"""

from __future__ import annotations

import copy
import itertools
from abc import abstractmethod
from collections.abc import Sequence
from typing import Any

from mmocr.models.textrecog.decoders import BaseDecoder
from mmocr.structures import TextRecogDataSample
from torch import Tensor

from mms_ocr.models.strict_init import StrictInitModule
from mms_ocr.utils.dictionaries import check_dictionaries

OptTensor = Tensor | None
OptSamples = Sequence[TextRecogDataSample] | None


def columns_needed(tokens: Sequence[int]) -> int:
    """Count the columns that spell a word: one a token, and a blank between equal ones."""
    return len(tokens) + sum(left == right for left, right in itertools.pairwise(tokens))


class WordDecoder(StrictInitModule, BaseDecoder):
    """Base class of decoders with MMOCR's losses and postprocessors.

    Raises:
        ValueError: The dictionary is missing or wrong.
    """

    def __init__(
        self, *, dictionary: Any, postprocessor: dict | None, word_confidence: bool, **kwargs: Any
    ) -> None:
        if dictionary is None:
            raise ValueError(
                f"{type(self).__name__} needs a dictionary, such as dict(type='mmocr.Dictionary')"
            )
        check_dictionaries(dictionary)
        # MMOCR's decoders change the configs that they get.
        configs = copy.deepcopy(dict(dictionary=dictionary, postprocessor=postprocessor))
        super().__init__(**configs, **kwargs)
        self.word_confidence = word_confidence

    @abstractmethod
    def word_confidences(self, probabilities: Tensor, data_samples: OptSamples) -> Tensor:
        """Compute the probabilities ``(N,)`` of the words that ``probabilities`` spell."""

    def character_confidences(
        self, probabilities: Tensor, data_samples: Sequence[TextRecogDataSample]
    ) -> list[list[float]]:
        """Return the confidences of the characters of every word, by default MMOCR's ``score``."""
        return [sample.pred_text.score for sample in data_samples]

    def checked_labels(self, data_samples: OptSamples) -> list[tuple[str, str]]:
        """Check the labels of a batch, and return them, in the letter case, with their sources.

        With an unknown token, characters outside the dictionary are trained as that.

        Raises:
            ValueError: A label is missing, empty, or has characters outside the dictionary.
        """
        if data_samples is None or self.module_loss is None:
            name = type(self).__name__
            raise ValueError(f"the loss of a {name} needs data_samples, and a module_loss")
        letter_case = self.module_loss.letter_case
        labels = []
        for sample in data_samples:
            source = sample.get("img_path", "an image without img_path")
            text = sample.gt_text.get("item") if "gt_text" in sample else None
            if not text:
                fault = "no label (gt_text.item)" if text is None else "the label is empty"
                raise ValueError(f"{source}: {fault}; give the image its text, or leave it out")
            if letter_case in ("upper", "lower"):
                text = getattr(text, letter_case)()
            outside = sorted(set(text) - set(self.dictionary.dict))
            if outside and self.dictionary.unknown_idx is None:
                characters = " ".join(f"{each!r} (U+{ord(each):04X})" for each in outside)
                raise ValueError(
                    f"{source}: the label {text!r} has characters outside the dictionary: "
                    f"{characters}; add them to its dict_file, set with_unknown=True, or leave the "
                    "image out"
                )
            labels.append((text, source))
        return labels

    def predict(
        self, feat: OptTensor = None, out_enc: OptTensor = None, data_samples: OptSamples = None
    ) -> Sequence[TextRecogDataSample]:
        """Read a batch: the data samples with ``pred_text``, its ``item`` and ``score``."""
        # Calling the module would use the labels in training mode.
        probabilities = self.forward_test(feat, out_enc, data_samples)
        samples: Sequence[TextRecogDataSample] = self.postprocessor(probabilities, data_samples)
        if self.word_confidence:
            confidences = self.word_confidences(probabilities, samples).tolist()
            characters = self.character_confidences(probabilities, samples)
            for sample, confidence, values in zip(samples, confidences, characters):
                sample.pred_text.confidence = confidence
                sample.pred_text.char_confidences = values
        return samples
