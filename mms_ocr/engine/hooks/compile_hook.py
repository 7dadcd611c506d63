"""Compiling the layers of a model."""

from __future__ import annotations

from typing import Any

from mmengine.hooks import Hook
from mmengine.model import is_model_wrapper
from mmengine.runner import Runner

from mms_ocr.engine.repeated import repeated_layers
from mms_ocr.registry import HOOKS


@HOOKS.register_module()
class CompileHook(Hook):
    """Compiles every repeated layer of the model by ``torch.compile``, in place.

    ``compile = True`` in a config, or a dict of options, puts it in. MMEngine would compile a whole
    training step, which draws masks, counts and logs: torch cannot. Layers of one kind and size
    share what was compiled, so that it takes as long as for one; names of weights stay the same.

    Args:
        **options: Of ``torch.compile``: ``backend``, ``mode``, ``dynamic``, ….
    """

    def __init__(self, **options: Any) -> None:
        self.options = options

    def before_train(self, runner: Runner) -> None:
        """Compile; the first iterations then take longer."""
        model = runner.model.module if is_model_wrapper(runner.model) else runner.model
        layers = [layer for _, layer in repeated_layers(model)]
        for layer in layers:
            layer.compile(**self.options)
        runner.logger.info(f"compiling {len(layers)} layers: the first iterations take longer")
