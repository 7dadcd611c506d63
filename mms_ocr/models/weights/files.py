"""Checkpoint files, of torch and safetensors, read without running code and written whole."""

from __future__ import annotations

import argparse
import functools
import json
import os
import pickle
import re
import zipfile
from collections import OrderedDict
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Any

import numpy as np
import torch
from mmengine.logging.history_buffer import HistoryBuffer
from mmengine.runner import CheckpointLoader
from safetensors import SafetensorError, safe_open
from safetensors.torch import save_file
from torch import Tensor

from mms_ocr.models.weights.naming import find_weights, list_names, strip_wrappers
from mms_ocr.utils.bundled import SCHEME, SUFFIX, bundled_file
from mms_ocr.utils.files import atomic_path

# Key of our metadata, JSON, in the metadata of safetensors.
_METADATA_KEY = "mms_ocr"

# Beside tensors and plain values, checkpoints hold the log history of MMEngine, as NumPy arrays,
# and the options of a run of MAE. No other type is built from a file.
ALLOWED_TYPES: list[Any] = [argparse.Namespace, HistoryBuffer, np.ndarray, np.dtype]
ALLOWED_TYPES += [type(np.dtype(name)) for name in ("float32", "float64", "int32", "int64")]


def _history_statistic(owner: Any, name: str) -> Any:
    """Replace ``getattr``, with which a log history refers to its own methods."""
    if owner is not HistoryBuffer or name not in ("min", "max", "current", "mean"):
        raise pickle.UnpicklingError(f"Unsupported GLOBAL builtins.getattr of {owner} and {name}")
    return getattr(owner, name)


def _under_name(module: str, name: str, function: Callable[..., Any]) -> Callable[..., Any]:
    """Give a function the name by which a file refers to it."""
    alias = functools.partial(function)
    for attribute, value in (("__module__", module), ("__name__", name), ("__qualname__", name)):
        setattr(alias, attribute, value)
    return alias


# Functions that build arrays and scalars.
REBUILDING: list[Any] = [value.__reduce__()[0] for value in (np.asarray([0.0]), np.float64(0))]
ALLOWED_FUNCTIONS: list[Any] = [
    _under_name("builtins", "getattr", _history_statistic),
    # The modules of NumPy 1 and NumPy 2.
    *(
        _under_name(module, rebuild.__name__, rebuild)
        for rebuild in REBUILDING
        for module in ("numpy.core.multiarray", "numpy._core.multiarray")
    ),
]


class DamagedCheckpointError(ValueError):
    """A checkpoint file is not what was written; the message names it."""


def read_checkpoint(path: str | os.PathLike[str]) -> dict[str, Any]:
    """Read a checkpoint file; only tensors, plain values and :data:`ALLOWED_TYPES` are built.

    The format, torch or safetensors, is detected by the content. The weights become ``state_dict``,
    wherever the file has them, without the parts that wrappers (DDP, EMA) add to their names.

    Args:
        path: A file, or ``mms_ocr://NAME`` for bundled weights.

    Raises:
        FileNotFoundError: There is no such file, or no bundled weights of that name.
        ValueError: It is no checkpoint, is damaged, or holds objects that are not allowed.
    """
    path = os.fspath(path)
    if path.startswith(SCHEME):
        path = os.fspath(bundled_file(path))
    if not os.path.isfile(path):
        raise FileNotFoundError(f"no checkpoint {path}")
    with open(path, "rb") as file:
        is_safetensors = file.read(9)[8:] == b"{"  # the length of the header, then JSON
    if is_safetensors:
        return _read_safetensors(path)
    try:
        # Opened here, since torch chooses the format by the name.
        with (
            open(path, "rb") as file,
            torch.serialization.safe_globals([*ALLOWED_TYPES, *ALLOWED_FUNCTIONS]),
        ):
            checkpoint = torch.load(file, map_location="cpu", weights_only=True)
    except (PermissionError, MemoryError):
        raise
    except Exception as error:  # damaged files raise nearly any type
        if named := re.search(r"[Uu]nsupported (?:global: )?GLOBAL (\S+)", str(error)):
            raise ValueError(
                f"{path} was refused: it carries the object {named[1]}, and checkpoints may hold "
                "weights only"
            ) from error
        first = "" if isinstance(error, pickle.UnpicklingError) else str(error).partition("\n")[0]
        # A text file raises KeyError(101), the code of a letter.
        reason = f" ({first})" if any(map(str.isalpha, first)) else ""
        raise ValueError(
            f"{path} cannot be read as a checkpoint: it is damaged or another kind of file{reason}"
        ) from error
    check_archive(path)
    if not isinstance(checkpoint, Mapping):
        raise ValueError(f"{path} holds a {type(checkpoint).__name__} and no state dict")
    name, weights = find_weights(checkpoint, path)
    others = {key: checkpoint[key] for key in checkpoint if key != name} if name else {}
    return {**others, "state_dict": strip_wrappers(weights, path)}


