"""Patches of MMEngine for training and testing; :mod:`mms_ocr.compat` has those for imports.

All are for MMEngine 0.10.7 and onedl-mmengine 0.10.12:

- ``read_checkpoints_by``: MMEngine unpickles any object of a checkpoint, and runs the config in it
  as Python when it resumes. Remove it when ``load_checkpoint`` raises for a file with an object of
  another class, and ``Runner.resume`` does not parse ``meta["config"]``.
- ``use_recompute``: MMEngine passes ``use_reentrant=True`` to torch, and parts after frozen ones
  then get no gradient. Remove it when ``turn_on_activation_checkpointing`` passes False.
- ``write_results_once``: every rank writes the results of a test to one file. Remove it when
  ``LoggerHook.after_test_epoch`` writes on the main process only.
"""

from __future__ import annotations

import functools
import os
from collections.abc import Callable, Mapping, Sequence
from pathlib import Path
from typing import Any
from urllib.parse import urlparse

import torch
from mmengine import dist
from mmengine.hooks import LoggerHook
from mmengine.runner import CheckpointLoader, Runner
from mmengine.runner import checkpoint as mmengine_checkpoint
from mmengine.runner import runner as mmengine_runner
from torch import nn
from torch.utils.checkpoint import checkpoint as recomputed

Reader = Callable[[str], dict[str, Any]]


def read_checkpoints_by(read: Reader) -> None:
    """Have MMEngine read every checkpoint of this process by ``read``, and run nothing from it."""

    # MMEngine logs the ends of these names.
    def load_from_file(path: str, map_location: Any = None) -> dict[str, Any]:
        # On the CPU: from there, weights and states are copied to their devices.
        return _without_config(read(os.path.expanduser(path)))

    def load_from_url(url: str, map_location: Any = None, **kwargs: Any) -> dict[str, Any]:
        return _without_config(read(str(download_once(url, kwargs.get("model_dir")))))

    def refuse(path: str, map_location: Any = None) -> dict[str, Any]:
        raise ValueError(
            f"{path} cannot be read: checkpoints are read from disks and http(s) addresses only; "
            "copy it to a disk"
        )

    CheckpointLoader.register_scheme("", load_from_file, force=True)
    CheckpointLoader.register_scheme(("http://", "https://"), load_from_url, force=True)
    for scheme in ("pavi://", r"(\S+\:)?s3://", r"(\S+\:)?petrel://"):
        CheckpointLoader.register_scheme(scheme, refuse, force=True)
    mmengine_checkpoint.load_url = load_from_url  # for the schemes of model zoos


def download_once(url: str, folder: str | None = None) -> Path:
    """Download a file on the first process of each machine."""
    path = Path(folder or Path(torch.hub.get_dir(), "checkpoints"), Path(urlparse(url).path).name)
    # MMEngine knows a process's number on its machine only after init_local_group.
    if int(os.environ.get("LOCAL_RANK", 0)) == 0 and not path.is_file():
        path.parent.mkdir(parents=True, exist_ok=True)
        torch.hub.download_url_to_file(url, str(path), progress=False)
    dist.barrier()
    return path


def _without_config(checkpoint: dict[str, Any]) -> dict[str, Any]:
    meta = checkpoint.get("meta")
    if not isinstance(meta, Mapping) or "config" not in meta:
        return checkpoint
    return {**checkpoint, "meta": {key: meta[key] for key in meta if key != "config"}}


def recompute(model: nn.Module, names: Sequence[str] | str) -> None:
    """Turn on activation checkpointing (arXiv 1604.06174) for parts such as ``backbone.layers.0``.

    Raises:
        ValueError: The model has no part of such a name.
    """
    for name in [names] if isinstance(names, str) else names:
        try:
            part = model.get_submodule(name)
        except AttributeError as error:
            raise ValueError(
                f"activation_checkpointing names {name!r}, which {type(model).__name__} does not "
                f"have ({error})"
            ) from error
        forward = functools.partial(recomputed, part.forward, use_reentrant=False)
        part.forward = forward  # type: ignore[method-assign]


def use_recompute() -> None:
    """Have MMEngine turn on ``activation_checkpointing`` by :func:`recompute`."""
    mmengine_runner.turn_on_activation_checkpointing = recompute


def write_results_once(runner: Runner) -> None:
    """Have only the main process write the results of a test."""
    if not dist.is_main_process():
        for hook in runner.hooks:
            if isinstance(hook, LoggerHook):
                hook.after_test_epoch = lambda *_, **__: None  # type: ignore[method-assign]
