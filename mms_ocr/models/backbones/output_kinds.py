"""Outputs that the models of each library expect of an encoder: a tensor or a tuple."""

from __future__ import annotations

from typing import Any

from torch import Tensor, nn
from torch.nn.modules.module import register_module_module_registration_hook

# MMPretrain's classifiers and MMSegmentation's heads use the last element of the output, which of a
# tensor is the last image of the batch.
_TAKE_TUPLES = {
    "mmpretrain.models.classifiers": True,
    "mmseg.models.segmentors": True,
    "mmocr.models.textrecog.recognizers": False,
}


def describe_output(output: Any) -> str:
    """Describe the output of an encoder for an error, and how to get one tensor from it."""
    if isinstance(output, Tensor):
        return str(tuple(output.shape))
    return f"a {type(output).__name__}; with out_indices=-1, TextViT gives one tensor"


def _note_mismatch(model: nn.Module, name: str, encoder: Any) -> None:
    """Store in an encoder why its outputs do not fit the model that it becomes a part of."""
    if name != "backbone" or not hasattr(encoder, "single_output"):
        return
    encoder.output_mismatch = None
    modules = [kind.__module__ for kind in type(model).__mro__]
    for library, takes_tuple in _TAKE_TUPLES.items():
        is_owner = any(module.startswith(library) for module in modules)
        if is_owner and takes_tuple == encoder.single_output:
            expected, indices = ("a tuple", "[-1]") if takes_tuple else ("one tensor", "-1")
            encoder.output_mismatch = (
                f"{type(model).__name__} takes {expected} and TextViT gives another kind of "
                f"output; set out_indices={indices} on TextViT"
            )


register_module_module_registration_hook(_note_mismatch)
