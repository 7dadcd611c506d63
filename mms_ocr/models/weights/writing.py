"""Checkpoints of weights alone, in the formats of torch and of safetensors."""

from __future__ import annotations

import json
import os
from collections import OrderedDict
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import torch
from safetensors import SafetensorError
from safetensors.torch import save_file
from torch import Tensor

from mms_ocr.utils.bundled import SUFFIX
from mms_ocr.utils.files import atomic_path

#: Key of our metadata, JSON, in the metadata of safetensors.
METADATA_KEY = "mms_ocr"


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
        stored[key] = value.clone()  # a view would be stored with its whole base
    stored._metadata = dict(getattr(weights, "_metadata", {}))
    Path(os.path.realpath(path)).parent.mkdir(parents=True, exist_ok=True)
    with atomic_path(path) as temporary:
        if Path(path).suffix == SUFFIX:
            _save_safetensors(temporary, stored, meta or {})
        else:
            torch.save({"meta": dict(meta or {}), "state_dict": stored}, temporary)


def _save_safetensors(path: Path, weights: dict[str, Tensor], meta: Mapping[str, Any]) -> None:
    for key, value in weights.items():
        if value.layout != torch.strided:
            raise ValueError(f"{key} is sparse, which safetensors cannot store; write a .pth")
    ours = {"state_dict": weights._metadata, "meta": dict(meta)}  # type: ignore[attr-defined]
    dense = {key: value.contiguous() for key, value in weights.items()}
    try:
        # A single key: safetensors writes several in random order.
        save_file(dense, path, {METADATA_KEY: json.dumps(ours)})
    except (SafetensorError, KeyError, TypeError) as error:
        raise ValueError(f"the weights cannot be stored as safetensors ({error})") from error
