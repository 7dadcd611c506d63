"""Initializing models so that nothing overwrites what their ``init_cfg`` loads."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

from mmengine.model import BaseModule, PretrainedInit, initialize
from torch import nn

_MMENGINE_NAMES = ("Pretrained", "mmengine.Pretrained", PretrainedInit)


class StrictInitModule(BaseModule):
    """Module whose checkpoints are loaded last, and every weight of them.

    Checkpoints that ``init_cfg`` names are loaded after all other initialization. MMEngine's
    ``Pretrained`` becomes ``mms_ocr.PretrainedModel`` here: by itself it passes over weights that
    are missing or do not fit.
    """

    init_cfg: dict | Sequence[dict] | None

    def init_weights(self) -> None:
        """Initialize, once; what ``init_cfg`` loads is loaded last.

        Raises:
            FileNotFoundError: A checkpoint is missing.
            ValueError: A checkpoint does not fit.
        """
        if self.is_init:
            return
        init_cfg = self.init_cfg
        configs = _sorted_configs(init_cfg)
        self.init_cfg = [config for config in configs if "checkpoint" not in config]
        BaseModule.init_weights(self)
        self.init_own_weights()
        self.init_cfg = init_cfg
        initialize(self, [config for config in configs if "checkpoint" in config])

    def init_own_weights(self) -> None:
        """Initialize what ``init_cfg`` does not reach; for subclasses."""


def use_strict_loading(model: nn.Module) -> None:
    """Let the ``init_cfg`` of modules of other libraries load our modules in them strictly.

    Args:
        model: Such as a recognizer of MMOCR; the ``init_cfg`` of those of its modules that contain
            a :class:`StrictInitModule` is changed, where it names a checkpoint.
    """
    for module in model.modules():
        if not isinstance(module, BaseModule) or isinstance(module, StrictInitModule):
            continue
        if module.init_cfg and any(isinstance(part, StrictInitModule) for part in module.modules()):
            module.init_cfg = _sorted_configs(module.init_cfg)


def _sorted_configs(init_cfg: dict | Sequence[dict] | None) -> list[dict[str, Any]]:
    """The parts of an ``init_cfg``: those that load come last, and load strictly."""
    configs = [init_cfg] if isinstance(init_cfg, dict) else init_cfg or []
    configs = sorted(configs, key=lambda config: "checkpoint" in config)
    return [
        {**config, "type": "mms_ocr.PretrainedModel"}
        if config["type"] in _MMENGINE_NAMES
        else dict(config)
        for config in configs
    ]
