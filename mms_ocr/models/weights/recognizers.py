"""Recognizers in checkpoints: encoder and decoder, and the characters of the classes."""

from __future__ import annotations

from collections import OrderedDict
from collections.abc import Mapping, Sequence
from typing import Any, NamedTuple

import torch
from torch import Tensor, nn

from mms_ocr.models.weights.families import find_encoder
from mms_ocr.models.weights.loading import load_strictly
from mms_ocr.models.weights.naming import list_names

DIGITS_AND_LETTERS = "0123456789abcdefghijklmnopqrstuvwxyzABCDEFGHIJKLMNOPQRSTUVWXYZ"
# Tokens of the outputs of Union14M's MAERec, in order. Source: Mountchicken/Union14M,
# mmocr-dev-1.x/dicts/english_digits_symbols_space.txt (the space is its last line), and the tokens
# that the dictionary of configs/textrecog/maerec/_base_marec_vit_s.py adds, in the order of MMOCR.
MAEREC_CLASSES = (
    *DIGITS_AND_LETTERS,
    *"!\"#$%&'()*+,-./:;<=>?@[\\]_`~ ",
    "<BOS/EOS>",
    "<PAD>",
    "<UKN>",
)
# Parameters with a row for each class.
CLASS_ROWS = (
    "decoder.trg_word_emb.weight",
    "decoder.classifier.weight",
    "decoder.classifier.bias",
    "decoder.auxiliary.classifier.weight",
    "decoder.auxiliary.classifier.bias",
)


class RecognizerWeights(NamedTuple):
    """Recognizer of a state dict.

    Attributes:
        family: Family of the file.
        weights: All of its weights, with our names.
        classes: Token of each output; None if the file does not store them.
    """

    family: str
    weights: dict[str, Tensor]
    classes: tuple[str, ...] | None


def find_recognizer(
    state_dict: Mapping[str, Tensor], path: str, family: str | None = None
) -> RecognizerWeights:
    """Find the whole recognizer of a state dict; see :func:`find_encoder`.

    MAERec's decoder has the names of MMOCR's ``NRTRDecoder`` (Mountchicken/Union14M,
    mmocr-dev-1.x/mmocr/models/textrecog/decoders/maerec_decoder.py) and so those of our
    ``TextDecoder``; its encoder is renamed.

    Raises:
        ValueError: There is no encoder, or no decoder beside it.
    """
    encoder = find_encoder(state_dict, path, family)
    outer = encoder.prefix.removesuffix("backbone.")
    rest = {
        key.removeprefix(outer): state_dict[key]
        for key in state_dict
        if key.startswith(outer) and not key.startswith(encoder.prefix)
    }
    if encoder.prefix == outer or not any(key.startswith("decoder.") for key in rest):
        raise ValueError(
            f"{path} holds an encoder of family {encoder.family} and no recognizer: no key starts "
            f"with {outer}backbone. and {outer}decoder.; PretrainedTextViT takes the encoder"
        )
    weights = OrderedDict((f"backbone.{key}", value) for key, value in encoder.weights.items())
    weights.update(rest)
    metadata = {
        name.removeprefix(outer): value
        for name, value in getattr(state_dict, "_metadata", {}).items()
        if name.startswith(outer)
    }
    metadata["backbone"] = getattr(encoder.weights, "_metadata", {}).get("", {})
    classes = metadata.get("decoder", {}).get("classes")
    if encoder.family == "maerec":
        classes = MAEREC_CLASSES
    if classes is not None:
        metadata["decoder"] = {**metadata.get("decoder", {}), "classes": list(classes)}
    weights._metadata = metadata  # type: ignore[attr-defined]
    return RecognizerWeights(encoder.family, weights, tuple(classes) if classes else None)


def load_recognizer(module: nn.Module, recognizer: RecognizerWeights, path: str) -> None:
    """Load a whole recognizer, strictly.

    If the file stores its characters, they must be those of the decoder's dictionary; its rows are
    sorted in the order of the dictionary.

    Raises:
        ValueError: The characters are others, or a weight does not fit.
    """
    weights = recognizer.weights
    dictionary = getattr(getattr(module, "decoder", None), "dictionary", None)
    if dictionary is not None and recognizer.classes is not None:
        weights = _in_order(weights, recognizer.classes, dictionary.dict, path)
    load_strictly(module, weights, path)


def _in_order(
    weights: dict[str, Tensor], classes: Sequence[str], tokens: Sequence[str], path: str
) -> dict[str, Tensor]:
    """Sort the decoder's rows in the order of ``tokens``."""
    unknown = [repr(token) for token in tokens if token not in classes]
    unused = [repr(token) for token in classes if token not in tokens]
    if unknown or unused:
        parts = ((unknown, "unknown to the checkpoint"), (unused, "too few"))
        faults = [f"{len(part)} {what} ({list_names(part)})" for part, what in parts if part]
        raise ValueError(
            f"{path} was trained on other characters: the dictionary has {', and '.join(faults)}; "
            "give the decoder the dictionary of the checkpoint, or take the encoder alone "
            "(mms_ocr.PretrainedTextViT)"
        )
    order = torch.tensor([classes.index(token) for token in tokens])
    ordered: Any = OrderedDict(weights)
    metadata = getattr(weights, "_metadata", {})
    stored = {**metadata.get("decoder", {}), "classes": list(tokens)}
    ordered._metadata = {
        **metadata,
        "decoder": stored,
        "decoder.auxiliary": {**metadata.get("decoder.auxiliary", {}), "classes": list(tokens)},
    }
    for key in CLASS_ROWS:
        # Loading reports one that is missing or of another length.
        if key in ordered and len(ordered[key]) == len(order):
            ordered[key] = ordered[key][order]
    return ordered
