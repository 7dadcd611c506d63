"""Learning rates that fall from layer to layer towards the input of an encoder."""

from __future__ import annotations

import logging
from typing import Any

from mmengine.logging import print_log
from mmengine.optim import DefaultOptimWrapperConstructor
from torch import nn

from mms_ocr.registry import OPTIM_WRAPPER_CONSTRUCTORS

# What MMEngine's constructor asks its settings for; it overlooks all else in silence.
_KEYS = {
    "bias_decay_mult", "bias_lr_mult", "bypass_duplicate", "custom_keys", "dcn_offset_lr_mult",
    "dwconv_decay_mult", "flat_decay_mult", "norm_decay_mult",
}  # fmt: skip


def layer_scale(model: nn.Module, name: str, decay_rate: float) -> float:
    """What the learning rate of the parameter ``name`` of ``model`` is multiplied with.

    The encoder tells the depth of its parameters (``get_layer_depth``, as MMPretrain's Vision
    Transformers have it): its embedding is layer 0, its blocks follow, and its last norm is of the
    last layer, as is everything outside the encoder. One layer before the last there is one factor.

    Raises:
        ValueError: Neither ``model.backbone`` nor the model itself tells depths.
    """
    backbone: Any = getattr(model, "backbone", None)
    owner: Any = model
    if hasattr(backbone, "get_layer_depth"):
        layer, num_layers = backbone.get_layer_depth(name, "backbone.")
    elif hasattr(model, "get_layer_depth"):
        layer, num_layers = owner.get_layer_depth(name)
    else:
        kind = type(model if backbone is None else backbone).__name__
        raise ValueError(
            f"layer_decay_rate={decay_rate} needs an encoder that tells the depth of its layers "
            f"(get_layer_depth), and {kind} does not; use mms_ocr.TextViT, or layer_decay_rate=1"
        )
    return float(decay_rate ** (num_layers - 1 - layer))


@OPTIM_WRAPPER_CONSTRUCTORS.register_module()
class LayerDecayOptimWrapperConstructor(DefaultOptimWrapperConstructor):
    """Layer-wise learning rates for any model with a ``backbone`` that tells its layers' depth.

    MMPretrain's constructor asks the model for depths, which MMOCR's recognizers and many other
    models do not know. All else is MMEngine's: ``paramwise_cfg`` takes ``norm_decay_mult``,
    ``bias_decay_mult``, ``flat_decay_mult`` (all one-dimensional parameters), ``custom_keys`` and
    the rest, and multipliers of learning rates are multiplied with those of the layers. Frozen
    parameters are left out, and parameters that share all settings make one group, which optimizers
    work through faster than one group each.

    ``paramwise_cfg`` takes two keys more:

    - ``layer_decay_rate``: factor from a layer to the one before it; 1 (default) changes nothing.
    - ``pretrained_only``: whether the factor is for encoders with a checkpoint in ``init_cfg``
      only. Random first layers would hardly learn at such rates. False by default. A line in the
      log says which it was.
    """

    def __init__(self, optim_wrapper_cfg: dict, paramwise_cfg: dict | None = None) -> None:
        settings = dict(paramwise_cfg or {})
        self.layer_decay_rate = float(settings.pop("layer_decay_rate", 1.0))
        self.pretrained_only = bool(settings.pop("pretrained_only", False))
        unknown = settings.keys() - _KEYS
        if unknown:
            known = ", ".join(sorted(_KEYS | {"layer_decay_rate", "pretrained_only"}))
            raise ValueError(
                f"optim_wrapper.paramwise_cfg has no {', '.join(sorted(unknown))}; it takes {known}"
            )
        if not 0 < self.layer_decay_rate <= 1:
            raise ValueError(
                f"layer_decay_rate must lie in (0, 1], got {self.layer_decay_rate}; 1 turns it off"
            )
        super().__init__(optim_wrapper_cfg, settings)
        lr = self.optimizer_cfg.get("lr")
        if lr is None:
            raise ValueError("layer-wise learning rates need optimizer.lr in optim_wrapper")
        self.base_lr: float = lr
        # MMEngine takes an empty one for none, and then all parameters in one group, frozen or not.
        self.paramwise_cfg = settings or {"custom_keys": {}}

    def add_params(
        self, params: list[dict], module: nn.Module, prefix: str = "", **kwargs: Any
    ) -> None:
        """Add the parameter groups of ``module`` to ``params``; see MMEngine's constructor."""
        super().add_params(params, module, prefix=prefix, **kwargs)
        if prefix:
            return
        _tell_frozen(module)
        names = {id(value): name for name, value in module.named_parameters()}
        decay_rate = self._decay_rate(module)
        for group in params:
            if decay_rate != 1:
                scale = layer_scale(module, names[id(group["params"][0])], decay_rate)
                group["lr"] = group.get("lr", self.base_lr) * scale
        params[:] = _merged(params)

    def _decay_rate(self, model: nn.Module) -> float:
        if self.layer_decay_rate == 1:
            return 1.0
        backbone = getattr(model, "backbone", model)
        if self.pretrained_only and not any(map(_starts_from_checkpoint, (model, backbone))):
            print_log(
                "every layer learns at the full rate: the encoder starts from random weights "
                f"(layer_decay_rate={self.layer_decay_rate} is for pretrained ones)",
                logger="current",
                level=logging.INFO,
            )
            return 1.0
        first = min(
            layer_scale(model, name, self.layer_decay_rate) for name, _ in model.named_parameters()
        )
        print_log(
            f"layer-wise learning rates: from {first:.3g} of the full one in the first layer, "
            f"times {1 / self.layer_decay_rate:.3g} from layer to layer",
            logger="current",
            level=logging.INFO,
        )
        return self.layer_decay_rate


def _tell_frozen(model: nn.Module) -> None:
    sizes = {name: (value.numel(), value.requires_grad) for name, value in model.named_parameters()}
    learning = sum(size for size, learns in sizes.values() if learns)
    print_log(
        f"{learning:,} of {sum(size for size, _ in sizes.values()):,} parameters learn",
        logger="current",
        level=logging.INFO,
    )


def _starts_from_checkpoint(module: nn.Module) -> bool:
    config = getattr(module, "init_cfg", None)
    configs = config if isinstance(config, (list, tuple)) else [config]
    return any("checkpoint" in one for one in configs if one)


def _merged(groups: list[dict]) -> list[dict]:
    """One group of all parameters that share their settings, in the order of the first of each."""
    merged: dict[tuple, dict] = {}
    for group in groups:
        settings = {key: value for key, value in group.items() if key != "params"}
        key = tuple(sorted((name, repr(value)) for name, value in settings.items()))
        merged.setdefault(key, {"params": [], **settings})["params"] += group["params"]
    return list(merged.values())
