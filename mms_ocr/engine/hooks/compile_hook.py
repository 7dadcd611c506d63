"""Compiling the layers of a model."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

from mmengine.hooks import Hook
from mmengine.model import is_model_wrapper
from mmengine.runner import Runner
from torch import nn

from mms_ocr.registry import HOOKS


@HOOKS.register_module()
class CompileHook(Hook):
    """Compiles every repeated layer of the model by ``torch.compile``, in place.

    ``compile = True`` in a config, or a dict of options, adds it. MMEngine compiles a whole
    training step, which fails: a step draws masks and logs. Layers of one kind and size share
    compiled code, and weight names stay the same. The arguments are those of ``torch.compile``.
    """

    def __init__(self, **options: Any) -> None:
        self.options = options

    def before_train(self, runner: Runner) -> None:
        """Compile; the first iterations then take longer."""
        model = runner.model.module if is_model_wrapper(runner.model) else runner.model
        layers = list(repeated_layers(model))
        for layer in layers:
            layer.compile(**self.options)
        runner.logger.info(f"compiling {len(layers)} layers: the first iterations take longer")


def repeated_layers(model: nn.Module) -> Iterator[nn.Module]:
    """Yield the members of the model's module lists, but not of lists inside of members."""
    for child in model.children():
        if isinstance(child, nn.ModuleList):
            yield from child
        else:
            yield from repeated_layers(child)
