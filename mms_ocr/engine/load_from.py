"""Starting a run from all weights of another one: ``load_from``."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from mmengine.hooks import Hook
from mmengine.logging import print_log
from mmengine.model import is_model_wrapper
from mmengine.runner import Runner
from torch import Tensor, nn
from torch.nn.parallel import DistributedDataParallel

from mms_ocr.models.strict_init import use_strict_loading
from mms_ocr.models.weights import check_values, fit_weights


class LoadFromHook(Hook):
    """Checks that all weights of ``load_from`` fit the model; MMEngine skips those that do not.

    Args:
        exclude: Names of modules or weights that keep their initial values.
    """

    # Before EMAHook, which loads the same weights.
    priority = "VERY_HIGH"

    def __init__(self, exclude: list[str]) -> None:
        self.exclude = exclude

    def after_load_checkpoint(self, runner: Runner, checkpoint: dict) -> None:
        """Check the weights, and rename them to the names of the model.

        Raises:
            ValueError: They do not fit, or a resumed run has other learning rates.
        """
        path = str(runner._load_from)
        if runner._resume:
            _check_groups(runner.optim_wrapper, checkpoint.get("optimizer"), path)
        own = own_weights(runner)
        if own is None:
            return
        check_values(checkpoint["state_dict"], path)
        exclude = [] if runner._resume else self.exclude
        try:
            weights: Any = fit_weights(
                own, checkpoint["state_dict"], path, "the model of this config", exclude
            )
        except ValueError as error:
            if runner._resume:
                raise
            raise ValueError(
                f"{error}; load_from takes whole models: list parts that differ in "
                "load_from_exclude, such as [decoder], or load an encoder alone by init_cfg "
                "(mms_ocr.PretrainedTextViT)"
            ) from error
        kept = {key: value for key, value in own.items() if key not in weights}
        if kept:
            print_log(f"{len(kept)} weights of {', '.join(self.exclude)} start anew", "current")
        # MMEngine would log each of them as missing.
        weights.update(kept)
        checkpoint["state_dict"] = weights


def prepare_loading(runner: Any) -> None:
    """Make a runner load ``load_from`` and ``init_cfg`` strictly.

    ``load_from_exclude`` of its config lists parts of the model that ``load_from`` leaves out. An
    encoder from ``load_from`` counts as pretrained for layer-wise learning rates
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


def _check_groups(wrapper: Any, stored: Any, path: str) -> None:
    """Check that a resumed run groups its parameters as the stored optimizer does.

    Raises:
        ValueError: It does not.
    """
    own = getattr(getattr(wrapper, "optimizer", None), "param_groups", None)
    groups = stored.get("param_groups") if isinstance(stored, Mapping) else None
    if own is not None and groups is not None and len(own) != len(groups):
        raise ValueError(
            f"{path} cannot be resumed from: it has {len(groups)} groups of learning rates, and "
            f"this run {len(own)}; use the init_cfg, load_from and paramwise_cfg of the first run"
        )


def own_weights(runner: Runner) -> dict[str, Tensor] | None:
    """Return the model's weights by name; None if another library has wrapped the model."""
    model = runner.model
    if isinstance(model, DistributedDataParallel):
        model = model.module
    return None if is_model_wrapper(model) else model.state_dict()
