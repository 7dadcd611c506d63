"""Models in ONNX, run by onnxruntime: neither torch nor OpenMMLab's packages are needed.

Images are decoded and resized by the same functions as for models in torch. What else a model needs
is in its metadata, see :class:`ModelFacts`; ``docs/deploy.md`` describes it for other programs.
"""

from __future__ import annotations

import json
import os
import re
from collections.abc import Sequence
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import Any, NamedTuple

import numpy as np

from mms_ocr.apis.input_images import InputImage
from mms_ocr.utils.escaping import is_unicode
from mms_ocr.utils.resizing import resize_plane, resize_word_image
from mms_ocr.utils.word_decoding import (
    autoregressive_confidences,
    ctc_confidences,
    decode_autoregressive,
    decode_ctc,
    softmax,
    spell,
)

#: Producer of the files, and key of their metadata: a JSON object.
PRODUCER = "mms_ocr"
#: Version of the metadata; files of later versions are refused.
FORMAT = 1
#: Kinds of models, named as the folders of their configs, and how messages name them.
KINDS = {
    "textrecog": "a recognizer",
    "segmentation": "a segmentor",
    "super_resolution": "a super-resolution model",
    "encoder": "an encoder",
}
_INSTALL = "pip install 'mms_ocr[onnx]'"
# Images of a run on the CPU: more of them leave its caches, and take longer each. Runs in parallel
# are faster than threads within a run, which wait for each other at every layer.
_CHUNK = 4


class ModelFacts(NamedTuple):
    """Facts of a model in ONNX."""

    task: str  # a key of KINDS
    input_size: tuple[int, int]  # height and width
    interpolation: str  # of resize_word_image
    output: dict[str, Any]  # how to read the output; its keys depend on the task


def read_facts(metadata: Any, producer: str, path: str) -> ModelFacts:
    """Read the metadata of a model; ``producer`` is the program that wrote it.

    Raises:
        ValueError: It is a model of another program, or of a later version of this one.
    """
    stored = metadata.get(PRODUCER)
    if stored is None:
        raise ValueError(
            f"{path} is a model of {producer or 'another program'}, without the metadata of "
            "mms_ocr; write one of a checkpoint with mms-ocr export"
        )
    try:
        facts = json.loads(stored)
        version = int(facts["format"])
        if version <= FORMAT:
            height, width = facts["input"]["size"]
            resize = facts["input"]["resize"]
            return ModelFacts(facts["task"], (height, width), resize, facts["output"])
    except (KeyError, TypeError, ValueError) as error:
        raise ValueError(f"{path}: damaged metadata ({error!r}); export it again") from error
    raise ValueError(
        f"{path} has format {version}, and this mms_ocr reads up to format {FORMAT}: "
        "pip install --upgrade mms_ocr"
    )


