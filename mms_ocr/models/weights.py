"""Reading checkpoints without running anything in them, and loading weights strictly."""

from __future__ import annotations

import functools
import os
import pickle
import re
from collections import OrderedDict
from collections.abc import Callable, Mapping, Sequence
from typing import Any

import numpy as np
import torch
from mmengine.logging.history_buffer import HistoryBuffer
from torch import Tensor, nn

from mms_ocr.registry import WEIGHT_INITIALIZERS

__all__ = [
    "PretrainedTextViT",
    "load_model",
    "load_strictly",
    "read_checkpoint",
    "read_state_dict",
    "take_encoder",
]

# What MMEngine puts into a checkpoint beside tensors and plain Python values: the history of the
# log, as NumPy arrays. Nothing else is ever built from a file.
ALLOWED_TYPES: list[Any] = [
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
# Parameters of an encoder stand under one of these in a checkpoint, or under nothing.
ENCODER_PREFIXES = ("backbone.", "module.backbone.", "model.backbone.", "")
MAX_LISTED = 6


def read_checkpoint(path: str | os.PathLike[str], map_location: str = "cpu") -> dict[str, Any]:
    """Read a checkpoint file; only tensors, plain values and :data:`ALLOWED_TYPES` are built.

    Raises:
        FileNotFoundError: There is no such file.
        ValueError: It is no checkpoint, is damaged, or holds objects that are not allowed.
    """
    path = os.fspath(path)
    if not os.path.isfile(path):
        raise FileNotFoundError(f"no checkpoint {path}")
    try:
        with torch.serialization.safe_globals([*ALLOWED_TYPES, *ALLOWED_FUNCTIONS]):
            checkpoint = torch.load(path, map_location=map_location, weights_only=True)
    except pickle.UnpicklingError as error:
        raise ValueError(f"{path} {_refusal(error)}") from error
    except (PermissionError, MemoryError):
        raise
    except Exception as error:  # a damaged file may end in nearly any of them
        raise ValueError(
            f"{path} cannot be read as a checkpoint: it is damaged or another kind of file "
            f"({str(error).splitlines()[0] if str(error) else type(error).__name__})"
        ) from error
    if not isinstance(checkpoint, Mapping):
        raise ValueError(f"{path} holds a {type(checkpoint).__name__} and no state dict")
    return dict(checkpoint) if "state_dict" in checkpoint else {"state_dict": checkpoint}


def _refusal(error: pickle.UnpicklingError) -> str:
    named = re.search(r"[Uu]nsupported (?:global: )?GLOBAL (\S+)", str(error))
    if named:
        return (
            f"was refused: it carries the object {named[1]}, and checkpoints may hold weights only"
        )
    return "cannot be read as a checkpoint: it is damaged or another kind of file"


def read_state_dict(path: str | os.PathLike[str]) -> dict[str, Tensor]:
    """The ``state_dict`` of a checkpoint, or the checkpoint itself where it is one.

    Raises:
        FileNotFoundError: There is no such file.
        ValueError: It is no checkpoint of weights.
    """
    state_dict = read_checkpoint(path)["state_dict"]
    others = [key for key, value in state_dict.items() if not isinstance(value, Tensor)]
    if others or not state_dict:
        what = f"values that are no tensors ({_listed(others)})" if others else "no weights"
        raise ValueError(f"{path} holds {what}")
    return state_dict


def take_encoder(state_dict: Mapping[str, Tensor], path: str) -> dict[str, Tensor]:
    """The encoder's part of a state dict, with its keys as :class:`TextViT` names them.

    Args:
        state_dict: Of an MMS run, a recognizer, or an encoder alone.
        path: Where it is from, for the message of an error.

    Raises:
        ValueError: There is no encoder in it.
    """
    for prefix in ENCODER_PREFIXES:
        if f"{prefix}patch_embed.projection.weight" in state_dict:
            keys = [key for key in state_dict if key.startswith(prefix)]
            taken = OrderedDict((key[len(prefix) :], state_dict[key]) for key in keys)
            metadata = getattr(state_dict, "_metadata", {})
            at = prefix[:-1]
            # Tells the true grid of the positions, see TextViT.
            taken._metadata = {"": metadata[at]} if at in metadata else {}  # type: ignore[attr-defined]
            return taken
    raise ValueError(
        f"{path} holds no encoder: none of its {len(state_dict)} keys is "
        f"patch_embed.projection.weight, with or without 'backbone.' ({_listed(list(state_dict))})"
    )


def load_strictly(module: nn.Module, state_dict: Mapping[str, Tensor], path: str) -> None:
    """Load weights, every one of them.

    Args:
        module: Takes the weights.
        state_dict: The weights; positions of another grid are resized by the encoder.
        path: Where they are from, for the message of an error.

    Raises:
        ValueError: A key is missing, unknown or of another shape; all of them are counted, and some
            of each kind named. The module is unchanged then.
    """
    own = module.state_dict()
    missing = [key for key in own if key not in state_dict]
    unknown = [key for key in state_dict if key not in own]
    misshapen = [
        f"{key} {tuple(state_dict[key].shape)} instead of {tuple(own[key].shape)}"
        for key in own
        if key in state_dict
        and own[key].shape != state_dict[key].shape
        and not f".{key}".endswith(".pos_embed")
    ]
    kinds = {"missing": missing, "unknown": unknown, "of another shape": misshapen}
    faults = [f"{len(keys)} {kind} ({_listed(keys)})" for kind, keys in kinds.items() if keys]
    if faults:
        raise ValueError(
            f"{path} does not fit {type(module).__name__}: of {len(own)} weights, "
            + ", ".join(faults)
        )
    before = {key: value.clone() for key, value in own.items()}
    try:
        module.load_state_dict(state_dict, strict=True)
    except (RuntimeError, ValueError) as error:
        for key, value in before.items():
            own[key].copy_(value)
        raise ValueError(f"{path} does not fit {type(module).__name__}: {error}") from error


def load_model(model: nn.Module, path: str) -> None:
    """Load a whole model from a checkpoint, strictly.

    Raises:
        FileNotFoundError: There is no such file.
        ValueError: It is no checkpoint, or does not fit the model.
    """
    wrapped = getattr(model, "module", model)
    load_strictly(wrapped, read_state_dict(path), path)


def _listed(keys: Sequence[str]) -> str:
    more = f" and {len(keys) - MAX_LISTED} more" if len(keys) > MAX_LISTED else ""
    return ", ".join(keys[:MAX_LISTED]) + more


@WEIGHT_INITIALIZERS.register_module()
class PretrainedTextViT:
    """Loads a pretrained encoder into :class:`~mms_ocr.models.TextViT`, strictly.

    Used as ``init_cfg=dict(type='mms_ocr.PretrainedTextViT', checkpoint='….pth')`` on the backbone
    of any model.

    Args:
        checkpoint: A checkpoint of an MMS run, of a model with such a backbone, or of an encoder
            alone.
    """

    def __init__(self, checkpoint: str) -> None:
        self.checkpoint = checkpoint

    def __call__(self, module: nn.Module) -> None:
        """Load the weights.

        Raises:
            FileNotFoundError: There is no such file.
            ValueError: It is no checkpoint, holds no encoder, or one that does not fit.
        """
        encoder = take_encoder(read_state_dict(self.checkpoint), self.checkpoint)
        load_strictly(module, encoder, self.checkpoint)
