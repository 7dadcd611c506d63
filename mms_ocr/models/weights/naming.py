"""Names of weights: containers, prefixes and wrappers of other trainers."""

from __future__ import annotations

import re
from collections import OrderedDict
from collections.abc import Callable, Mapping, Sequence
from typing import Any

from mmengine.logging import print_log
from torch import Tensor

# Parts of names that DDP and EMA, torch.compile, FSDP and activation checkpointing add.
WRAPPERS = {"module", "_orig_mod", "_fsdp_wrapped_module", "_checkpoint_wrapped_module"}
# Counters of updates of an average (EMA).
COUNTERS = {"steps", "n_averaged", "num_updates"}
# Words of prefixes of an average.
AVERAGED_WORDS = {"ema", "averaged", "teacher"}
# Keys of weights in a checkpoint: averages of the model, and the model. In those of MMEngine,
# state_dict is the average.
AVERAGED = (
    "state_dict_ema", "model_ema", "model_ema_state_dict", "ema_state_dict", "ema_model",
    "model_averaged", "ema", "params_ema", "teacher",
)  # fmt: skip
PLAIN = (
    "state_dict", "model", "model_state_dict", "model_state", "net", "network", "params",
    "weights", "module", "student",
)  # fmt: skip


def find_weights(checkpoint: Mapping[str, Any], path: str) -> tuple[str, Any]:
    """Find the weights of a checkpoint: their key (``''`` if there is none), and the weights.

    Of a model and its average (EMA, teacher), the average is used, and this is logged.

    Raises:
        ValueError: A checkpoint of MMEngine has no ``state_dict``.
    """
    if "message_hub" in checkpoint and "state_dict" not in checkpoint:
        raise ValueError(
            f"{path} holds no state_dict, as checkpoints of MMEngine do; save it again"
        )
    is_mmengine = "meta" in checkpoint and isinstance(checkpoint.get("state_dict"), Mapping)
    order = (*PLAIN, *AVERAGED) if is_mmengine else (*AVERAGED, *PLAIN)
    names = [name for name in order if isinstance(checkpoint.get(name), Mapping)]
    # Trainers without an average may write an empty one.
    names = [name for name in names if checkpoint[name]] or names[:1]
    if not names:
        return "", checkpoint
    if len(names) > 1 and not is_mmengine:
        print_log(f"{path} holds weights as {', '.join(names)}; {names[0]} are used", "current")
    return names[0], find_weights(checkpoint[names[0]], path)[1]


def strip_wrappers(state_dict: Mapping[str, Any], path: str) -> Mapping[str, Any]:
    """Remove the parts of names that wrappers add.

    Raises:
        ValueError: Two weights get the same name, or a name is no text.
    """
    if unnamed := [repr(key) for key in state_dict if not isinstance(key, str)]:
        raise ValueError(f"{path} holds weights whose names are not text ({list_names(unnamed)})")
    if not any(WRAPPERS.intersection(key.split(".")) for key in state_dict):
        return state_dict
    renamed = _renamed(state_dict, {key: _plain(key) for key in state_dict}, _plain)
    if len(renamed) < len(state_dict):
        twice = [key for key in state_dict if _plain(key) != key and _plain(key) in state_dict]
        raise ValueError(
            f"{path} holds weights both with and without the prefix of a wrapper "
            f"({list_names(twice)}); save one of the two alone"
        )
    for counter in COUNTERS & renamed.keys():
        del renamed[counter]
    return renamed


