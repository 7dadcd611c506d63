"""Changes of a config from the command line (``--cfg-options``)."""

from __future__ import annotations

import argparse
import inspect
from collections.abc import Mapping, Sequence
from difflib import get_close_matches
from typing import Any

from mmengine.config import Config, DictAction
from mmengine.runner import Runner
from torch.utils.data import DataLoader

from mms_ocr.utils.errors import warn

# Settings of a whole config beside the arguments of MMEngine's Runner.
_OF_CONFIGS = {
    "activation_checkpointing", "compile", "custom_imports", "efficient_conv_bn_eval",
    "find_unused_parameters", "load_from_exclude", "model_wrapper_cfg", "runner_type", "sync_bn",
    "test_pipeline", "tta_model", "tta_pipeline",
}  # fmt: skip
# Settings that MMEngine reads by name from dicts without a type.
_BY_NAME = {
    "auto_scale_lr": {"enable", "base_batch_size"},
    "env_cfg": {"cudnn_benchmark", "mp_cfg", "dist_cfg", "resource_limit"},
    "env_cfg.dist_cfg": {"backend", "timeout"},
    "env_cfg.mp_cfg": {"mp_start_method", "opencv_num_threads"},
    "randomness": {"seed", "diff_rank_seed", "deterministic"},
}
_NAMES_SHOWN = 8
_SIMILARITY = 0.85  # of a new argument to an existing one, above which it may be a typing error


def add_config_options(parser: argparse.ArgumentParser) -> None:
    """Declare ``--cfg-options`` and ``--traceback`` of a program that takes a config."""
    parser.add_argument(
        "--cfg-options", nargs="*", action=DictAction, metavar="KEY=VALUE",
        help="change any setting of the config, such as train_dataloader.batch_size=64"
    )  # fmt: skip
    parser.add_argument("--traceback", action="store_true", help="show the traceback of an error")


def parse_cfg_options(words: Sequence[str]) -> dict[str, Any] | None:
    """Parse ``KEY=VALUE`` words as ``--cfg-options`` takes them; None if there are none."""
    if not words:
        return None
    parser = argparse.ArgumentParser(prog="mms-ocr")
    parser.add_argument("--cfg-options", nargs="+", action=DictAction)
    return dict(parser.parse_args(["--cfg-options", *words]).cfg_options)


def merge_cfg_options(cfg: Config, options: Mapping[str, Any] | None) -> None:
    """Change a config by ``{'train_dataloader.batch_size': 32, …}``.

    Raises:
        ValueError: See :func:`check_cfg_options`.
    """
    if options:
        check_cfg_options(cfg, options)
        cfg.merge_from_dict(dict(options))


def check_cfg_options(cfg: Config, options: Mapping[str, Any]) -> None:
    """Check that the config has the keys, or that something with a ``type`` may take them.

    Raises:
        ValueError: There is no such setting; the message proposes similar ones.
    """
    for key, value in options.items():
        values = value if isinstance(value, list | tuple) else [value]
        if key in ("custom_hooks", "param_scheduler") and any(isinstance(v, str) for v in values):
            raise ValueError(f"{key}={value!r} is text; write {key} into a config of your own")
        _check_key(cfg, key, options)


def _check_key(cfg: Config, key: str, options: Mapping[str, Any]) -> None:
    node: Any = cfg
    parent = ""
    in_typed = False  # whether the node is an argument, at any depth, of something with a type
    for part in key.split("."):
        path = f"{parent}.{part}" if parent else part
        if isinstance(node, list | tuple):
            if not part.isdigit() or int(part) >= len(node):
                raise ValueError(
                    f"no setting {key}: {parent} is a list of {len(node)}; give an index from 0"
                )
            node = node[int(part)]
        elif isinstance(node, Mapping | Config):
            in_typed |= bool(parent) and ("type" in node or f"{parent}.type" in options)
            if part not in node:
                if in_typed or f"{path}.type" in options:
                    if similar := get_close_matches(part, map(str, node), 1, _SIMILARITY):
                        warn(f"setting {key} is new; did you mean {parent}.{similar[0]}?")
                elif part != "_delete_":
                    _check_untyped(node, part, parent, key)
                return
            node = node[part]
        elif options.get(f"{parent}._delete_"):
            return  # a dict replaces a single value
        else:
            raise ValueError(f"no setting {key}: {parent} is {node!r}, which has no settings")
        parent = path


def _check_untyped(node: Mapping | Config, part: str, parent: str, key: str) -> None:
    """Check a new setting of a dict without a type, of which MMEngine reads some by name."""
    if not parent:
        by_name = {*inspect.signature(Runner).parameters, *_OF_CONFIGS}
    elif parent.rstrip(".0123456789").endswith("_dataloader"):
        by_name = {
            *inspect.signature(DataLoader).parameters,
            "batch_sampler",
            "num_batch_per_epoch",
        }
    else:
        by_name = _BY_NAME.get(parent, set())
    if part in by_name:
        return
    names = sorted({*map(str, node), *by_name})
    path = f"{parent}." if parent else ""
    if similar := get_close_matches(part, names, n=3):
        rest = key[len(path) + len(part) :]
        advice = f"did you mean {' or '.join(f'{path}{name}{rest}' for name in similar)}?"
    else:
        advice = f"there are {', '.join(names[:_NAMES_SHOWN])}"
    raise ValueError(f"no setting {key}: {parent or 'the config'} has no {part!r}; {advice}")
