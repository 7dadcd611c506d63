"""Weights, gradients and optimizer states parted among processes (FSDP; arXiv 2304.11277)."""

from __future__ import annotations

import warnings
from collections.abc import Iterable, Sequence
from typing import Any

import torch
from mmengine import dist
from mmengine._strategy import FSDPStrategy
from mmengine.config import Config
from mmengine.device import get_device
from mmengine.optim import BaseOptimWrapper, OptimWrapper, build_optim_wrapper
from mmengine.runner import FlexibleRunner
from torch import Tensor, nn
from torch.distributed.fsdp import FullyShardedDataParallel
from torch.distributed.fsdp.sharded_grad_scaler import ShardedGradScaler
from torch.distributed.fsdp.wrap import lambda_auto_wrap_policy

from mms_ocr.engine.recomputing import recompute
from mms_ocr.engine.repeated import repeated_layers
from mms_ocr.engine.runners import ConfigKeepingFlexibleRunner
from mms_ocr.models.strict_init import use_strict_loading
from mms_ocr.registry import STRATEGIES, type_name

_NAME = "FullyShardedStrategy"


@STRATEGIES.register_module()
class FullyShardedStrategy(FSDPStrategy):
    """MMEngine's FSDPStrategy, with checkpoints that are those of a plain run.

    Each process keeps a part of every layer, and gets the rest of a layer while it computes it.
    The first process writes whole weights and whole states of the optimizer, under the names and
    numbers of the plain model: any other run, and any number of processes, goes on from them.

    MMEngine's own cannot resume under torch 2.1 and later, whose
    ``FSDP.optim_state_dict_to_load`` takes its arguments in another order; groups parameters after
    they were flattened, which takes all of them for biases; clips each process's part by the norm
    of that part; and writes freed memory where there is no GPU (``offload_to_cpu``).

    Args:
        model_wrapper: Further arguments of MMEngine's ``MMFullyShardedDataParallel``, such as
            ``sharding_strategy="SHARD_GRAD_OP"``. Parted are the repeated layers of the model.
        activation_checkpointing: Names of modules of which only inputs are kept for the backward
            pass.
        **kwargs: Arguments of MMEngine's strategies.

    Raises:
        ValueError: There is only one process.
    """

    def __init__(
        self,
        *,
        model_wrapper: dict | None = None,
        activation_checkpointing: Sequence[str] | str = (),
        **kwargs: Any,
    ) -> None:
        on_gpu = torch.cuda.is_available()
        whole = {"rank0_only": True, "offload_to_cpu": on_gpu}
        state_dict_cfg = {
            "state_dict_type": "FULL_STATE_DICT",
            "state_dict_config": {"type": "FullStateDictConfig", **whole},
            "optim_state_dict_config": {"type": "FullOptimStateDictConfig", **whole},
        }
        super().__init__(model_wrapper=model_wrapper, state_dict_cfg=state_dict_cfg, **kwargs)
        if not dist.is_distributed():
            raise ValueError(
                "mms_ocr.FullyShardedStrategy parts the model among processes, and this is the "
                "only one; start it with tools/dist_train.sh, or leave strategy out"
            )
        self.model_wrapper: dict | None = model_wrapper
        self._checkpointed = activation_checkpointing
        self._optimizer: Any = None
        self._names: list[str] = []
        self.weights: dict[str, Tensor] = {}

    def prepare(self, model: Any, *, optim_wrapper: Any = None, **kwargs: Any) -> Any:
        """Build and part everything."""
        self._optimizer = optim_wrapper
        return super().prepare(model, optim_wrapper=optim_wrapper, **kwargs)

    def _init_model_weights(self, model: nn.Module) -> nn.Module:
        use_strict_loading(model)
        return super()._init_model_weights(model)

    def _wrap_model(self, model: nn.Module) -> nn.Module:
        # Parted, parameters have one dimension and other names, by which they could be taken for
        # others: the optimizer gets its groups before.
        self.weights = {
            name: torch.empty_like(value, device="meta")
            for name, value in model.state_dict().items()
        }
        if isinstance(self._optimizer, dict):
            self._optimizer = build_optim_wrapper(model, self._optimizer)
            names = {id(value): name for name, value in model.named_parameters()}
            groups = self._optimizer.optimizer.param_groups
            self._names = [names[id(value)] for group in groups for value in group["params"]]
        if self._checkpointed:
            recompute(model, self._checkpointed)
        layers = {id(layer) for _, layer in repeated_layers(model)}

        def is_layer(module: nn.Module) -> bool:
            return id(module) in layers

        self.model_wrapper = {
            "type": "MMFullyShardedDataParallel",
            "device_id": _device(),
            "auto_wrap_policy": _policy(is_layer),
            **(self.model_wrapper or {}),
        }
        with warnings.catch_warnings():
            # That it is deprecated tells the user nothing.
            warnings.filterwarnings("ignore", r"FSDP\.state_dict_type", FutureWarning)
            return super()._wrap_model(model)

    def build_optim_wrapper(self, optim_wrapper: Any, model: Any = None) -> BaseOptimWrapper:
        """The optimizer's wrapper of the plain model, given the parted parameters.

        Raises:
            ValueError: The model has several optimizers, or one that is parted by itself.
        """
        wrapper = self._optimizer
        if not isinstance(wrapper, OptimWrapper) or hasattr(
            wrapper.optimizer, "consolidate_state_dict"
        ):
            raise ValueError(
                "mms_ocr.FullyShardedStrategy works with one plain optimizer, such as AdamW, whose "
                "states it parts itself"
            )
        parted = {_plain(name): value for name, value in model.named_parameters()}
        given = iter(self._names)
        for group in wrapper.optimizer.param_groups:
            group["params"] = [parted[next(given)] for _ in group["params"]]
        if getattr(wrapper, "grad_name", None) == "grad_norm":
            wrapper.clip_func = self._clip
        scaler = getattr(wrapper, "loss_scaler", None)
        if scaler is not None:
            # An overflow in one process's part is one of all.
            wrapper.loss_scaler = ShardedGradScaler(get_device(), init_scale=scaler.get_scale())
            wrapper.loss_scaler.load_state_dict(scaler.state_dict())
        return wrapper

    def _clip(
        self, parameters: Iterable[Tensor], max_norm: float, norm_type: float = 2.0
    ) -> Tensor:
        """Clip by the norm of the whole gradient."""
        return self.model.clip_grad_norm_(max_norm, norm_type)

    def optim_state_dict(self) -> dict:
        """States of the whole optimizer, as the plain one has them; of use on the first process."""
        optimizer = self.optim_wrapper.optimizer
        whole = FullyShardedDataParallel.optim_state_dict(self.model, optimizer)
        state = self.optim_wrapper.state_dict()
        if whole:
            numbers = {name: number for number, name in enumerate(self._names)}
            named = whole["state"].items()
            state["state"] = {numbers[name]: value for name, value in named}
        return state

    def load_optim_state_dict(self, state_dict: dict) -> None:
        """Take this process's part of the states of a whole optimizer."""
        optimizer = self.optim_wrapper.optimizer
        state = state_dict["state"].items()
        groups = [
            {**group, "params": [self._names[number] for number in group["params"]]}
            for group in state_dict["param_groups"]
        ]
        whole = {"state": {self._names[n]: value for n, value in state}, "param_groups": groups}
        part = FullyShardedDataParallel.optim_state_dict_to_load(self.model, optimizer, whole)
        self.optim_wrapper.load_state_dict({**state_dict, **part})

    def load_model_state_dict(self, state_dict: dict, **kwargs: Any) -> None:
        """Take this process's part of whole weights."""
        plain = {key.removeprefix("module."): value for key, value in state_dict.items()}
        self.model.load_state_dict(plain, strict=kwargs.get("strict", False))


