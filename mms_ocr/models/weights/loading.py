"""Strict loading: all weights or none."""

from __future__ import annotations

import copy
import logging
import math
import re
from collections import OrderedDict
from collections.abc import Mapping, Sequence
from typing import Any

import torch
from mmengine.logging import print_log
from torch import Tensor, nn

from mms_ocr.models.weights.families import TIMM_PATCHES
from mms_ocr.models.weights.files import read_state_dict
from mms_ocr.models.weights.naming import list_names, match_names

_PATCHES = "backbone.patch_embed.projection.weight"
_REFINED = re.compile(r"decoder\.refine\.\d+\.bias")
# Names of the layers whose rows are characters, in MMOCR's decoders and ours.
CLASSIFIERS = ("decoder.classifier.", "decoder.trg_word_emb.", "decoder.cls.", "decoder.decoder.")


def fit_weights(
    own: Mapping[str, Tensor],
    state_dict: Mapping[str, Tensor],
    path: str,
    kind: str,
    exclude: Sequence[str] = (),
) -> Mapping[str, Tensor]:
    """Check weights against those of a model, and rename them to its names.

    An auxiliary head (``auxiliary`` of ``TextDecoder``), which is only used in training, may be in
    one of the two alone. The model keeps its own, which is logged.

    Args:
        own: Weights of the model; only names, shapes, types and minus infinities are used.
        state_dict: The weights, under any prefix; the encoder resizes positions of another grid.
        path: Path of the file, for messages.
        kind: Name of the model, for messages.
        exclude: Names of weights or modules that are not loaded.

    Raises:
        ValueError: A key is missing, unknown, of another shape or type, or not finite; the message
            counts them and names some of each kind. Or ``exclude`` matches nothing, or everything.
    """
    fitted: Any = copy.copy(match_names(state_dict, own, path))
    # Counters of batch normalization, which many converters leave out.
    counters = [key for key in own if key.endswith(".num_batches_tracked")]
    fitted.update((key, torch.tensor(0)) for key in counters if key not in fitted)
    _fit_auxiliary(own, fitted, path)
    if exclude:
        own, fitted = _without(own, fitted, exclude)
    faults: dict[str, list[str]] = {
        "missing": [key for key in own if key not in fitted],
        "unknown": [key for key in fitted if key not in own],
        "of another shape": [],
        "of another type": [],
        "not finite (NaN or infinite)": [],
    }
    for key, value in own.items():
        if key not in fitted:
            continue
        stored = fitted[key]
        # The encoder resizes its positions.
        if value.shape != stored.shape and not f".{key}".endswith(".pos_embed"):
            fault = f"{key} {tuple(stored.shape)} instead of {tuple(value.shape)}"
            faults["of another shape"].append(fault)
        if _kind(value) != _kind(stored):
            faults["of another type"].append(f"{key} {_type(stored)} instead of {_type(value)}")
        elif not stored.float().isfinite().all() and not _same_infinities(value, stored):
            faults["not finite (NaN or infinite)"].append(key)
    listed = [f"{len(keys)} {fault} ({list_names(keys)})" for fault, keys in faults.items() if keys]
    if listed:
        hint = _hint(own, fitted, [*faults["missing"], *faults["unknown"]])
        raise ValueError(
            f"{path} does not fit {kind}: of {len(own)} weights, {', '.join(listed)}{hint}"
        )
    weights: Mapping[str, Tensor] = fitted
    return weights


def auxiliary_names(weights: Mapping[str, Tensor]) -> list[str]:
    """Return the names of the weights of auxiliary heads."""
    return [key for key in weights if ".auxiliary." in f".{key}"]


def _fit_auxiliary(own: Mapping[str, Tensor], fitted: dict[str, Tensor], path: str) -> None:
    """Add or remove the auxiliary head of a state dict as the model has one or not."""
    ours, theirs = auxiliary_names(own), auxiliary_names(fitted)
    if ours and not theirs:
        print_log(f"{path} holds no auxiliary head; the model keeps its own", "current")
        fitted.update((key, own[key]) for key in ours)
    elif theirs and not ours:
        text = f"{path}: its auxiliary head is for training alone and is skipped"
        print_log(text, "current", logging.DEBUG)
        for key in theirs:
            del fitted[key]


def _kind(value: Tensor) -> tuple[bool, torch.layout]:
    return value.is_floating_point(), value.layout


def _same_infinities(own: Tensor, stored: Tensor) -> bool:
    """Return whether a constant mask has minus infinity in the same places as the model's own."""
    own, stored = own.float().cpu(), stored.float().cpu()  # float8 has no isfinite
    if own.shape != stored.shape or own.is_meta:
        return False
    hidden = own == float("-inf")
    return bool(torch.equal(hidden, stored == float("-inf")) and stored[~hidden].isfinite().all())


