"""Recognizers in torch, and MMOCR's own inferencer; needs MMOCR."""

from __future__ import annotations

import os
import warnings
from collections.abc import Callable, Sequence
from typing import TYPE_CHECKING, Any

import torch
from mmengine.config import Config
from mmengine.dataset import Compose, pseudo_collate
from mmengine.registry import DefaultScope

from mms_ocr.apis.input_images import InputImage, image_fields
from mms_ocr.apis.tasks import RECOGNITION, choose_weights
from mms_ocr.apis.torch_models import TorchModel
from mms_ocr.apis.trained_models import load_config
from mms_ocr.evaluation.word_benchmark import text_confidence
from mms_ocr.models.weights import load_model
from mms_ocr.registry import type_name
from mms_ocr.utils.devices import usable_device

if TYPE_CHECKING:
    from mmocr.apis import TextRecInferencer

# Transforms that load images, which are loaded here already, and labels, which are missing.
_LOADING = ("LoadImageFromFile", "LoadImageFromNDArray", "InferencerLoader", "LoadOCRAnnotations")
_PACKING = ("PackLabelledWord", "PackTextRecogInputs")
# What loading with color_type='grayscale' does, on BGR images and by OpenCV's weights.
_TO_GRAY = dict(
    type="mmcv.RandomGrayscale",
    prob=1.0,
    keep_channels=False,
    channel_weights=(0.114, 0.587, 0.299),
    color_format="bgr",
)


#: Text, its confidence and those of its characters.
Word = tuple[str, float | None, tuple[float, ...] | None]


class TorchReader(TorchModel):
    """Recognizer in torch; see :class:`~mms_ocr.apis.torch_models.TorchModel`."""

    task = RECOGNITION

    def __init__(self, *args: Any) -> None:
        super().__init__(*args)
        with DefaultScope.overwrite_default_scope(self.cfg.get("default_scope", "mms_ocr")):
            self._pipeline = Compose(inference_pipeline(self.cfg))

    def predict(self, images: Sequence[InputImage]) -> list[Word | None]:
        """Read a batch: text, its confidence and those of its characters for each image.

        An image that the pipeline rejects has None.
        """
        packed = [self._pipeline(image_fields(item)) for item in images]
        usable = [fields for fields in packed if fields is not None]
        with torch.inference_mode():
            predicted = iter(self.model.test_step(pseudo_collate(usable)) if usable else ())
        words: list[Word | None] = []
        for fields in packed:
            text = None if fields is None else next(predicted).pred_text
            if text is None:
                words.append(None)
            else:
                confidences = text_confidence(text), character_confidences(text)
                words.append((text.item, *confidences))
        return words


def character_confidences(pred_text: Any) -> tuple[float, ...] | None:
    """Return the confidence of each character of a word of MMOCR; None if it has none.

    They are ``char_confidences``, as the decoders here give them, or MMOCR's ``score``. A token
    such as ``<UKN>`` is several characters, so that a word with it has none either.
    """
    values = pred_text.get("char_confidences", pred_text.get("score"))
    if values is None or len(values) != len(pred_text.get("item")):
        return None
    return tuple(map(float, values))


def inference_pipeline(cfg: Config) -> list[dict | Callable]:
    """Select the transforms of a config's test set for loaded images without labels.

    Raises:
        ValueError: The config has no test pipeline, or one that does not end in packing.
    """
    pipeline = ((cfg.get("test_dataloader") or {}).get("dataset") or {}).get("pipeline")
    if not pipeline:
        pipeline = cfg.get("test_pipeline")
    if not pipeline:
        raise ValueError(f"{cfg.filename} has no test_dataloader.dataset.pipeline to read with")
    kept = [step for step in pipeline if type_name(step) not in _LOADING]
    if not kept or type_name(kept[-1]) not in _PACKING:
        packing = " or ".join(_PACKING)
        raise ValueError(f"{cfg.filename}: the test pipeline does not end in {packing}")
    if any(step.get("color_type") == "grayscale" for step in pipeline):
        kept.insert(0, dict(_TO_GRAY))
    keys = ("img_path", "ori_shape", "img_shape", "valid_ratio")
    return [*kept[:-1], dict(type="mmocr.PackTextRecogInputs", meta_keys=keys)]


def inferencer_config(config: str | os.PathLike[str] | Config) -> Config:
    """Convert a config for MMOCR's ``TextRecInferencer(model=…)``; see :class:`TorchReader`."""
    cfg = load_config(config, "", RECOGNITION)
    # The inferencer replaces the transform of this name by its own loader.
    pipeline = [dict(type="LoadImageFromNDArray"), *inference_pipeline(cfg)]
    cfg.test_dataloader = dict(dataset=dict(pipeline=pipeline))
    cfg.visualizer = dict(type="mmocr.TextRecogLocalVisualizer", name="read")
    return cfg


def mmocr_inferencer(
    weights: str | os.PathLike[str] | None = None,
    config: str | os.PathLike[str] | Config | None = None,
    device: str | None = None,
) -> TextRecInferencer:
    """Build MMOCR's ``TextRecInferencer``, with weights loaded strictly and without running code.

    ``TextRecInferencer(weights=…)`` itself runs the code in a checkpoint, and only logs weights
    that do not fit. The arguments are those of
    :class:`~mms_ocr.apis.reading.WordReader`.
    """
    from mmocr.apis import TextRecInferencer

    weights = choose_weights(weights, RECOGNITION)
    cfg = inferencer_config(load_config(config, weights, RECOGNITION))
    with warnings.catch_warnings():
        warnings.filterwarnings("ignore", "Checkpoint is not loaded")  # they are loaded below
        inferencer = TextRecInferencer(model=cfg, device=usable_device(device))
    load_model(inferencer.model, weights)
    return inferencer
