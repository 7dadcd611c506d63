"""Checkpoints: reading without running code, and strict loading."""

from mms_ocr.models.weights.families import (
    FAMILIES,
    EncoderWeights,
    find_encoder,
    find_recognizer,
    timm_names,
)
from mms_ocr.models.weights.files import (
    check_values,
    read_checkpoint,
    read_state_dict,
    write_checkpoint,
)
from mms_ocr.models.weights.initializers import (
    PretrainedModel,
    PretrainedRecognizer,
    PretrainedTextViT,
)
from mms_ocr.models.weights.loading import auxiliary_names, fit_weights, load_model, load_strictly

__all__ = [
    "FAMILIES",
    "EncoderWeights",
    "PretrainedModel",
    "PretrainedRecognizer",
    "PretrainedTextViT",
    "auxiliary_names",
    "check_values",
    "find_encoder",
    "find_recognizer",
    "fit_weights",
    "load_model",
    "load_strictly",
    "read_checkpoint",
    "read_state_dict",
    "timm_names",
    "write_checkpoint",
]
