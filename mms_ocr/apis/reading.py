"""Reading words in images with a trained recognizer, as a Python call. Needs MMOCR."""

from __future__ import annotations

import os
import warnings
from collections.abc import Callable, Iterable, Iterator, Mapping
from dataclasses import dataclass
from itertools import islice
from typing import TYPE_CHECKING, Any, TypeAlias

import numpy as np
import torch
from mmengine.config import Config
from mmengine.dataset import Compose, pseudo_collate
from mmengine.registry import DefaultScope

from mms_ocr.apis.input_images import (
    BrokenImage,
    InputImage,
    each_image,
    input_images,
    is_one_image,
)
from mms_ocr.apis.trained_models import (
    RECOGNITION,
    build_trained,
    choose_weights,
    load_config,
)
from mms_ocr.evaluation.word_benchmark import text_confidence
from mms_ocr.models.weights import load_model
from mms_ocr.registry import type_name
from mms_ocr.utils.cfg_options import merge_cfg_options
from mms_ocr.utils.devices import usable_device

if TYPE_CHECKING:
    from mmocr.apis import TextRecInferencer

#: A path or pattern, the bytes of an image file, or uint8 BGR ``(H, W, 3)`` (gray: ``(H, W)``).
WordImage: TypeAlias = "str | os.PathLike[str] | bytes | np.ndarray"

# Transforms that load what an image here has already, or has not at all.
_LOADING = ("LoadImageFromFile", "LoadImageFromNDArray", "InferencerLoader", "LoadOCRAnnotations")
_PACKING = ("PackLabelledWord", "PackTextRecogInputs")


@dataclass(frozen=True)
class Reading:
    """What was read in one image.

    Attributes:
        name: Path of the image, or its place among those given, such as ``image 3``.
        text: The word; None where the image could not be used.
        confidence: How sure the model is of the word, in [0, 1]; None where it does not say.
        error: Why the image could not be used.
    """

    name: str
    text: str | None = None
    confidence: float | None = None
    error: str | None = None


class WordReader:
    """Reads words with a recognizer: any of MMOCR's, and those of ``configs/textrecog``.

    ``WordReader()("word.png").text`` is the shortest way. Nothing in a checkpoint is run: weights
    are loaded strictly, and the config that MMEngine stores in it is not used.

    Args:
        weights: Bundled weights (``'mms_vit_n_ctc'``; ``mms-ocr zoo`` lists them) or a checkpoint;
            None for the bundled reader.
        config: Its config: a file, the name of one that ships (``'mms_vit_s_ar_words'``), or a
            Config. None takes the shipped config that the checkpoint says it was trained with, else
            one of ``mms_vit_{n,t,s,b}_{ar,ctc}_words`` and ``mms_vit_s_ctc_words_probe``, whichever
            has the encoder's size and the decoder.
        device: ``'cpu'``, ``'cuda'``, ``'cuda:1'``, …; by default a GPU where there is one.
        options: Changes to the config, such as ``{'model.decoder.max_seq_len': 25}``.

    Raises:
        FileNotFoundError: The config or the checkpoint is missing.
        ValueError: The checkpoint does not fit, or the config is of no recognizer.
    """

    def __init__(
        self,
        weights: str | os.PathLike[str] | None = None,
        config: str | os.PathLike[str] | Config | None = None,
        device: str | None = None,
        options: Mapping[str, Any] | None = None,
    ) -> None:
        weights = choose_weights(weights, RECOGNITION)
        self.device = torch.device(usable_device(device))
        self.cfg = recognizer_config(config, weights)
        merge_cfg_options(self.cfg, options)
        with DefaultScope.overwrite_default_scope(self.cfg.get("default_scope", "mms_ocr")):
            self._pipeline = Compose(inference_pipeline(self.cfg))
        self.model: Any = build_trained(self.cfg, weights, str(self.device))

    def __call__(
        self, images: WordImage | Iterable[WordImage], batch_size: int = 64
    ) -> Reading | list[Reading]:
        """Read one image, or several.

        Args:
            images: See :func:`~mms_ocr.apis.input_images.each_image`.
            batch_size: How many go through the model at once.

        Returns:
            A Reading for one image file, array or the bytes of a file; else a list of them.

        Raises:
            FileNotFoundError: A path is missing; :meth:`stream` goes on with the others.
            ValueError: An image cannot be used, likewise.
        """
        readings = [reading for reading, _ in self._read(input_images(images), batch_size)]
        broken = [reading for reading in readings if reading.error is not None]
        if broken:
            raise ValueError(f"{broken[0].name}: {broken[0].error}")
        return readings[0] if is_one_image(images) else readings

    def stream(
        self, images: WordImage | Iterable[WordImage], batch_size: int = 64
    ) -> Iterator[Reading]:
        """Read images as they come, in their order; one that cannot be used has an ``error``.

        Args:
            images: See :func:`~mms_ocr.apis.input_images.each_image`.
            batch_size: How many go through the model at once.
        """
        for reading, _ in self.stream_with_images(images, batch_size):
            yield reading

    def stream_with_images(
        self, images: WordImage | Iterable[WordImage], batch_size: int = 64
    ) -> Iterator[tuple[Reading, np.ndarray | None]]:
        """As :meth:`stream`, each with the image: uint8 BGR ``(H, W, 3)``; None where broken."""
        return self._read(each_image(images), batch_size)

    def _read(
        self, images: Iterable[InputImage | BrokenImage], batch_size: int
    ) -> Iterator[tuple[Reading, np.ndarray | None]]:
        if batch_size < 1:
            raise ValueError(f"batch_size must be at least 1, got {batch_size}")
        images = iter(images)
        while chunk := list(islice(images, batch_size)):
            prepared = [self._prepare(given) for given in chunk]
            usable = [packed for packed in prepared if not isinstance(packed, str)]
            predicted: Iterator[Any] = iter(())
            if usable:
                with torch.inference_mode():
                    predicted = iter(self.model.test_step(pseudo_collate(usable)))
            for given, packed in zip(chunk, prepared):
                if isinstance(given, BrokenImage) or isinstance(packed, str):
                    yield Reading(given.name, error=str(packed)), None
                else:
                    text = next(predicted).pred_text
                    yield Reading(given.name, text.item, text_confidence(text)), given.image

    def _prepare(self, given: InputImage | BrokenImage) -> dict | str:
        """What the model takes of an image, or why it cannot be used."""
        if isinstance(given, BrokenImage):
            return given.reason
        shape = given.image.shape[:2]
        fields = {
            "img": given.image,
            "img_path": given.name,
            "img_shape": shape,
            "ori_shape": shape,
        }
        packed = self._pipeline(fields)
        return "refused by the pipeline" if packed is None else packed


