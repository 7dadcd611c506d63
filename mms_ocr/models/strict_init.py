"""Initialization in which nothing overwrites weights that ``init_cfg`` loads."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

from mmengine.model import BaseModule, PretrainedInit, initialize
from torch import nn

_MMENGINE_NAMES = ("Pretrained", "mmengine.Pretrained", PretrainedInit)


class StrictInitModule(BaseModule):
    """Module that loads the checkpoints of its ``init_cfg`` last, and strictly.

    MMEngine's ``Pretrained`` skips weights that are missing or do not fit;
    ``mms_ocr.PretrainedModel`` replaces it.
    """

    init_cfg: dict | Sequence[dict] | None

    def init_weights(self) -> None:
        """Initialize once, checkpoints last; FileNotFoundError without one, ValueError if unfit."""
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
        """Initialize what ``init_cfg`` does not; for subclasses."""


def use_strict_loading(model: nn.Module) -> None:
    """Make a model of another library load strictly where it contains a :class:`StrictInitModule`.

    The ``init_cfg`` of its modules is changed.
    """
    for module in model.modules():
        if not isinstance(module, BaseModule) or isinstance(module, StrictInitModule):
            continue
        if module.init_cfg and any(isinstance(part, StrictInitModule) for part in module.modules()):
            module.init_cfg = _sorted_configs(module.init_cfg)


def _sorted_configs(init_cfg: dict | Sequence[dict] | None) -> list[dict[str, Any]]:
    """Return the configs of an ``init_cfg``; those that load come last, and load strictly."""
    configs = [init_cfg] if isinstance(init_cfg, dict) else init_cfg or []
    configs = sorted(configs, key=lambda config: "checkpoint" in config)
    return [
        {**config, "type": "mms_ocr.PretrainedModel"}
        if config["type"] in _MMENGINE_NAMES
        else dict(config)
        for config in configs
    ]