def build_sharded_runner(cfg: Config) -> FlexibleRunner:
    """The runner of a config with a ``strategy``.

    Raises:
        ValueError: It is another strategy, or something in the config does not go with it.
    """
    if type_name(cfg.strategy) != _NAME:
        raise ValueError(
            f"strategy={cfg.strategy.get('type')} is not known here: mms_ocr.{_NAME} (FSDP) is the "
            "one whose checkpoints are whole and resumed from exactly"
        )
    if any(type_name(hook) == "EMAHook" for hook in cfg.get("custom_hooks") or []):
        raise ValueError(
            f"EMAHook averages whole models, and with mms_ocr.{_NAME} no process has one; leave "
            "either out, or use mms_ocr.ShardedOptimizer"
        )
    cfg.strategy.setdefault("activation_checkpointing", cfg.get("activation_checkpointing") or [])
    return ConfigKeepingFlexibleRunner.from_cfg(cfg)


def _policy(is_layer: Any) -> Any:
    def policy(module: nn.Module, recurse: bool, nonwrapped_numel: int) -> bool:
        return lambda_auto_wrap_policy(module, recurse, nonwrapped_numel, lambda_fn=is_layer)

    return policy


def _plain(name: str) -> str:
    """A parameter's name in the model as it was before it was parted."""
    return name.replace("_fsdp_wrapped_module.", "")


def _device() -> torch.device:
    """The one of this process."""
    if torch.cuda.is_available():
        return torch.device("cuda", torch.cuda.current_device())
    return torch.device(get_device())
