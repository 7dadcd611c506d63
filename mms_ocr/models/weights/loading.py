"""Loading weights, every one of them or none."""

from __future__ import annotations

import copy
import math
from collections import OrderedDict
from collections.abc import Mapping, Sequence
from typing import Any

import torch
from mmengine.logging import print_log
from torch import Tensor, nn

from mms_ocr.models.weights.families import TIMM_PATCHES
from mms_ocr.models.weights.naming import match_names
from mms_ocr.models.weights.reading import read_state_dict
from mms_ocr.models.weights.wording import listed

_PATCHES = "backbone.patch_embed.projection.weight"
# What names the classes of MMOCR's decoders and of ours.
CLASSIFIERS = ("decoder.classifier.", "decoder.trg_word_emb.", "decoder.cls.", "decoder.decoder.")


def fit_weights(
    own: Mapping[str, Tensor],
    state_dict: Mapping[str, Tensor],
    path: str,
    kind: str,
    exclude: Sequence[str] = (),
) -> Mapping[str, Tensor]:
    """Check weights against those of a model, and give them its names.

    A head that only helps to train (``auxiliary`` of ``TextDecoder``) may be in one of the two
    alone, which is logged: that of the checkpoint is left out, that of the model stays as it is.

    Args:
        own: The model's weights, of which shapes and types matter.
        state_dict: The weights, whatever is before their names; positions of another grid are
            resized by the encoder.
        path: Where they are from, for the message of an error.
        kind: What the model is, likewise.
        exclude: Names of weights, or of modules, that the model keeps as they are.

    Raises:
        ValueError: A key is missing, unknown, of another shape or type, or not finite; all of them
            are counted, and some of each kind named. Or ``exclude`` names nothing, or everything.
    """
    state_dict = match_names(state_dict, own, path)
    # Torch's counters of batches, which few need and many converters leave out, start at 0.
    counters = [key for key in own if key.endswith(".num_batches_tracked")]
    if uncounted := {key: torch.tensor(0) for key in counters if key not in state_dict}:
        state_dict = copy.copy(state_dict)
        state_dict.update(uncounted)  # type: ignore[attr-defined]
    state_dict = _fit_auxiliary(own, state_dict, path)
    if exclude:
        own, state_dict = _without(own, state_dict, exclude)
    missing = [key for key in own if key not in state_dict]
    unknown = [key for key in state_dict if key not in own]
    common = [key for key in own if key in state_dict]
    misshapen = [
        f"{key} {tuple(state_dict[key].shape)} instead of {tuple(own[key].shape)}"
        for key in common
        if own[key].shape != state_dict[key].shape and not f".{key}".endswith(".pos_embed")
    ]
    mistyped = {
        key: f"{key} {_type(state_dict[key])} instead of {_type(own[key])}"
        for key in common
        if own[key].is_floating_point() != state_dict[key].is_floating_point()
        or own[key].layout != state_dict[key].layout
    }
    broken = [key for key in common if key not in mistyped and not _is_finite(state_dict[key])]
    kinds = {
        "missing": missing,
        "unknown": unknown,
        "of another shape": misshapen,
        "of another type": list(mistyped.values()),
        "not finite (NaN or infinite)": broken,
    }
    faults = [f"{len(keys)} {fault} ({listed(keys)})" for fault, keys in kinds.items() if keys]
    if faults:
        raise ValueError(
            f"{path} does not fit {kind}: of {len(own)} weights, "
            + ", ".join(faults)
            + _hint(own, state_dict, missing, unknown)
        )
    return state_dict


def auxiliary_names(weights: Mapping[str, Tensor]) -> list[str]:
    """Names of the weights of a head that only helps to train, ``auxiliary`` of a decoder."""
    return [key for key in weights if ".auxiliary." in f".{key}"]


def _fit_auxiliary(
    own: Mapping[str, Tensor], state_dict: Mapping[str, Tensor], path: str
) -> Mapping[str, Tensor]:
    """A state dict with auxiliary heads where the model has them, and without where it has none."""
    wanted, given = auxiliary_names(own), auxiliary_names(state_dict)
    if bool(wanted) == bool(given):
        return state_dict
    fitted: Any = copy.copy(state_dict)
    if wanted:
        print_log(f"{path} holds no auxiliary head; that of the model stays as it is", "current")
        fitted.update((key, own[key]) for key in wanted)
    else:
        print_log(f"{path}: its auxiliary head only helps to train and is left out", "current")
        for key in given:
            del fitted[key]
    return fitted


