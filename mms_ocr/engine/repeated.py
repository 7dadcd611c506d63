"""The parts that a model is made of again and again."""

from __future__ import annotations

from collections.abc import Iterator

from torch import nn


def repeated_layers(model: nn.Module) -> Iterator[tuple[str, nn.Module]]:
    """The members of the model's module lists, with their names; not what lies inside of them."""
    inside: tuple[str, ...] = ()
    for name, module in model.named_modules():
        if isinstance(module, nn.ModuleList) and not name.startswith(inside or ("\0",)):
            for number, layer in enumerate(module):
                inside += (f"{name}.{number}.",)
                yield f"{name}.{number}", layer