class OnnxModel:
    """Model in ONNX.

    Args:
        path: The file.
        device: ``'cpu'``, ``'cuda'`` or ``'cuda:1'``; None for the CPU.

    Raises:
        ImportError: onnxruntime is not installed.
        ValueError: The file is damaged, of another program or of another task; or there is no such
            device.
    """

    task: str

    def __init__(self, path: str, device: str | None = None) -> None:
        try:
            import onnxruntime
        except ImportError as error:
            raise ImportError(
                f"{path} needs onnxruntime, which cannot be imported ({error}): {_INSTALL}"
            ) from error
        self.device = device or "cpu"
        providers = _providers(self.device, onnxruntime.get_available_providers())
        options = onnxruntime.SessionOptions()
        options.intra_op_num_threads = 1
        options.log_severity_level = 4  # errors are raised
        try:
            # onnxruntime takes no names of files that are not UTF-8.
            model = path if is_unicode(path) else Path(path).read_bytes()
            self.session = onnxruntime.InferenceSession(model, options, providers=providers)
        except Exception as error:  # of many types, most of them Exception itself
            raise ValueError(f"{path} is no model that onnxruntime can open: {error}") from error
        name = providers[0][0]
        if name not in self.session.get_providers():
            raise ValueError(f"onnxruntime cannot use {self.device} here; give cpu")
        meta = self.session.get_modelmeta()
        self.facts = read_facts(meta.custom_metadata_map, meta.producer_name, path)
        if self.facts.task != self.task:
            kind = KINDS.get(self.facts.task, self.facts.task)
            raise ValueError(f"{path} is {kind}, and {KINDS[self.task]} is needed")
        self._input = self.session.get_inputs()[0].name

    def run(self, images: Sequence[InputImage]) -> np.ndarray:
        """Resize images and compute the first output of the model."""
        if self.device != "cpu":
            return self._compute(images)
        threads = _num_threads()
        step = min(_CHUNK, -(-len(images) // threads))
        parts = [images[start : start + step] for start in range(0, len(images), step)]
        if threads == 1 or len(parts) == 1:
            outputs = [self._compute(part) for part in parts]
        else:
            # Made anew each time: threads that wait would not survive a fork of the process.
            with ThreadPoolExecutor(min(threads, len(parts))) as pool:
                outputs = list(pool.map(self._compute, parts))
        return outputs[0] if len(outputs) == 1 else _join(outputs)

    def _compute(self, images: Sequence[InputImage]) -> np.ndarray:
        facts = self.facts
        batch = np.empty((len(images), *facts.input_size, 3), np.uint8)
        for slot, item in zip(batch, images):
            resize_word_image(item.image, facts.input_size, facts.interpolation, slot)
        output: np.ndarray = self.session.run(None, {self._input: batch})[0]
        return output


class OnnxReader(OnnxModel):
    """Recognizer in ONNX."""

    task = "textrecog"

    def predict(
        self, images: Sequence[InputImage]
    ) -> list[tuple[str, float, tuple[float, ...] | None]]:
        """Read a batch: text, its confidence and those of its characters for each image."""
        facts = self.facts.output
        probabilities = softmax(self.run(images))
        if facts["decoding"] == "ctc":
            words = decode_ctc(probabilities, facts["blank"], facts["ignored"])
            confidences = ctc_confidences(probabilities, facts["blank"]).tolist()
        else:
            words = decode_autoregressive(probabilities, facts["end"], facts["ignored"])
            confidences = autoregressive_confidences(probabilities, facts["end"])
        readings = []
        for word, confidence in zip(words, confidences):
            text = spell(word.tokens, facts["characters"])
            scores = tuple(word.scores) if len(text) == len(word.scores) else None
            readings.append((text, confidence, scores))
        return readings


class OnnxSegmenter(OnnxModel):
    """Segmentor in ONNX."""

    task = "segmentation"

    @property
    def threshold(self) -> float:
        """Probability from which a pixel is text."""
        return float(self.facts.output["threshold"])

    def predict(self, images: Sequence[InputImage]) -> list[np.ndarray]:
        """Compute the probability of text, float32 ``(H, W)`` for each image."""
        probabilities = []
        for item, logits in zip(images, self.run(images)):
            height, width = item.image.shape[:2]
            with np.errstate(over="ignore"):  # exp of a large number: a probability of 0
                probabilities.append(1 / (1 + np.exp(-resize_plane(logits, (height, width)))))
        return probabilities


class OnnxUpscaler(OnnxModel):
    """Super-resolution model in ONNX."""

    task = "super_resolution"

    @property
    def size(self) -> tuple[int, int]:
        """Height and width of its output."""
        scale = self.facts.output["scale"]
        return self.facts.input_size[0] * scale, self.facts.input_size[1] * scale

    def predict(self, images: Sequence[InputImage]) -> list[np.ndarray]:
        """Restore images that are shrunk to half of ``size``: uint8 BGR ``(*size, 3)``."""
        return list(self.run(images))


def _join(outputs: Sequence[np.ndarray]) -> np.ndarray:
    """Join the outputs of parts of a batch; shorter sequences are filled with their last step."""
    steps = max(output.shape[1] for output in outputs)
    padded = [
        np.pad(
            output, [(0, 0), (0, steps - output.shape[1])] + [(0, 0)] * (output.ndim - 2), "edge"
        )
        if output.shape[1] < steps
        else output
        for output in outputs
    ]
    return np.concatenate(padded)


def _num_threads() -> int:
    """Return the number of threads: OMP_NUM_THREADS, or the cores that this process may use."""
    given = os.environ.get("OMP_NUM_THREADS", "").partition(",")[0].strip()
    if given.isdigit() and int(given):
        return int(given)
    if hasattr(os, "sched_getaffinity"):
        return len(os.sched_getaffinity(0))
    return os.cpu_count() or 1


def _providers(device: str, available: Sequence[str]) -> list[tuple[str, dict[str, Any]]]:
    match = re.fullmatch(r"(cpu|cuda)(?::(\d+))?", device)
    if not match:
        raise ValueError(f"there is no device {device!r} for a model in ONNX; give cpu or cuda")
    if match[1] == "cpu":
        return [("CPUExecutionProvider", {})]
    if "CUDAExecutionProvider" not in available:
        raise ValueError(
            f"there is no device {device!r}: this onnxruntime is built for "
            f"{', '.join(available)}; pip install onnxruntime-gpu, or give cpu"
        )
    cuda = ("CUDAExecutionProvider", {"device_id": match[2] or "0"})
    return [cuda, ("CPUExecutionProvider", {})]
