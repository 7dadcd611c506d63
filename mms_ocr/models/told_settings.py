"""State dicts that tell what the names and shapes of weights do not show."""

from __future__ import annotations

import functools
from typing import Any

from torch import Tensor, nn

__all__ = ["tell_settings"]


def tell_settings(module: nn.Module, **settings: bool | int) -> None:
    """Let the state dicts of a module tell settings, and refuse those that tell others.

    Two models may differ, say, in their number of heads, and their weights in nothing.

    Args:
        module: A part of a model.
        **settings: Its settings.
    """
    # Hooks, since MMEngine collects and loads weights by itself and calls no method of the module.
    module._register_state_dict_hook(functools.partial(_write, settings=settings))
    module.register_load_state_dict_pre_hook(functools.partial(_check, settings=settings))


def _write(
    module: nn.Module,
    state_dict: dict[str, Tensor],
    prefix: str,
    local_metadata: dict[str, Any],
    settings: dict[str, bool | int],
) -> None:
    local_metadata.update(settings)


def _check(
    module: nn.Module,
    state_dict: dict[str, Tensor],
    prefix: str,
    local_metadata: dict[str, Any],
    *args: Any,
    settings: dict[str, bool | int],
) -> None:
    """Refuse weights of other settings.

    Raises:
        ValueError: The state dict tells another value.
    """
    for name, value in settings.items():
        told = local_metadata.get(name, value)
        if told != value:
            raise ValueError(
                f"{prefix or type(module).__name__}: the checkpoint was trained with {name}={told} "
                f"and this model has {name}={value}; set {name}={told}"
            )
