"""Reading checkpoints without running anything in them."""

from __future__ import annotations

import argparse
import functools
import os
import pickle
import re
from collections.abc import Callable, Mapping
from typing import Any

import numpy as np
import torch
from mmengine.logging.history_buffer import HistoryBuffer
from mmengine.runner import CheckpointLoader
from torch import Tensor

from mms_ocr.models.weights.naming import find_weights, strip_wrappers
from mms_ocr.models.weights.safetensors_files import is_safetensors, read_safetensors
from mms_ocr.models.weights.wording import listed
from mms_ocr.utils.bundled import SCHEME, bundled_file
from mms_ocr.utils.sealing import check_seal

# What is found in checkpoints beside tensors and plain Python values: the history of MMEngine's
# log, as NumPy arrays, and the options of a run of MAE. Nothing else is ever built from a file.
ALLOWED_TYPES: list[Any] = [
    argparse.Namespace,
    HistoryBuffer,
    np.ndarray,
    np.dtype,
    np.dtypes.Float32DType,
    np.dtypes.Float64DType,
    np.dtypes.Int32DType,
    np.dtypes.Int64DType,
]
REBUILDING: list[Any] = [
    np.asarray([0.0]).__reduce__()[0],  # an array
    np.float64(0).__reduce__()[0],  # a scalar
]
HISTORY_STATISTICS = ("min", "max", "current", "mean")


def _history_statistic(owner: Any, name: str) -> Any:
    """``getattr`` as far as the history of a log needs it, which carries its own methods."""
    if owner is not HistoryBuffer or name not in HISTORY_STATISTICS:
        raise pickle.UnpicklingError(f"Unsupported GLOBAL builtins.getattr of {owner} and {name}")
    return getattr(owner, name)


def _under_name(module: str, name: str, function: Callable[..., Any]) -> Callable[..., Any]:
    """A function under the name by which a file calls it."""
    alias = functools.partial(function)
    for attribute, value in (("__module__", module), ("__name__", name), ("__qualname__", name)):
        setattr(alias, attribute, value)
    return alias


ALLOWED_FUNCTIONS: list[Any] = [
    _under_name("builtins", "getattr", _history_statistic),
    # NumPy 1 and NumPy 2 keep them in different modules.
    *(
        _under_name(module, function.__name__, function)
        for module in ("numpy.core.multiarray", "numpy._core.multiarray")
        for function in REBUILDING
    ),
]


_UNREADABLE = "cannot be read as a checkpoint: it is damaged or another kind of file"


def read_checkpoint(path: str | os.PathLike[str], map_location: str = "cpu") -> dict[str, Any]:
    """Read a checkpoint file; only tensors, plain values and :data:`ALLOWED_TYPES` are built.

    Files of torch and of safetensors are recognized by their content, whatever their names.

    Args:
        path: A file, or ``mms_ocr://NAME`` for bundled weights.
        map_location: Where to, for files of torch.

    Returns:
        What it holds, with the weights as ``state_dict``, wherever the file keeps them, and without
        what wrappers (DDP, EMA, ``torch.compile``) put into their names.

    Raises:
        FileNotFoundError: There is no such file, or no bundled weights of that name.
        ValueError: It is no checkpoint, is damaged, or holds objects that are not allowed.
    """
    path = os.fspath(path)
    if path.startswith(SCHEME):
        path = os.fspath(bundled_file(path))
    if not os.path.isfile(path):
        raise FileNotFoundError(f"no checkpoint {path}")
    if is_safetensors(path):
        checkpoint = read_safetensors(path)
        return {**checkpoint, "state_dict": strip_wrappers(checkpoint["state_dict"], path)}
    try:
        # Opened here, since torch would choose the format by the name.
        with (
            open(path, "rb") as file,
            torch.serialization.safe_globals([*ALLOWED_TYPES, *ALLOWED_FUNCTIONS]),
        ):
            checkpoint = torch.load(file, map_location=map_location, weights_only=True)
    except pickle.UnpicklingError as error:
        raise ValueError(f"{path} {_refusal(error)}") from error
    except (PermissionError, MemoryError):
        raise
    except Exception as error:  # a damaged file may end in nearly any of them
        first = next(iter(str(error).splitlines()), "")
        # A text file ends in KeyError(101), the number of a letter, which tells nobody anything.
        reason = f" ({first})" if any(map(str.isalpha, first)) else ""
        raise ValueError(f"{path} {_UNREADABLE}{reason}") from error
    check_seal(path)  # torch does not look at the checksums of what it reads
    if not isinstance(checkpoint, Mapping):
        raise ValueError(f"{path} holds a {type(checkpoint).__name__} and no state dict")
    name, weights = find_weights(checkpoint, path)
    others = {key: checkpoint[key] for key in checkpoint if key != name.partition(".")[0]}
    return {**(others if name else {}), "state_dict": strip_wrappers(weights, path)}


@CheckpointLoader.register_scheme(SCHEME)
def load_from_bundled(name: str, map_location: Any = None) -> dict[str, Any]:
    """Read bundled weights, for MMEngine, which prints the end of this function's name."""
    return read_checkpoint(name)


def _refusal(error: pickle.UnpicklingError) -> str:
    named = re.search(r"[Uu]nsupported (?:global: )?GLOBAL (\S+)", str(error))
    if named:
        return (
            f"was refused: it carries the object {named[1]}, and checkpoints may hold weights only"
        )
    return _UNREADABLE


def read_state_dict(path: str | os.PathLike[str]) -> dict[str, Tensor]:
    """The ``state_dict`` of a checkpoint, or the checkpoint itself where it is one.

    Raises:
        FileNotFoundError: There is no such file.
        ValueError: It is no checkpoint of weights.
    """
    state_dict = read_checkpoint(path)["state_dict"]
    check_values(state_dict, path)
    return state_dict


def check_values(state_dict: Mapping[str, Any], path: str | os.PathLike[str]) -> None:
    """Make sure that a state dict holds weights, and nothing else.

    Raises:
        ValueError: It does not.
    """
    others = [key for key, value in state_dict.items() if not isinstance(value, Tensor)]
    if others or not state_dict:
        what = f"values that are no tensors ({listed(others)})" if others else "no weights"
        raise ValueError(f"{path} holds {what}")
    if empty := [key for key, value in state_dict.items() if value.is_meta]:
        raise ValueError(f"{path} holds names without values (meta tensors): {listed(empty)}")