def _type(value: Tensor) -> str:
    return f"{value.layout} {value.dtype}".replace("torch.", "").removeprefix("strided ")


def load_strictly(module: nn.Module, state_dict: Mapping[str, Tensor], path: str) -> None:
    """Load all weights of a module; see :func:`fit_weights`.

    Raises:
        ValueError: The weights do not fit; the module is unchanged then.
    """
    own = module.state_dict()
    kind = type(module).__name__
    weights = fit_weights(own, state_dict, path, kind)
    before = {key: value.clone() for key, value in own.items()}
    try:
        module.load_state_dict(weights, strict=True)
    except (RuntimeError, ValueError) as error:
        for key, value in before.items():
            own[key].copy_(value)
        raise ValueError(f"{path} does not fit {kind}: {error}") from error


def _without(
    own: Mapping[str, Tensor], state_dict: dict[str, Tensor], exclude: Sequence[str]
) -> tuple[dict[str, Tensor], dict[str, Tensor]]:
    """Remove the excluded parts from the weights of a model and from a state dict."""

    def is_in(name: str, parts: Sequence[str]) -> bool:
        return any(f"{name}.".startswith(f"{part}.") for part in parts)

    for part in exclude:
        if not any(is_in(key, [part]) for key in [*own, *state_dict]):
            raise ValueError(
                f"{part!r} is excluded from loading, and neither the model nor the checkpoint has "
                f"such a part; they have {list_names(sorted({key.split('.')[0] for key in own}))}"
            )
    kept = {key: value for key, value in own.items() if not is_in(key, exclude)}
    if not kept:
        raise ValueError(f"everything is excluded from loading: {', '.join(exclude)}")
    metadata = {
        module: dict(stored)
        for module, stored in getattr(state_dict, "_metadata", {}).items()
        if not is_in(module, exclude)
    }
    for module, stored in metadata.items():
        if any(part.startswith(f"{module}.") for part in exclude):
            stored.pop("classes", None)  # an excluded layer may have other characters
    weights: Any = OrderedDict(pair for pair in state_dict.items() if not is_in(pair[0], exclude))
    weights._metadata = metadata
    return kept, weights


def _hint(own: Mapping[str, Tensor], loaded: Mapping[str, Tensor], unmatched: list[str]) -> str:
    """Guess the cause from the keys that are in one of the two alone, and from shapes."""
    if any(f".{key}".endswith(f".{TIMM_PATCHES}") for key in unmatched):
        return (
            "; the encoder has the names of another library: convert it with "
            "tools/model_converters/convert_weights.py"
        )
    task = task_of(loaded)
    if task and task != task_of(own):
        return f"; it holds the weights of {task}"
    for patches in (_PATCHES, _PATCHES.removeprefix("backbone.")):  # of a model, of it alone
        widths = [len(weights[patches]) for weights in (loaded, own) if patches in weights]
        if len(set(widths)) == 2:
            return f"; its encoder is {widths[0]} wide, and that of the config {widths[1]}"
    if any(key.startswith("decoder.") for key in unmatched):
        return "; its decoder is another than that of the config"
    if any(
        own[key].shape[:1] != loaded[key].shape[:1]
        for key in own
        if key.startswith(CLASSIFIERS) and key in loaded
    ):
        return "; the dictionary of the decoder is not that of the checkpoint"
    return ""


def task_of(weights: Mapping[str, Tensor]) -> str:
    """Name the kind of model that weights belong to, by their names; ``''`` if unknown."""
    if any(key.endswith(".mask_token") for key in weights):
        return "a pretraining run"
    if any(key.startswith(CLASSIFIERS) for key in weights):
        return "a recognizer"
    pixels = weights.get("decoder.pred.bias")
    if pixels is not None and _PATCHES in weights:
        stored = getattr(weights, "_metadata", {}).get("backbone", {})
        patch_size = stored.get("patch_size") or weights[_PATCHES].shape[-2:]
        # Three values a pixel at the resolution of the encoder, or one at any resolution; from
        # convolutions, both for the pixels of a square, whose side divides a patch.
        refined = [value for key, value in weights.items() if _REFINED.fullmatch(key)]
        if refined:
            is_color = len(refined[-1]) % 3 == 0
        else:
            is_color = len(pixels) == 3 * math.prod(patch_size)
        return "a super-resolution model" if is_color else "a segmentor"
    if _PATCHES in weights and not any(key.startswith("decoder.") for key in weights):
        return "an encoder alone"
    return ""


def load_model(model: nn.Module, path: str) -> None:
    """Load a model, wrapped (``module``) or not, from a checkpoint; ValueError if it is unfit."""
    load_strictly(getattr(model, "module", model), read_state_dict(path), path)
