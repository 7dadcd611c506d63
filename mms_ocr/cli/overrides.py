"""Changes of a config from the command line: a misspelt key is an error, not one setting more."""

from __future__ import annotations

import argparse
import ast
import inspect
import logging
import textwrap
from collections.abc import Iterable, Iterator, Mapping, Sequence
from difflib import get_close_matches
from typing import Any

from mmengine.config import Config, DictAction
from mmengine.logging import print_log
from mmengine.optim import OptimWrapper
from mmengine.registry import DefaultScope
from mmengine.runner import Runner
from torch.utils.data import DataLoader

from mms_ocr import registry

# Settings that a whole config may have beside the arguments of MMEngine's Runner: what Runner,
# FlexibleRunner and mms_ocr.apis take from it.
_OF_CONFIGS = {
    "activation_checkpointing", "compile", "custom_imports", "efficient_conv_bn_eval",
    "find_unused_parameters", "load_from_exclude", "model_wrapper_cfg", "runner_type", "strategy",
    "sync_bn", "test_pipeline", "tta_model", "tta_pipeline",
}  # fmt: skip
# What MMEngine takes out of settings before it hands them to what it builds.
_OF_LOADERS = {"batch_sampler", "num_batch_per_epoch"}
_OF_WRAPPERS = {"constructor", "optimizer", "paramwise_cfg"}
_OF_TYPES = {"type", "_scope_", "_delete_", "priority", "convert_to_iter_based"}
# Dicts without a type whose keys MMEngine names one by one.
_FIXED = {
    "auto_scale_lr": {"enable", "base_batch_size"},
    "env_cfg": {"cudnn_benchmark", "mp_cfg", "dist_cfg", "resource_limit"},
    "env_cfg.mp_cfg": {"mp_start_method", "opencv_num_threads"},
    "randomness": {"seed", "diff_rank_seed", "deterministic"},
}
_LISTED = 8
_ALIKE = 0.85  # of a new key that may be right: how near to another it is to be doubted


def merge_options(cfg: Config, options: Mapping[str, Any] | None) -> None:
    """Change a config by ``{'train_dataloader.batch_size': 32, …}``.

    Raises:
        ValueError: See :func:`check_options`.
    """
    if options:
        check_options(cfg, options)
        cfg.merge_from_dict(dict(options))


def parse_options(words: Sequence[str]) -> dict[str, Any] | None:
    """Settings of ``KEY=VALUE``, as ``--cfg-options`` takes them; None where there are none.

    For commands that import MMEngine only when they run.
    """
    if not words:
        return None
    parser = argparse.ArgumentParser(prog="mms-ocr")
    parser.add_argument("--cfg-options", nargs="+", action=DictAction)
    return dict(parser.parse_args(["--cfg-options", *words]).cfg_options)


def check_options(cfg: Config, options: Mapping[str, Any]) -> None:
    """Refuse keys that a config does not have, and that nothing would take.

    A new key is let pass where it may be taken: an argument of the class that ``type`` names, also
    where that class takes any (``**kwargs``) or cannot be found; anything in a dict that is free.
    A line in the log doubts those that are much like another.

    Args:
        cfg: The config, not changed.
        options: Values by dotted key; a number is a place in a list.

    Raises:
        ValueError: A key is surely wrong; with the nearest ones.
    """
    with DefaultScope.overwrite_default_scope(cfg.get("default_scope", "mms_ocr")):
        for key, value in options.items():
            parts = value if isinstance(value, list | tuple) else [value]
            if key in ("custom_hooks", "param_scheduler") and any(
                isinstance(part, str) for part in parts
            ):
                raise ValueError(
                    f"{key}={value!r} is text, and no settings; the command line takes plain "
                    f"values and lists of them: write {key} into a config of your own"
                )
            _check(cfg, key, options)


def _check(cfg: Config, key: str, options: Mapping[str, Any]) -> None:
    node: Any = cfg
    above = ""
    for part in key.split("."):
        here = f"{above}.{part}" if above else part
        if isinstance(node, Sequence) and not isinstance(node, str):
            if not part.isdigit() or int(part) >= len(node):
                raise ValueError(
                    f"no setting {key}: {above} is a list of {len(node)}; name one by its place, "
                    "from 0"
                )
            node = node[int(part)]
        elif isinstance(node, Mapping | Config):
            if part not in node:
                _check_new(node, part, above, key, options)
                return
            node = node[part]
        elif options.get(f"{above}._delete_"):
            return  # a dict in the place of a single value
        else:
            raise ValueError(
                f"no setting {key}: {above} is {node!r}, which has no settings of its own"
            )
        above = here