def recognizer_config(
    config: str | os.PathLike[str] | Config | None, weights: str | os.PathLike[str]
) -> Config:
    """A copy of the config of a recognizer.

    Args:
        config: See :class:`WordReader`.
        weights: Checkpoint that tells the name of its config, where none is given.

    Raises:
        FileNotFoundError: There is no such config or checkpoint.
        ValueError: The checkpoint does not tell a config that ships, or the config has no model
            with a decoder.
    """
    return load_config(config, weights, RECOGNITION)


def inference_pipeline(cfg: Config) -> list[dict | Callable]:
    """The transforms of a config's test set for images without labels, already loaded.

    Raises:
        ValueError: The config has no such pipeline, or one that does not end in packing.
    """
    pipeline = ((cfg.get("test_dataloader") or {}).get("dataset") or {}).get("pipeline")
    if not pipeline:
        pipeline = cfg.get("test_pipeline")
    if not pipeline:
        raise ValueError(f"{cfg.filename} has no test_dataloader.dataset.pipeline to read with")
    kept = [step for step in pipeline if type_name(step) not in _LOADING]
    if not kept or type_name(kept[-1]) not in _PACKING:
        raise ValueError(
            f"{cfg.filename}: the test pipeline does not end in {' or '.join(_PACKING)}"
        )
    keys = ("img_path", "ori_shape", "img_shape", "valid_ratio")
    return [*kept[:-1], dict(type="mmocr.PackTextRecogInputs", meta_keys=keys)]


def inferencer_config(config: str | os.PathLike[str] | Config) -> Config:
    """A config as MMOCR's ``TextRecInferencer`` needs it: ``TextRecInferencer(model=…)``.

    The inferencer puts its own loader in the place of a transform called ``LoadImageFromNDArray``,
    and draws with MMOCR's visualizer.

    Args:
        config: See :class:`WordReader`.
    """
    cfg = recognizer_config(config, "")
    pipeline = [dict(type="LoadImageFromNDArray"), *inference_pipeline(cfg)]
    cfg.test_dataloader = dict(dataset=dict(pipeline=pipeline))
    cfg.visualizer = dict(type="mmocr.TextRecogLocalVisualizer", name="read")
    return cfg


def mmocr_inferencer(
    weights: str | os.PathLike[str] | None = None,
    config: str | os.PathLike[str] | Config | None = None,
    device: str | None = None,
) -> TextRecInferencer:
    """MMOCR's ``TextRecInferencer``, with weights that are loaded strictly and without running any.

    ``TextRecInferencer(weights=…)`` by itself lets MMEngine load the file, which runs whatever code
    it carries, and lets weights that do not fit pass with a line in the log.

    Args:
        weights: See :class:`WordReader`.
        config: Likewise.
        device: As torch names it.
    """
    from mmocr.apis import TextRecInferencer

    weights = choose_weights(weights, RECOGNITION)
    cfg = inferencer_config(recognizer_config(config, weights))
    with warnings.catch_warnings():
        warnings.filterwarnings("ignore", "Checkpoint is not loaded")  # it is, below
        inferencer = TextRecInferencer(model=cfg, device=usable_device(device))
    load_model(inferencer.model, weights)
    return inferencer
