"""Reading words in images with a trained recognizer, as a Python call. Needs MMOCR."""

from __future__ import annotations

import os
import re
import warnings
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from itertools import islice
from pathlib import Path
from typing import TYPE_CHECKING, Any, TypeAlias

import numpy as np
import torch
from mmengine.config import Config
from mmengine.dataset import Compose, pseudo_collate
from mmengine.registry import DefaultScope

from mms_ocr.apis.shipped_configs import find_config
from mms_ocr.datasets.decoding import decode_image
from mms_ocr.datasets.sources import BrokenImageError
from mms_ocr.evaluation.word_benchmark import text_confidence
from mms_ocr.models.weights import load_model, read_checkpoint
from mms_ocr.registry import MODELS

if TYPE_CHECKING:
    from mmocr.apis import TextRecInferencer

__all__ = ["Reading", "WordReader", "inferencer_config", "mmocr_inferencer"]

#: A path, the bytes of an image file, or uint8 BGR pixels ``(H, W, 3)`` (grey: ``(H, W)``).
WordImage: TypeAlias = "str | os.PathLike[str] | bytes | np.ndarray"

_RUN_STAMP = re.compile(r"_\d{8}_\d{6}$")  # MMEngine adds it to the name of a run's config
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
    """Reads words with a recognizer: any of MMOCR's, and those of ``configs/recognition``.

    ``WordReader(config, weights)("word.png").text`` is the shortest way. Nothing in the checkpoint
    is run: weights are loaded strictly, and the config that MMEngine stores in it is not used.

    Args:
        config: The recognizer's config: a file, the name of one that ships
            (``'mms_vit_s_ar_words'``), or a Config. None takes the shipped config that the
            checkpoint says it was trained with.
        weights: Its checkpoint.
        device: ``'cpu'``, ``'cuda'``, ``'cuda:1'``, …; by default a GPU where there is one.
        options: Changes to the config, such as ``{'model.decoder.max_seq_len': 25}``.

    Raises:
        FileNotFoundError: The config or the checkpoint is missing.
        ValueError: The checkpoint does not fit, or the config is of no recognizer.
    """

    def __init__(
        self,
        config: str | os.PathLike[str] | Config | None,
        weights: str | os.PathLike[str],
        device: str | None = None,
        options: Mapping[str, Any] | None = None,
    ) -> None:
        self.device = _usable_device(device)
        self.cfg = recognizer_config(config, weights)
        self.cfg.merge_from_dict(dict(options or {}))
        scope = self.cfg.get("default_scope", "mms_ocr")
        with DefaultScope.overwrite_default_scope(scope):
            self.model = MODELS.build(self.cfg.model)
            self._pipeline = Compose(inference_pipeline(self.cfg))
        load_model(self.model, os.fspath(weights))
        self.model.to(self.device).eval()

    def __call__(
        self, images: WordImage | Sequence[WordImage], batch_size: int = 64
    ) -> Reading | list[Reading]:
        """Read one image, or several.

        Args:
            images: One image or a sequence of them.
            batch_size: How many go through the model at once.

        Returns:
            A Reading for one image, else a list of them.

        Raises:
            ValueError: An image cannot be used; :meth:`stream` goes on with the others.
        """
        is_one = isinstance(images, (str, os.PathLike, bytes, np.ndarray))
        readings = list(self.stream([images] if is_one else images, batch_size))  # type: ignore
        broken = [reading for reading in readings if reading.error is not None]
        if broken:
            raise ValueError(f"{broken[0].name}: {broken[0].error}")
        return readings[0] if is_one else readings

    def stream(self, images: Iterable[WordImage], batch_size: int = 64) -> Iterator[Reading]:
        """Read images as they come, in their order; one that cannot be used has an ``error``.

        Args:
            images: Any number of images.
            batch_size: How many go through the model at once.
        """
        if batch_size < 1:
            raise ValueError(f"batch_size is at least 1, got {batch_size}")
        numbered = enumerate(images, start=1)
        while chunk := list(islice(numbered, batch_size)):
            yield from self._read([self._prepare(number, image) for number, image in chunk])

    def _prepare(self, number: int, image: WordImage) -> tuple[str, dict | str]:
        """Name of an image, and what the model takes of it, or why it cannot be used."""
        name = f"image {number}" if isinstance(image, (bytes, np.ndarray)) else os.fspath(image)
        try:
            pixels = load_pixels(image)
        except (BrokenImageError, OSError) as error:
            reason = error.strerror if isinstance(error, OSError) and error.strerror else error
            return name, str(reason)
        shape = pixels.shape[:2]
        fields = {"img": pixels, "img_path": name, "img_shape": shape, "ori_shape": shape}
        packed = self._pipeline(fields)
        return name, "refused by the pipeline" if packed is None else packed

    def _read(self, prepared: Sequence[tuple[str, dict | str]]) -> Iterator[Reading]:
        usable = [packed for _, packed in prepared if not isinstance(packed, str)]
        predicted: Iterator[Any] = iter(())
        if usable:
            with torch.inference_mode():
                predicted = iter(self.model.test_step(pseudo_collate(usable)))
        for name, packed in prepared:
            if isinstance(packed, str):
                yield Reading(name, error=packed)
            else:
                text = next(predicted).pred_text
                yield Reading(name, text.item, text_confidence(text))


