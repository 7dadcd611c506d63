"""What the models of each library take of an encoder: one tensor, or a tuple of them."""

from __future__ import annotations

from typing import Any

from torch import Tensor, nn

from mms_ocr.models.backbones.text_vit import TextViT

__all__ = ["check_outputs", "describe_output"]

_TAKE_TUPLES = (
    "mmpretrain.models.classifiers",
    "mmdet.models.detectors",
    "mmseg.models.segmentors",
)
_TAKE_TENSORS = ("mmocr.models.textrecog.recognizers", "mms_ocr.models.pixel")


def check_outputs(model: nn.Module) -> None:
    """Make sure that a :class:`TextViT` gives its model what that takes.

    Classifiers of MMPretrain take the last of what they get: of a plain tensor that is the last
    image of the batch.

    Raises:
        ValueError: It gives a tensor to a model that takes tuples, or the other way round.
    """
    backbone = getattr(model, "backbone", None)
    if not isinstance(backbone, TextViT):
        return
    modules = [kind.__module__ for kind in type(model).__mro__]
    takes_tuple = any(module.startswith(_TAKE_TUPLES) for module in modules)
    takes_tensor = any(module.startswith(_TAKE_TENSORS) for module in modules)
    if takes_tuple and backbone.single_output:
        raise ValueError(
            f"{type(model).__name__} takes a tuple of outputs, and TextViT gives one tensor; set "
            "out_indices=[-1] on TextViT"
        )
    if takes_tensor and not backbone.single_output:
        raise ValueError(
            f"{type(model).__name__} takes one tensor, and TextViT gives a tuple; set "
            "out_indices=-1 on TextViT"
        )


def describe_output(output: Any) -> str:
    """What an encoder gave, for the message of an error, and how to get one tensor from it."""
    if isinstance(output, Tensor):
        return str(tuple(output.shape))
    return f"a {type(output).__name__}; with out_indices=-1, TextViT gives one tensor"