def choose_prefix(prefixes: Sequence[str], path: str, what: str) -> str:
    """Choose one of several prefixes of the same weights, and log the choice.

    An average (EMA, teacher) comes first, then no prefix, then ``backbone.``; else ValueError.
    """
    if len(prefixes) == 1:
        return prefixes[0]
    named = ", ".join(prefix or "no prefix" for prefix in prefixes)
    averaged = [name for name in prefixes if AVERAGED_WORDS.intersection(re.split("[._]", name))]
    usual = [prefix for prefix in ("", "backbone.") if prefix in prefixes]
    candidates = averaged if len(averaged) == 1 else usual
    if not candidates:
        raise ValueError(
            f"{path} holds {what} {len(prefixes)} times, under {named}; save one by itself"
        )
    chosen = candidates[0]
    print_log(f"{path} holds {what} under {named}; {chosen or 'no prefix'} is used", "current")
    return chosen


def match_names(
    state_dict: Mapping[str, Tensor], own: Mapping[str, Any], path: str
) -> Mapping[str, Tensor]:
    """Rename weights to the names of a model, parts of which may be called ``module``."""
    names = {_plain(key): key for key in own}
    state_dict = strip_prefix(state_dict, names, path)
    if all(plain == key for plain, key in names.items()):
        return state_dict
    renamed: Any = OrderedDict((names.get(key, key), value) for key, value in state_dict.items())
    parts = [key.split(".") for key in own]
    modules = {".".join(part[:depth]) for part in parts for depth in range(len(part))}
    metadata = getattr(state_dict, "_metadata", {})
    renamed._metadata = {
        name: metadata[_plain(name)] for name in modules if _plain(name) in metadata
    }
    return renamed


def strip_prefix(
    state_dict: Mapping[str, Tensor], own: Mapping[str, Any], path: str
) -> Mapping[str, Tensor]:
    """Remove the prefix of a model's names ``own`` in a state dict, such as ``model.``.

    If the state dict has some of the names without prefix, or none at all, it stays unchanged.
    """
    if any(key in state_dict for key in own):
        return state_dict
    matches = ([k.removesuffix(name) for k in state_dict if k.endswith(f".{name}")] for name in own)
    prefixes: list[str] = next(filter(None, matches), [])
    if not prefixes:
        return state_dict
    counts = {prefix: sum(prefix + key in state_dict for key in own) for prefix in prefixes}
    prefixes = [prefix for prefix in prefixes if counts[prefix] == max(counts.values())]
    return take_part(state_dict, choose_prefix(prefixes, path, "the model"), path)


def take_part(state_dict: Mapping[str, Tensor], prefix: str, path: str) -> Mapping[str, Tensor]:
    """Select the weights under a prefix, and remove it; the others are counted in the log.

    Raises:
        ValueError: There are none.
    """
    prefix = prefix.rstrip(".") + "."
    names = {key: key.removeprefix(prefix) for key in state_dict if key.startswith(prefix)}
    others = [key for key in state_dict if key not in names]
    if not names:
        raise ValueError(f"{path} holds no weights under {prefix} ({list_names(others)})")
    if others:
        print_log(
            f"{path}: the weights under {prefix} are used, and {len(others)} others left out "
            f"({list_names(others)})",
            "current",
        )

    def module_name(module: str) -> str | None:
        inside = f"{module}.".startswith(prefix)
        return f"{module}.".removeprefix(prefix).removesuffix(".") if inside else None

    return _renamed(state_dict, names, module_name)


def _plain(name: str) -> str:
    return ".".join(part for part in name.split(".") if part not in WRAPPERS)


def _renamed(
    state_dict: Mapping[str, Any],
    names: Mapping[str, str],
    module_name: Callable[[str], str | None],
) -> dict[str, Any]:
    """Rename keys of a state dict, and the modules of its metadata."""
    renamed: Any = OrderedDict((new, state_dict[old]) for old, new in names.items())
    metadata = getattr(state_dict, "_metadata", {})
    modules = {module_name(module): stored for module, stored in metadata.items()}
    renamed._metadata = {module: stored for module, stored in modules.items() if module is not None}
    return renamed


def list_names(names: Sequence[str], most: int = 6) -> str:
    """List the first names for a message, and count the others."""
    more = f" and {len(names) - most} more" if len(names) > most else ""
    return ", ".join(names[:most]) + more
