"""Settings in state dicts, for what the names and shapes of weights do not show."""

from __future__ import annotations

from functools import partial
from typing import Any

from torch import nn


def store_settings(module: nn.Module, **settings: bool | int | list[int]) -> None:
    """Store settings in the state dicts of a module, and refuse those that hold other values.

    Two models may differ, say, in their number of heads, and their weights in nothing. Loading
    weights of other settings raises a ValueError that names the setting and both values.

    Args:
        module: A part of a model.
        **settings: Its settings.
    """
    # Hooks, since MMEngine collects and loads weights by itself and calls no method of the module.
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
        if stored != value:
            raise ValueError(
                f"{prefix or type(module).__name__}: the checkpoint was trained with {name}="
                f"{stored} and this model has {name}={value}; set {name}={stored}"
            )
