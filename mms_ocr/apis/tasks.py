"""Tasks of models, and the weights that a name or file means."""

from __future__ import annotations

import os
from importlib.util import find_spec
from pathlib import Path
from typing import NamedTuple

from mms_ocr.apis.zoo import default_weights
from mms_ocr.utils.bundled import SCHEME, bundled_onnx, is_onnx, name_checkpoint
from mms_ocr.utils.reader_folder import READER_WEIGHTS, find_reader_onnx


class Task(NamedTuple):
    """Task of a model."""

    folder: str  # of its configs below configs/
    noun: str  # for its models, in messages
    model: str | None  # type without the scope; None for any of MMOCR's
    config: str = ""  # pattern of the bundled configs for checkpoints that name none
    sizes: str = "nts"  # of the encoder that these exist for


PRETRAINING = Task("mms", "pretraining run", "MMS", sizes="")
RECOGNITION = Task("textrecog", "recognizer", None, "mms_vit_{size}_{kind}_words", "ntsb")
SEGMENTATION = Task("segmentation", "segmentor", "TextSegmentor", "mms_vit_{size}_seg_rendered")
SUPER_RESOLUTION = Task(
    "super_resolution", "super-resolution", "TextSuperResolver", "mms_vit_{size}_sr_words"
)
TASKS = (PRETRAINING, RECOGNITION, SEGMENTATION, SUPER_RESOLUTION)

# What a checkpoint needs, beside MMOCR for a recognizer.
_TRAINING_STACK = ("torch", "mmengine", "mmcv", "mmpretrain")


def choose_weights(weights: str | os.PathLike[str] | None, task: Task) -> str:
    """Resolve a checkpoint to a file or ``mms_ocr://NAME``; None is the first bundled of a task.

    Raises:
        FileNotFoundError: It is a name, and no such weights are bundled.
        ValueError: It is a model in ONNX.
    """
    if weights is None:
        return default_weights(task.folder, task.noun)
    if is_onnx(weights):
        raise ValueError(f"{os.fspath(weights)} is a model in ONNX; give the checkpoint")
    return name_checkpoint(weights)


def runnable_weights(weights: str | os.PathLike[str] | None, task: Task) -> str:
    """Resolve weights to a model in ONNX, or to a checkpoint as :func:`choose_weights`.

    Of bundled weights, and in a folder that ``mms-ocr adapt`` wrote, the checkpoint is chosen where
    torch, OpenMMLab's packages and, for recognizers, MMOCR are installed, and the model in ONNX
    elsewhere.

    Raises:
        FileNotFoundError: They do not exist.
        ImportError: They are a checkpoint, and a package that it needs is not installed.
    """
    onnx: Path | None = None
    if weights is not None and os.path.isdir(weights):
        onnx = find_reader_onnx(weights)
        if onnx and not onnx.with_name(READER_WEIGHTS).exists():
            return str(onnx)
    elif weights is not None and is_onnx(weights):
        name = os.fspath(weights)
        if os.path.isfile(name):
            return name
        is_name = name.startswith(SCHEME) or not os.path.dirname(name)
        if is_name and bundled_onnx(name).is_file():
            return str(bundled_onnx(name))
        raise FileNotFoundError(f"no model in ONNX {name}; mms-ocr export writes them")
    weights = choose_weights(weights, task)
    needed = (*_TRAINING_STACK, *(("mmocr",) if task is RECOGNITION else ()))
    missing = [module for module in needed if not _is_installed(module)]
    if not missing:
        return weights
    if weights.startswith(SCHEME) and bundled_onnx(weights).is_file():
        onnx = bundled_onnx(weights)
    if onnx:
        return str(onnx)
    raise ImportError(
        f"{weights} is a checkpoint, which needs {', '.join(missing)} (see docs/install.md); where "
        "they are installed, mms-ocr export makes a model of it that needs onnxruntime alone"
    )


def _is_installed(module: str) -> bool:
    try:
        return find_spec(module) is not None
    except (ImportError, ValueError):
        return False