def _type(value: Tensor) -> str:
    layout = "" if value.layout == torch.strided else f"{value.layout} "
    return f"{layout}{value.dtype}".replace("torch.", "")


def _is_finite(value: Tensor) -> bool:
    value = value.float() if value.element_size() == 1 else value  # float8 has no isfinite
    return bool(value.isfinite().all())


def load_strictly(module: nn.Module, state_dict: Mapping[str, Tensor], path: str) -> None:
    """Load weights, every one of them.

    Args:
        module: Takes the weights.
        state_dict: The weights, see :func:`fit_weights`.
        path: Where they are from, for the message of an error.

    Raises:
        ValueError: The weights do not fit, see :func:`fit_weights`. The module is unchanged then.
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
    own: Mapping[str, Tensor], state_dict: Mapping[str, Tensor], exclude: Sequence[str]
) -> tuple[dict[str, Tensor], dict[str, Tensor]]:
    """The weights of a model, and those of a state dict, outside of some parts of the model."""

    def is_excluded(name: str) -> bool:
        return any(f"{name}.".startswith(f"{part}.") for part in exclude)

    for part in exclude:
        if not any(f"{key}.".startswith(f"{part}.") for key in [*own, *state_dict]):
            raise ValueError(
                f"{part!r} is excluded from loading, and neither the model nor the checkpoint has "
                f"such a part; they have {listed(sorted({key.split('.')[0] for key in own}))}"
            )
    kept = {key: value for key, value in own.items() if not is_excluded(key)}
    if not kept:
        raise ValueError(f"everything is excluded from loading: {', '.join(exclude)}")
    weights: Any = OrderedDict(
        (key, value) for key, value in state_dict.items() if not is_excluded(key)
    )
    # A decoder of which a part is excluded may be of other characters.
    weights._metadata = {
        module: {
            key: value
            for key, value in stored.items()
            if key != "classes" or not any(part.startswith(f"{module}.") for part in exclude)
        }
        for module, stored in getattr(state_dict, "_metadata", {}).items()
        if not is_excluded(module)
    }
    return kept, weights


def _hint(
    own: Mapping[str, Tensor],
    given: Mapping[str, Tensor],
    missing: Sequence[str],
    unknown: Sequence[str],
) -> str:
    """What is most likely wrong, where the keys tell."""
    if any(f".{key}".endswith(f".{TIMM_PATCHES}") for key in unknown):
        return (
            "; the encoder has the names of another library, which "
            "tools/model_converters/convert_weights.py converts"
        )
    wanted, found = task_of(own), task_of(given)
    if found and found != wanted:
        return f"; it holds the weights of {found}"
    for patches in (_PATCHES, _PATCHES.removeprefix("backbone.")):  # of a model, of it alone
        widths = [len(weights[patches]) for weights in (given, own) if patches in weights]
        if len(set(widths)) == 2:
            return f"; its encoder is {widths[0]} wide, and that of the config {widths[1]}"
    if any(key.startswith("decoder.") for key in [*missing, *unknown]):
        return "; its decoder is another than that of the config"
    if any(
        own[key].shape[:1] != given[key].shape[:1]
        for key in own
        if key.startswith(CLASSIFIERS) and key in given
    ):
        return "; the dictionary of the decoder is not that of the checkpoint"
    return ""


def task_of(weights: Mapping[str, Tensor]) -> str:
    """What the weights of a model are for, as far as their names tell; ``''`` where they do not."""
    if any(key.endswith(".mask_token") for key in weights):
        return "a pretraining run"
    if any(key.startswith(CLASSIFIERS) for key in weights):
        return "a recognizer"
    pixels = weights.get("decoder.pred.bias")
    if pixels is not None and _PATCHES in weights:
        stored = getattr(weights, "_metadata", {}).get("backbone", {})
        patch_size = stored.get("patch_size") or weights[_PATCHES].shape[-2:]
        # Three values a pixel at the resolution of the encoder, or one at any.
        is_color = len(pixels) == 3 * math.prod(patch_size)
        return "a super-resolution model" if is_color else "a segmentor"
    if _PATCHES in weights and not any(key.startswith("decoder.") for key in weights):
        return "an encoder alone"
    return ""


def load_model(model: nn.Module, path: str) -> None:
    """Load a whole model from a checkpoint, strictly.

    Raises:
        FileNotFoundError: There is no such file.
        ValueError: It is no checkpoint, or does not fit the model.
    """
    wrapped = getattr(model, "module", model)
    load_strictly(wrapped, read_state_dict(path), path)