def check_archive(path: str | os.PathLike[str]) -> None:
    """Check the CRC-32 of every record of a zip file, which torch writes and does not check.

    Files of torch's older formats have no checksums, and pass.

    Raises:
        DamagedCheckpointError: The file is truncated or was changed.
    """
    with open(path, "rb") as file:
        if file.read(2) != b"PK":
            return
        try:
            with zipfile.ZipFile(file) as archive:
                damaged = archive.testzip()
                file.seek(-22 - len(archive.comment), os.SEEK_END)
            if file.read(4) != b"PK\x05\x06":  # the last record, 22 bytes before its comment
                damaged = "its end"
        except Exception as error:  # a damaged file may end in nearly any of them
            raise DamagedCheckpointError(
                f"{os.fspath(path)} is damaged: it is truncated or was changed ({error})"
            ) from error
    if damaged is not None:
        raise DamagedCheckpointError(
            f"{os.fspath(path)} is damaged: {damaged} is not what was written"
        )


@CheckpointLoader.register_scheme(SCHEME)
def load_from_bundled(name: str, map_location: Any = None) -> dict[str, Any]:
    """Read bundled weights, for MMEngine, which prints the end of this name."""
    return read_checkpoint(name)


def _read_safetensors(path: str) -> dict[str, Any]:
    state_dict: Any = OrderedDict()
    try:
        with safe_open(path, framework="pt") as file:
            for key in file.keys():  # noqa: SIM118  (not a dict)
                state_dict[key] = file.get_tensor(key)
            stored = json.loads((file.metadata() or {}).get(_METADATA_KEY, "{}"))
            modules, meta = stored.get("state_dict", {}), stored.get("meta", {})
            if not all(isinstance(item, dict) for item in (meta, modules, *modules.values())):
                raise TypeError("its metadata have another structure")
    except (SafetensorError, ValueError, TypeError, KeyError, AttributeError) as error:
        raise ValueError(
            f"{path} cannot be read as a checkpoint: it is damaged, or its format is unknown to "
            f"this version of safetensors ({error})"
        ) from error
    if modules:
        state_dict._metadata = modules
    return {"state_dict": strip_wrappers(state_dict, path), "meta": meta}


def read_state_dict(path: str | os.PathLike[str]) -> dict[str, Tensor]:
    """Read the weights of a checkpoint.

    Raises:
        FileNotFoundError: There is no such file.
        ValueError: It is no checkpoint of weights.
    """
    state_dict = read_checkpoint(path)["state_dict"]
    check_values(state_dict, path)
    return state_dict


def check_values(state_dict: Mapping[str, Any], path: str | os.PathLike[str]) -> None:
    """Check that a state dict holds weights and nothing else.

    Raises:
        ValueError: It holds other values, or none.
    """
    others = [key for key, value in state_dict.items() if not isinstance(value, Tensor)]
    if others or not state_dict:
        what = f"values that are not tensors ({list_names(others)})" if others else "no weights"
        raise ValueError(f"{path} holds {what}")
    if empty := [key for key, value in state_dict.items() if value.is_meta]:
        raise ValueError(f"{path} holds names without values (meta tensors): {list_names(empty)}")


def write_checkpoint(
    path: str | os.PathLike[str],
    weights: Mapping[str, Tensor],
    meta: Mapping[str, Any] | None = None,
    half: bool = False,
) -> None:
    """Write a checkpoint, ``state_dict`` and ``meta``, whole or not at all.

    Args:
        path: The file; safetensors if it ends in ``.safetensors``, else as MMEngine writes it.
        weights: The weights; their ``_metadata`` is stored as well.
        meta: Plain values.
        half: Store floating-point weights in fp16.

    Raises:
        ValueError: A weight does not fit into fp16, or into the format.
    """
    stored: Any = OrderedDict()
    for key, value in weights.items():
        value = value.detach().cpu()
        if half and value.is_floating_point():
            finite, value = value.isfinite().all(), value.half()
            if finite and not value.isfinite().all():
                raise ValueError(f"{key} has values too large for fp16; write it without --half")
        # A view would be stored with its whole base, and safetensors does not store strides.
        stored[key] = value.clone() if value.is_sparse else value.contiguous().clone()
    stored._metadata = dict(getattr(weights, "_metadata", {}))
    Path(os.path.realpath(path)).parent.mkdir(parents=True, exist_ok=True)
    with atomic_path(path) as temporary:
        if Path(path).suffix == SUFFIX:
            _save_safetensors(temporary, stored, meta or {})
        else:
            torch.save({"meta": dict(meta or {}), "state_dict": stored}, temporary)


def _save_safetensors(path: Path, weights: dict[str, Tensor], meta: Mapping[str, Any]) -> None:
    ours = {"state_dict": weights._metadata, "meta": dict(meta)}  # type: ignore[attr-defined]
    try:
        # A single key: safetensors writes several in random order.
        save_file(weights, path, {_METADATA_KEY: json.dumps(ours)})
    except (SafetensorError, KeyError, TypeError, ValueError) as error:
        raise ValueError(f"the weights cannot be stored as safetensors ({error})") from error
