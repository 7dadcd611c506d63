"""Settings in state dicts that names and shapes of weights do not show."""

from __future__ import annotations

from collections.abc import Sequence
from functools import partial
from typing import Any

from torch import nn

_CLASSES_HINT = (
    "give the decoder the dictionary of the checkpoint, load the recognizer by "
    "mms_ocr.PretrainedRecognizer if only the order differs, or its encoder alone by "
    "mms_ocr.PretrainedTextViT"
)


def store_settings(module: nn.Module, **settings: Any) -> None:
    """Store settings in the state dicts of a module, and check them when one is loaded.

    Models that differ in their number of heads, say, have weights of the same names and shapes.
    Loading weights of other settings raises a ValueError that names the setting and both values.

    Args:
        module: Part of a model.
        **settings: Values that JSON can hold; ``classes`` are the tokens of a decoder.
    """
    # Hooks, since MMEngine collects and loads weights itself and calls no method of the module.
    # No closures, so that models can be pickled.
    module._register_state_dict_hook(partial(_write, settings))
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
            raise ValueError(f"{part}dictionary: {_compare(stored, value)}; {_CLASSES_HINT}")
        raise ValueError(
            f"{part}: the checkpoint was trained with {name}={stored} and this model has "
            f"{name}={value}; set {name}={stored}"
        )


def _compare(stored: Sequence[str], value: Sequence[str]) -> str:
    if len(stored) != len(value):
        return (
            f"the checkpoint has {len(stored)} characters and tokens, the dictionary {len(value)}"
        )
    index = next(i for i, pair in enumerate(zip(stored, value)) if pair[0] != pair[1])
    return f"the checkpoint has {stored[index]!r} at index {index}, the dictionary {value[index]!r}"
