"""Writing checkpoints that hold weights and nothing else."""

from __future__ import annotations

import os
from collections import OrderedDict
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import torch
from torch import Tensor

from mms_ocr.models.weights.safetensors_files import save_safetensors
from mms_ocr.utils.bundled import SUFFIX
from mms_ocr.utils.files import atomic_path


def write_checkpoint(
    path: str | os.PathLike[str],
    weights: Mapping[str, Tensor],
    meta: Mapping[str, Any] | None = None,
    half: bool = False,
) -> None:
    """Write a checkpoint, ``state_dict`` and ``meta``, whole or not at all.

    Args:
        path: The file; an existing one is replaced. A name that ends in ``.safetensors`` makes it
            one of those, any other a checkpoint of MMEngine's.
        weights: The weights; what they tell of themselves, such as the grid of the positions, is
            kept.
        meta: Plain values about them.
        half: Store floating-point weights in half the bytes (fp16).

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
        # A part of a larger tensor would be stored with all of it.
        stored[key] = value.clone()
    stored._metadata = dict(getattr(weights, "_metadata", {}))
    target = Path(os.path.realpath(path))
    target.parent.mkdir(parents=True, exist_ok=True)
    with atomic_path(target) as unfinished:
        if target.suffix == SUFFIX:
            save_safetensors(unfinished, stored, meta or {})
        else:
            torch.save({"meta": dict(meta or {}), "state_dict": stored}, unfinished)
