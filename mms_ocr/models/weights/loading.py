"""Loading weights, every one of them or none."""

from __future__ import annotations

from collections.abc import Mapping, Sequence

from torch import Tensor, nn

from mms_ocr.models.weights.families import TIMM_PATCHES
from mms_ocr.models.weights.reading import read_state_dict
from mms_ocr.models.weights.wording import listed

__all__ = ["load_model", "load_strictly"]

# What names the classes of MMOCR's decoders and of ours.
CLASSIFIERS = ("decoder.classifier.", "decoder.trg_word_emb.", "decoder.cls.", "decoder.decoder.")


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
    faults = [f"{len(keys)} {kind} ({listed(keys)})" for kind, keys in kinds.items() if keys]
    if faults:
        raise ValueError(
            f"{path} does not fit {type(module).__name__}: of {len(own)} weights, "
            + ", ".join(faults)
            + _hint(unknown, misshapen)
        )
    before = {key: value.clone() for key, value in own.items()}
    try:
        module.load_state_dict(state_dict, strict=True)
    except (RuntimeError, ValueError) as error:
        for key, value in before.items():
            own[key].copy_(value)
        raise ValueError(f"{path} does not fit {type(module).__name__}: {error}") from error


def _hint(unknown: Sequence[str], misshapen: Sequence[str]) -> str:
    """What is most likely wrong, where the keys tell."""
    if any(f".{key}".endswith(f".{TIMM_PATCHES}") for key in unknown):
        return (
            "; the encoder has the names of another library, which "
            "tools/model_converters/convert_weights.py converts"
        )
    if any(fault.startswith(CLASSIFIERS) for fault in misshapen):
        return "; the dictionary of the decoder is not that of the checkpoint"
    return ""


def load_model(model: nn.Module, path: str) -> None:
    """Load a whole model from a checkpoint, strictly.

    Raises:
        FileNotFoundError: There is no such file.
        ValueError: It is no checkpoint, or does not fit the model.
    """
    wrapped = getattr(model, "module", model)
    load_strictly(wrapped, read_state_dict(path), path)
