"""Learning rates that fall from layer to layer towards the input of an encoder."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from typing import Any

from mmengine.logging import print_log
from mmpretrain.engine.optimizers import LearningRateDecayOptimWrapperConstructor
from torch import nn

from mms_ocr.registry import OPTIM_WRAPPER_CONSTRUCTORS

_KEYS = {
    "bias_decay_mult", "custom_keys", "flat_decay_mult", "layer_decay_rate", "norm_decay_mult",
    "pretrained_only",
}  # fmt: skip
# What MMPretrain adds to a group for its own log.
_LOGGED = ("layer_id", "lr_scale", "param_name", "lr_mult", "decay_mult")

Depth = Callable[[str], tuple[int, int]]


@OPTIM_WRAPPER_CONSTRUCTORS.register_module()
class LayerDecayOptimWrapperConstructor(LearningRateDecayOptimWrapperConstructor):
    """MMPretrain's layer-wise learning rates, for any model whose ``backbone`` knows layer depths.

    MMPretrain's needs ``get_layer_depth`` of the whole model, which recognizers lack. This takes
    that of ``model.backbone``: the embedding is layer 0, the blocks follow, and the last norm and
    everything outside of the encoder are the last layer. It also applies ``lr_mult`` of
    ``custom_keys``, and puts parameters of equal settings into one group, which is faster.

    ``paramwise_cfg`` takes ``norm_decay_mult``, ``bias_decay_mult``, ``flat_decay_mult``,
    ``custom_keys``, and:

    - ``layer_decay_rate``: factor from a layer to the one before it; 1 (default) turns it off.
    - ``pretrained_only``: apply the factor only to encoders with a checkpoint in ``init_cfg``,
      since random first layers need the full rate. False by default. The log reports the choice.

    Raises:
        ValueError: A setting is unknown or out of range, or the model knows no layer depths.
    """

    def __init__(self, optim_wrapper_cfg: dict, paramwise_cfg: dict | None = None) -> None:
        settings = {"layer_decay_rate": 1.0, **(paramwise_cfg or {})}
        if unknown := settings.keys() - _KEYS:
            raise ValueError(
                f"optim_wrapper.paramwise_cfg has no {', '.join(sorted(unknown))}; it takes "
                f"{', '.join(sorted(_KEYS))}"
            )
        if not 0 < settings["layer_decay_rate"] <= 1:
            raise ValueError(
                f"layer_decay_rate must be in (0, 1], got {settings['layer_decay_rate']}; 1 turns "
                "it off"
            )
        super().__init__(optim_wrapper_cfg, settings)
        if self.base_lr is None:
            raise ValueError("optim_wrapper.optimizer has no lr; layer-wise learning rates need it")
        # MMPretrain's log fails without one.
        self.base_wd = self.optimizer_cfg.get("weight_decay") or 0.0

    def add_params(
        self,
        params: list[dict],
        module: nn.Module,
        prefix: str = "",
        get_layer_depth: Depth | None = None,
        **kwargs: Any,
    ) -> None:
        """Add the parameter groups of ``module`` to ``params``; see MMPretrain's constructor."""
        if get_layer_depth is None:
            get_layer_depth = self._layer_depths(module)
        super().add_params(params, module, prefix=prefix, get_layer_depth=get_layer_depth)
        if not prefix:
            total = sum(value.numel() for value in module.parameters())
            trainable = sum(v.numel() for v in module.parameters() if v.requires_grad)
            print_log(f"{trainable:,} of {total:,} parameters are trainable", logger="current")
            params[:] = self._merged(params)

    def _layer_depths(self, model: nn.Module) -> Depth:
        """Return the function that gives layer and number of layers of a parameter."""
        rate = self.paramwise_cfg["layer_decay_rate"]
        if rate == 1:
            return lambda name: (0, 1)
        backbone: Any = getattr(model, "backbone", model)
        if not hasattr(backbone, "get_layer_depth"):
            raise ValueError(
                f"layer_decay_rate={rate} needs an encoder with get_layer_depth, and "
                f"{type(backbone).__name__} has none; use mms_ocr.TextViT, or layer_decay_rate=1"
            )
        pretrained_only = self.paramwise_cfg.get("pretrained_only")
        if pretrained_only and not any(map(_has_checkpoint, (model, backbone))):
            print_log(
                "every layer trains at the full rate: the encoder starts from random weights "
                f"(layer_decay_rate={rate} is for pretrained ones)",
                logger="current",
            )
            return lambda name: (0, 1)
        print_log(
            f"layer-wise learning rates: {rate} of a layer's rate in the layer before it",
            logger="current",
        )
        prefix = "" if backbone is model else "backbone."
        return lambda name: backbone.get_layer_depth(name, prefix)

    def _merged(self, params: list[dict]) -> list[dict]:
        """Return one group for all parameters of equal settings, in the order of their first."""
        rules: Mapping[str, dict] = self.paramwise_cfg.get("custom_keys", {})
        order = sorted(sorted(rules), key=len, reverse=True)
        groups: dict[tuple, dict] = {}
        for group in params:
            rule = rules.get(next((key for key in order if key in group["param_name"]), ""), {})
            group["lr"] *= rule.get("lr_mult", 1.0)
            settings = {key: group[key] for key in group if key not in ("params", *_LOGGED)}
            if self.optimizer_cfg.get("weight_decay") is None:
                del settings["weight_decay"]  # the optimizer's default applies
            key = (repr(sorted(settings.items())), repr(rule))
            groups.setdefault(key, {"params": [], **settings})["params"] += group["params"]
        return list(groups.values())


def _has_checkpoint(module: nn.Module) -> bool:
    init_cfg = getattr(module, "init_cfg", None)
    configs = init_cfg if isinstance(init_cfg, (list, tuple)) else [init_cfg]
    return any("checkpoint" in config for config in configs if config)
