"""Whole recognizers: encoder and decoder, with the characters checked one by one."""

from __future__ import annotations

from collections import OrderedDict
from collections.abc import Mapping, Sequence
from typing import Any, NamedTuple

import torch
from torch import Tensor, nn

from mms_ocr.models.weights.families import find_encoder
from mms_ocr.models.weights.loading import load_strictly
from mms_ocr.models.weights.wording import listed

DIGITS_AND_LETTERS = "0123456789abcdefghijklmnopqrstuvwxyzABCDEFGHIJKLMNOPQRSTUVWXYZ"
# What each output of Union14M's MAERec stands for, in their order. Source: Mountchicken/Union14M,
# mmocr-dev-1.x/dicts/english_digits_symbols_space.txt (the space is its last line), and the tokens
# that the dictionary of configs/textrecog/maerec/_base_marec_vit_s.py adds, in the order of MMOCR.
MAEREC_CLASSES = (
    *DIGITS_AND_LETTERS,
    *"!\"#$%&'()*+,-./:;<=>?@[\\]_`~ ",
    "<BOS/EOS>",
    "<PAD>",
    "<UKN>",
)
# Parameters with one row for each class, as NRTRDecoder names them.
CLASS_ROWS = (
    "decoder.trg_word_emb.weight",
    "decoder.classifier.weight",
    "decoder.classifier.bias",
    "decoder.auxiliary.classifier.weight",
    "decoder.auxiliary.classifier.bias",
)


class FoundRecognizer(NamedTuple):
    """The recognizer of a state dict.

    Attributes:
        family: Of which family the file is.
        weights: All of its weights, with our names.
        classes: What each output stands for; None where the file does not tell.
    """

    family: str
    weights: dict[str, Tensor]
    classes: tuple[str, ...] | None


def find_recognizer(
    state_dict: Mapping[str, Tensor], path: str, family: str | None = None
) -> FoundRecognizer:
    """Find the whole recognizer of a state dict.

    A recognizer of MMOCR with our encoder keeps its names. MAERec's decoder has the names of
    MMOCR's ``NRTRDecoder`` (Mountchicken/Union14M,
    mmocr-dev-1.x/mmocr/models/textrecog/decoders/maerec_decoder.py) and so those of our
    ``TextDecoder``; its encoder is renamed.

    Args:
        state_dict: The weights.
        path: Where they are from, for the message of an error.
        family: As :func:`~mms_ocr.models.weights.find_encoder` takes it.

    Raises:
        ValueError: It holds no encoder, or no decoder beside it.
    """
    found = find_encoder(state_dict, path, family)
    outer = found.prefix.removesuffix("backbone.")
    rest = {
        key.removeprefix(outer): state_dict[key]
        for key in state_dict
        if key.startswith(outer) and not key.startswith(found.prefix)
    }
    if found.prefix == outer or not any(key.startswith("decoder.") for key in rest):
        raise ValueError(
            f"{path} holds an encoder of family {found.family} and no recognizer: no key starts "
            f"with {outer}backbone. and {outer}decoder.; PretrainedTextViT takes the encoder"
        )
    weights = OrderedDict((f"backbone.{key}", value) for key, value in found.weights.items())
    weights.update(rest)
    metadata = {
        name.removeprefix(outer): value
        for name, value in getattr(state_dict, "_metadata", {}).items()
        if name.startswith(outer)
    }
    metadata["backbone"] = getattr(found.weights, "_metadata", {}).get("", {})
    classes = metadata.get("decoder", {}).get("classes")
    if found.family == "maerec":
        classes = MAEREC_CLASSES
    if classes is not None:
        metadata["decoder"] = {**metadata.get("decoder", {}), "classes": list(classes)}
    weights._metadata = metadata  # type: ignore[attr-defined]
    return FoundRecognizer(found.family, weights, tuple(classes) if classes else None)


def load_recognizer(module: nn.Module, found: FoundRecognizer, path: str) -> None:
    """Load a whole recognizer, strictly.

    Where the file tells its characters, they must be those of the decoder's dictionary. In another
    order, the decoder's rows are put into the order of the dictionary.

    Args:
        module: A recognizer of MMOCR with a ``TextViT`` and a decoder.
        found: The weights.
        path: Where they are from, for the message of an error.

    Raises:
        ValueError: The characters are others, or a weight does not fit.
    """
    weights = found.weights
    dictionary = getattr(getattr(module, "decoder", None), "dictionary", None)
    if dictionary is not None and found.classes is not None:
        weights = _in_order(weights, found.classes, dictionary.dict, path)
    elif dictionary is not None:
        _check_count(weights, dictionary.dict, path)
    load_strictly(module, weights, path)


def _in_order(
    weights: dict[str, Tensor], classes: Sequence[str], wanted: Sequence[str], path: str
) -> dict[str, Tensor]:
    """Weights with the decoder's rows in the order of ``wanted``."""
    unknown = [repr(token) for token in wanted if token not in classes]
    unused = [repr(token) for token in classes if token not in wanted]
    if unknown or unused:
        parts = ((unknown, "that the checkpoint never learned"), (unused, "too few"))
        faults = [f"{len(tokens)} {what} ({listed(tokens)})" for tokens, what in parts if tokens]
        raise ValueError(
            f"{path} was trained on other characters: the dictionary has {', and '.join(faults)}; "
            "give the decoder the dictionary of the checkpoint, or take the encoder alone "
            "(mms_ocr.PretrainedTextViT)"
        )
    order = torch.tensor([classes.index(token) for token in wanted])
    ordered: Any = OrderedDict(weights)
    metadata = getattr(weights, "_metadata", {})
    stored = {**metadata.get("decoder", {}), "classes": list(wanted)}
    ordered._metadata = {
        **metadata,
        "decoder": stored,
        "decoder.auxiliary": {**metadata.get("decoder.auxiliary", {}), "classes": list(wanted)},
    }
    for key in CLASS_ROWS:
        # One that is missing or of another length is named when the weights are loaded.
        if key in ordered and len(ordered[key]) == len(order):
            ordered[key] = ordered[key][order]
    return ordered


def _check_count(weights: Mapping[str, Tensor], wanted: Sequence[str], path: str) -> None:
    for key in CLASS_ROWS:
        if key in weights and len(weights[key]) != len(wanted):
            raise ValueError(
                f"{path} does not fit the dictionary: {key} has {len(weights[key])} rows, and the "
                f"dictionary {len(wanted)} characters and tokens; give the decoder the dictionary "
                "that the checkpoint was trained with"
            )