def _usable_device(name: str | None) -> torch.device:
    count = torch.cuda.device_count()
    try:
        device = torch.device(name or ("cuda" if count else "cpu"))
    except RuntimeError:
        raise ValueError(f"there is no device {name!r}: take 'cpu', 'cuda' or 'cuda:1'")
    if device.type == "cuda" and (device.index or 0) >= count:
        raise ValueError(f"no device {name!r}: torch finds {count} GPUs here; take 'cpu'")
    return device


def load_pixels(image: WordImage) -> np.ndarray:
    """Pixels of an image given in any way: uint8 BGR ``(H, W, 3)``.

    Raises:
        BrokenImageError: It is no image, or an array that is none.
        OSError: The file is missing or unreadable.
    """
    if isinstance(image, np.ndarray):
        if image.ndim == 2:
            image = np.repeat(image[:, :, None], 3, axis=2)
        if image.dtype != np.uint8 or image.ndim != 3 or image.shape[2] != 3 or not image.size:
            raise BrokenImageError(
                f"an array of shape {image.shape} and type {image.dtype} is no word image: uint8 "
                "BGR (H, W, 3) is needed"
            )
        return image
    return decode_image(image if isinstance(image, bytes) else Path(image).read_bytes())


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
    if config is None:
        config = _named_by_checkpoint(os.fspath(weights))
    if isinstance(config, Config):
        cfg = config.copy()
    else:
        cfg = Config.fromfile(find_config(os.fspath(config), "recognition"))
    if not (cfg.get("model") or {}).get("decoder"):
        raise ValueError(f"{cfg.filename}: no recognizer is described here (model.decoder)")
    return cfg


def _named_by_checkpoint(weights: str) -> Path:
    meta = read_checkpoint(weights).get("meta") or {}
    run = meta.get("experiment_name") if isinstance(meta, Mapping) else None
    name = _RUN_STAMP.sub("", run) if isinstance(run, str) else ""
    try:
        if not re.fullmatch(r"[\w-]+", name):
            raise FileNotFoundError
        return find_config(name, "recognition")
    except FileNotFoundError:
        of_what = f"was trained with {name!r}, which does not ship" if name else "does not say"
        raise ValueError(
            f"the config of {weights} is needed (the checkpoint {of_what}): give the file that it "
            "was trained with, or the name of a config that ships"
        ) from None


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
    kept = [one for one in pipeline if _bare_type(one) not in _LOADING]
    if not kept or _bare_type(kept[-1]) not in _PACKING:
        raise ValueError(
            f"{cfg.filename}: the test pipeline does not end in {' or '.join(_PACKING)}"
        )
    keys = ("img_path", "ori_shape", "img_shape", "valid_ratio")
    return [*kept[:-1], dict(type="mmocr.PackTextRecogInputs", meta_keys=keys)]


def _bare_type(transform: Any) -> str:
    return str(transform.get("type", "")).rpartition(".")[2]


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
    config: str | os.PathLike[str] | Config | None,
    weights: str | os.PathLike[str],
    device: str | None = None,
) -> TextRecInferencer:
    """MMOCR's ``TextRecInferencer``, with weights that are loaded strictly and without running any.

    ``TextRecInferencer(weights=…)`` by itself lets MMEngine load the file, which runs whatever code
    it carries, and lets weights that do not fit pass with a line in the log.

    Args:
        config: See :class:`WordReader`.
        weights: Checkpoint.
        device: As torch names it.
    """
    from mmocr.apis import TextRecInferencer

    cfg = inferencer_config(recognizer_config(config, weights))
    with warnings.catch_warnings():
        warnings.filterwarnings("ignore", "Checkpoint is not loaded")  # it is, below
        inferencer = TextRecInferencer(model=cfg, device=device)
    load_model(inferencer.model, os.fspath(weights))
    return inferencer
