"""Settings in state dicts that names and shapes of weights do not show."""

from __future__ import annotations

from functools import partial
from itertools import zip_longest
from typing import Any

from torch import nn

_CLASSES_HINT = (
    "give the decoder the dictionary of the checkpoint, load the recognizer by "
    "mms_ocr.PretrainedRecognizer if only the order differs, or its encoder alone by "
    "mms_ocr.PretrainedTextViT"
)


def store_settings(module: nn.Module, checked: bool = True, **settings: Any) -> None:
    """Store settings in the metadata of a module's state dicts, and check them when one is loaded.

    Models that differ in their number of heads, say, have weights of the same names and shapes.
    Loading weights of other settings raises a ValueError that names the setting and both values;
    ``checked=False`` only stores them. JSON can hold all; ``classes`` are the tokens of a decoder.
    """
    # Hooks, since MMEngine collects and loads weights itself and calls no method of the module.
    # No closures, so that models can be pickled.
    module._register_state_dict_hook(partial(_write, settings))
    if checked:
        module.register_load_state_dict_pre_hook(partial(_check, settings))


def _write(settings: dict, module: nn.Module, weights: Any, prefix: str, metadata: dict) -> None:
    metadata.update(settings)


def _check(
    settings: dict, module: nn.Module, weights: Any, prefix: str, metadata: dict, *_: Any
) -> None:
    for name, value in settings.items():
        stored = metadata.get(name, value)
        if stored == value:
            continue
        part = prefix or type(module).__name__
        if name == "classes":
            pairs = enumerate(zip_longest(stored, value))
            index, (theirs, ours) = next(pair for pair in pairs if pair[1][0] != pair[1][1])
            raise ValueError(
                f"{part}dictionary: the checkpoint has {theirs!r} at index {index}, the dictionary "
                f"{ours!r} ({len(stored)} and {len(value)} characters and tokens); {_CLASSES_HINT}"
            )
        raise ValueError(
            f"{part}: the checkpoint was trained with {name}={stored} and this model has "
            f"{name}={value}; set {name}={stored}"
        )