def _check_new(node: Any, part: str, above: str, key: str, options: Mapping[str, Any]) -> None:
    """Refuse a key that would be new in ``node``, the settings named ``above``.

    Raises:
        ValueError: Nothing would take it.
    """
    taker = "MMEngine's Runner"
    taken: set[str] | None
    if not above:
        taken = {*inspect.signature(Runner).parameters, *_OF_CONFIGS}
    elif above == "default_hooks":
        # A hook of any name may be added, but not without its type.
        taken, taker = (None if f"{above}.{part}.type" in options else set()), "default_hooks"
    else:
        taken, taker = _taken(node, above, options.get(f"{above}.type", node.get("type")))
    if taken is None:
        for name in get_close_matches(part, map(str, node), n=1, cutoff=_ALIKE):
            print_log(
                f"setting {key}: {above} had no {part!r}, which is taken as it is; was "
                f"{above}.{name} meant?",
                logger="current",
                level=logging.WARNING,
            )
        return
    if part in taken:
        return
    known = sorted({*map(str, node), *taken} - _OF_TYPES)
    near = get_close_matches(part, known, n=3, cutoff=0.6)
    rest = key.split(".")[above.count(".") + 2 if above else 1 :]
    if near:
        meant = " or ".join(".".join([*filter(None, [above]), name, *rest]) for name in near)
        advice = f"did you mean {meant}?"
    else:
        more = ", …" if len(known) > _LISTED else ""
        advice = f"known there: {', '.join(known[:_LISTED])}{more}"
    raise ValueError(
        f"no setting {key}: {above or 'the config'} has no {part!r}, and {taker} takes none; "
        f"{advice}"
    )


def _taken(node: Mapping, above: str, kind: Any) -> tuple[set[str] | None, str]:
    """Keys that settings may have, None for any, and what takes them."""
    if above in _FIXED:
        return _FIXED[above], "MMEngine"
    if above.endswith("_dataloader") and "." not in above:
        return {*inspect.signature(DataLoader).parameters, *_OF_LOADERS}, "DataLoader"
    extra = _OF_TYPES
    classes: list[Any] = []
    if above == "optim_wrapper":
        extra = _OF_TYPES | _OF_WRAPPERS
        classes = [OptimWrapper] if kind is None else []
    if isinstance(kind, str):
        classes = list(_registered(kind))
    elif callable(kind):
        classes = [kind]
    if not classes:
        return None, ""
    taken = set(extra)
    for one in classes:
        arguments = _arguments(one)
        if arguments is None:
            return None, ""
        taken |= arguments
    return taken, str(kind or "OptimWrapper")


def _registered(kind: str) -> Iterator[Any]:
    """All that registries know by this name."""
    for name in registry.__all__:
        try:
            found = getattr(registry, name).get(kind)
        except (ImportError, KeyError, AttributeError):
            continue  # building it tells what is missing
        if found is not None:
            yield found


def _arguments(called: Any) -> set[str] | None:
    """Names that a class or function takes; None where it takes any.

    Arguments that a constructor only hands on to that of its parent are those of the parent.
    """
    if not inspect.isclass(called):
        return _named(inspect.signature(called).parameters.values())
    taken: set[str] = set()
    for one in called.__mro__:
        if "__init__" not in vars(one) or one is object:
            continue
        try:
            parameters = inspect.signature(vars(one)["__init__"]).parameters.values()
        except (TypeError, ValueError):
            return None
        named = _named(parameters)
        if named is not None:
            return (taken | named) - {"self"}
        taken |= {one.name for one in parameters}
        if not _hands_on(one):
            return None
    return taken - {"self"}


def _named(parameters: Iterable[inspect.Parameter]) -> set[str] | None:
    parameters = list(parameters)
    if any(one.kind == inspect.Parameter.VAR_KEYWORD for one in parameters):
        return None
    return {one.name for one in parameters}


def _hands_on(owner: type) -> bool:
    """Whether a constructor does nothing with its ``**kwargs`` but give them to its parent's."""
    try:
        tree = ast.parse(textwrap.dedent(inspect.getsource(vars(owner)["__init__"])))
    except (OSError, TypeError, SyntaxError):
        return False
    function = tree.body[0]
    if not isinstance(function, ast.FunctionDef) or function.args.kwarg is None:
        return False
    name = function.args.kwarg.arg
    uses = [one for one in ast.walk(function) if isinstance(one, ast.Name) and one.id == name]
    handed = [
        word.value
        for call in ast.walk(function)
        if isinstance(call, ast.Call) and ast.unparse(call.func) == "super().__init__"
        for word in call.keywords
        if word.arg is None
    ]
    return len(uses) > 0 and all(any(use is one for one in handed) for use in uses)
