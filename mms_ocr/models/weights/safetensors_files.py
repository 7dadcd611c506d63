"""Checkpoints as safetensors: tensors, and metadata of the modules as JSON."""

from __future__ import annotations

import json
import os
from collections import OrderedDict
from collections.abc import Mapping
from typing import Any

import torch
from safetensors import SafetensorError, safe_open
from safetensors.torch import save_file
from torch import Tensor

# The key of the file's metadata, which are strings by name, under which ours are.
_KEY = "mms_ocr"


def is_safetensors(path: str | os.PathLike[str]) -> bool:
    """Whether a file is safetensors by its content: the header's length, then JSON."""
    with open(path, "rb") as file:
        return file.read(9)[8:] == b"{"


def read_safetensors(path: str | os.PathLike[str]) -> dict[str, Any]:
    """Read a file of safetensors, of this project or any other.

    Returns:
        ``state_dict``, with its ``_metadata`` where the file has it, and ``meta``.

    Raises:
        ValueError: The file is damaged.
    """
    state_dict: Any = OrderedDict()
    try:
        with safe_open(path, framework="pt") as file:
            for key in file.keys():  # noqa: SIM118  (it is no dict)
                state_dict[key] = file.get_tensor(key)
            stored = json.loads((file.metadata() or {}).get(_KEY, "{}"))
            modules, meta = stored.get("state_dict", {}), stored.get("meta", {})
            if not all(isinstance(each, dict) for each in (meta, modules, *modules.values())):
                raise TypeError("its metadata are of another form")
    except (SafetensorError, ValueError, TypeError, KeyError, AttributeError) as error:
        raise ValueError(
            f"{os.fspath(path)} cannot be read as a checkpoint: it is damaged, or holds what this "
            f"version of safetensors does not know ({error})"
        ) from error
    if modules:
        state_dict._metadata = modules
    return {"state_dict": state_dict, "meta": meta}


def save_safetensors(
    path: str | os.PathLike[str], weights: Mapping[str, Tensor], meta: Mapping[str, Any]
) -> None:
    """Write weights, their ``_metadata`` and ``meta`` as safetensors.

    Args:
        path: The file.
        weights: On the CPU; none shares memory with another.
        meta: Plain values of JSON.

    Raises:
        ValueError: A weight or a value cannot be stored.
    """
    sparse = [key for key, value in weights.items() if value.layout != torch.strided]
    if sparse:
        raise ValueError(f"{sparse[0]} is sparse, which safetensors cannot store; write a .pth")
    ours = {"state_dict": getattr(weights, "_metadata", {}), "meta": dict(meta)}
    dense = {key: value.contiguous() for key, value in weights.items()}
    try:
        # Under one key: of several, the order in the file would not be the same every time.
        save_file(dense, path, {_KEY: json.dumps(ours)})
    except (SafetensorError, KeyError, TypeError) as error:
        raise ValueError(f"the weights cannot be stored as safetensors ({error})") from error
