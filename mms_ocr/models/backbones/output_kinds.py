"""Outputs that the models of each library expect of an encoder: a tensor or a tuple."""

from __future__ import annotations

from typing import Any

from torch import Tensor, nn
from torch.nn.modules.module import register_module_module_registration_hook

_TAKE_TUPLES = ("mmpretrain.models.classifiers", "mmseg.models.segmentors")
_TAKE_TENSORS = ("mmocr.models.textrecog.recognizers", "mms_ocr.models.pixel")


def describe_mismatch(model: nn.Module, gives_tensor: bool) -> str | None:
    """Describe why the outputs of an encoder do not fit its model; None if they do.

    MMPretrain's classifiers and MMSegmentation's heads use the last element of the output, which of
    a tensor is the last image of the batch.

    Args:
        model: The model; those of other libraries may take either.
        gives_tensor: Whether its encoder gives a tensor, not a tuple.
    """
    modules = [kind.__module__ for kind in type(model).__mro__]
    kind = type(model).__name__
    if gives_tensor and any(module.startswith(_TAKE_TUPLES) for module in modules):
        return (
            f"{kind} takes a tuple of outputs, and TextViT gives one tensor; set out_indices=[-1] "
            "on TextViT"
        )
    if not gives_tensor and any(module.startswith(_TAKE_TENSORS) for module in modules):
        return f"{kind} takes one tensor, and TextViT gives a tuple; set out_indices=-1 on TextViT"
    return None


def describe_output(output: Any) -> str:
    """Describe the output of an encoder for an error, and how to get one tensor from it."""
    if isinstance(output, Tensor):
        return str(tuple(output.shape))
    return f"a {type(output).__name__}; with out_indices=-1, TextViT gives one tensor"


def _note_mismatch(model: nn.Module, name: str, module: Any) -> None:
    if name == "backbone" and hasattr(module, "single_output"):
        module.output_mismatch = describe_mismatch(model, module.single_output)


# Called when a module becomes a part of another; an encoder does not know its model.
register_module_module_registration_hook(_note_mismatch)
