"""Starting a run from the weights of another one: ``load_from``, every weight of it."""

from __future__ import annotations

from typing import Any

from mmengine.hooks import Hook
from mmengine.model import is_model_wrapper
from mmengine.runner import Runner
from torch import Tensor, nn
from torch.nn.parallel import DistributedDataParallel

from mms_ocr.engine.fully_sharded import FullyShardedStrategy
from mms_ocr.models.loaded_last import use_strict_loading
from mms_ocr.models.weights import check_values, fit_weights

__all__ = ["LoadFromHook", "prepare_loading"]


class LoadFromHook(Hook):
    """Refuses weights to start from that do not fit the model; MMEngine loads those that do.

    Args:
        exclude: Names of modules, or of weights, that keep their initial values.
    """

    # Before EMAHook, which loads the same weights.
    priority = "VERY_HIGH"

    def __init__(self, exclude: list[str]) -> None:
        self.exclude = exclude

    def after_load_checkpoint(self, runner: Runner, checkpoint: dict) -> None:
        """Check the weights, and give them the names of the model.

        Raises:
            ValueError: They do not fit.
        """
        own = _own_weights(runner)
        if runner._resume or own is None:
            return
        path = str(runner._load_from)
        check_values(checkpoint["state_dict"], path)
        try:
            checkpoint["state_dict"] = fit_weights(
                own, checkpoint["state_dict"], path, "the model of this config", self.exclude
            )
        except ValueError as error:
            raise ValueError(
                f"{error}; load_from takes whole models: name parts that are to differ in "
                "load_from_exclude, such as [decoder], or take an encoder alone by init_cfg "
                "(mms_ocr.PretrainedTextViT)"
            ) from error


def prepare_loading(runner: Any) -> None:
    """Let a runner take ``load_from`` and ``init_cfg`` strictly.

    ``load_from_exclude`` of its config names parts of the model that ``load_from`` leaves out. An
    encoder that it loads counts as pretrained where layer-wise learning rates depend on it
    (``pretrained_only``), also when the run is resumed.

    Args:
        runner: A runner that has not started.
    """
    exclude = runner.cfg.get("load_from_exclude") or []
    exclude = [exclude] if isinstance(exclude, str) else list(exclude)
    runner.register_hook(LoadFromHook(exclude))
    if isinstance(runner.model, nn.Module):
        use_strict_loading(runner.model)
    # With resume=True in a config, load_from is the checkpoint to resume from, as in MMEngine.
    starts_from = runner.cfg.get("load_from") and runner.cfg.get("resume") is not True
    wrapper = runner.optim_wrapper
    if starts_from and "backbone" not in exclude and isinstance(wrapper, dict):
        settings = wrapper.get("paramwise_cfg") or {}
        if settings.get("pretrained_only"):
            settings["pretrained_only"] = False


def _own_weights(runner: Runner) -> dict[str, Tensor] | None:
    """The model's weights by name; None where processes hold parts of unknown wholes."""
    if isinstance(getattr(runner, "strategy", None), FullyShardedStrategy):
        return runner.strategy.weights
    model = runner.model
    if isinstance(model, DistributedDataParallel):
        model = model.module
    return None if is_model_wrapper(model) else model.state_dict()
