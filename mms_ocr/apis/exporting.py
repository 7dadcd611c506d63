"""Export of trained models to ONNX, with ``mms-ocr export``."""

from __future__ import annotations

import copy
import hashlib
import os
from collections.abc import Mapping
from pathlib import Path
from typing import Any, NamedTuple

import numpy as np
from mmengine.config import Config
from mmengine.registry import DefaultScope

import mms_ocr
from mms_ocr.apis.onnx_files import compare_file, compute_outputs, round_weights, write_graph
from mms_ocr.apis.onnx_graphs import (
    CTCGraph,
    EncoderGraph,
    ImageGraph,
    SegmentorGraph,
    UpscalerGraph,
)
from mms_ocr.apis.onnx_models import FORMAT
from mms_ocr.apis.tasks import PRETRAINING, RECOGNITION, SEGMENTATION, TASKS, Task, choose_weights
from mms_ocr.apis.trained_models import build_trained, find_task, load_config, read_config
from mms_ocr.models.backbones import TextViT
from mms_ocr.models.onnx_forms import OPSET
from mms_ocr.models.weights import PretrainedTextViT, read_checkpoint
from mms_ocr.registry import MODELS, TRANSFORMS, type_name
from mms_ocr.utils.bundled import ONNX_SUFFIX, SCHEME, bundled_file
from mms_ocr.utils.cfg_options import merge_cfg_options
from mms_ocr.utils.files import atomic_path
from mms_ocr.utils.output_checks import check_outputs

FEATURES = ("map", "tokens")
_INSTALL = "pip install 'mms_ocr[export]'"
_EXPORTABLE = (
    "recognizers of mms_ocr.TextViT with mms_ocr.CTCDecoder or mms_ocr.TextDecoder, "
    "mms_ocr.TextSegmentor, mms_ocr.TextSuperResolver, and encoders (--features map)"
)


class Exported(NamedTuple):
    """Result of an export."""

    path: str
    task: str
    size: int  # of the file in bytes
    difference: float  # largest one between the outputs of the model and the file, on a few images


def export(
    weights: str | os.PathLike[str],
    out: str | os.PathLike[str],
    config: str | os.PathLike[str] | Config | None = None,
    *,
    half: bool = False,
    quantize: bool = False,
    features: str | None = None,
    options: Mapping[str, Any] | None = None,
) -> Exported:
    """Write a trained model in ONNX, which :mod:`mms_ocr.apis.onnx_models` and others run.

    It takes uint8 images, as OpenCV reads them, of its size and in batches of any length; the
    metadata says how to prepare them and how to read the output, see docs/deploy.md. The file is
    compared with the model before it gets its name.

    Args:
        weights: Bundled weights or a checkpoint.
        out: File to write, ``….onnx``.
        config: Config of the checkpoint, see :class:`~mms_ocr.apis.inference.WordInferencer`.
        half: Store weights in half precision; they are computed with in float32.
        quantize: Store the weights of matrix products as 8-bit integers and compute with those.
        features: Export the encoder alone, with the output ``'map'`` or ``'tokens'``; None exports
            the whole model, and of an encoder alone its map.
        options: Changes to the config, such as ``{'model.decoder.max_seq_len': 25}``.

    Raises:
        FileNotFoundError: The weights or the config are missing.
        ValueError: The model cannot be exported, or the file computes something else.
        ImportError: A package that the export needs is missing.
    """
    if half and quantize:
        raise ValueError("half and quantize exclude each other: give one of them")
    if features not in (None, *FEATURES):
        raise ValueError(f"features must be one of {', '.join(FEATURES)}, got {features!r}")
    _check_packages()
    weights = choose_weights(weights, RECOGNITION)
    check_outputs([out], [weights], suffixes=[ONNX_SUFFIX])
    graph, facts = _build(weights, config, features, options)
    unrounded = copy.deepcopy(graph)
    if half:
        round_weights(graph)
    facts = dict(
        format=FORMAT,
        version=mms_ocr.__version__,
        weights=Path(weights).name,
        source_sha256=hashlib.sha256(_file(weights).read_bytes()).hexdigest(),
        precision="float16 weights" if half else "int8 weights" if quantize else "float32",
        opset=OPSET,
        **facts,
    )
    with atomic_path(out) as temporary:
        write_graph(graph, facts, str(temporary), half=half, quantize=quantize)
        difference = compare_file(graph, str(temporary), quantize)
        if half:
            outputs = compute_outputs(unrounded, str(temporary), first_step=True)
            difference = max(float(np.abs(a.astype(np.float64) - b).max()) for a, b in outputs)
        size = temporary.stat().st_size
    return Exported(os.fspath(out), facts["task"], size, difference)


def _check_packages() -> None:
    try:
        import onnx  # noqa: F401
        import onnxruntime  # noqa: F401
        import onnxscript  # noqa: F401
    except ImportError as error:
        raise ImportError(f"the export needs a missing package ({error}): {_INSTALL}") from error


def _file(weights: str) -> Path:
    return bundled_file(weights) if weights.startswith(SCHEME) else Path(weights)


def _find_task(weights: str, config: Any) -> Task:
    """Find the task of weights, or of their config."""
    if config is not None:
        cfg = read_config(config)
        for task in TASKS:
            try:
                load_config(cfg, weights, task)
            except ValueError:
                continue
            return task
        raise ValueError(
            f"the config {cfg.filename or 'given'} is of no model that can be exported; these can: "
            f"{_EXPORTABLE}"
        )
    if not weights.startswith(SCHEME):
        read_checkpoint(weights)  # reports a file that is none
    try:
        return find_task(weights)
    except ValueError as error:
        raise ValueError(f"{error}. These models can be exported: {_EXPORTABLE}") from error


def _build(
    weights: str, config: Any, features: str | None, options: Mapping[str, Any] | None
) -> tuple[ImageGraph, dict[str, Any]]:
    """Build the graph of a model, and its part of the metadata."""
    task = _find_task(weights, config)
    cfg = load_config(config, weights, task)
    merge_cfg_options(cfg, options)
    if task is PRETRAINING or features:
        return _encoder(weights, cfg, features or "map")
    if task is RECOGNITION:
        _check_recognizer(cfg)
    model = build_trained(cfg, weights, "cpu")
    if task is RECOGNITION:
        return _recognizer(model, cfg)
    if task is SEGMENTATION:
        size = tuple(model.backbone.img_size)
        graph: ImageGraph = SegmentorGraph(model, model.data_preprocessor, size)
        return graph, _facts(graph, "segmentation", threshold=model.threshold)
    size = (model.size[0] // 2, model.size[1] // 2)
    graph = UpscalerGraph(model, model.data_preprocessor, size)
    return graph, _facts(graph, "super_resolution", scale=2, channels="BGR")


def _encoder(weights: str, cfg: Config, features: str) -> tuple[ImageGraph, dict[str, Any]]:
    settings = {**cfg.model.backbone, "init_cfg": None, "out_type": features, "out_indices": -1}
    with DefaultScope.overwrite_default_scope(cfg.get("default_scope", "mms_ocr")):
        preprocessor = MODELS.build(cfg.model.data_preprocessor)
        encoder = MODELS.build(settings)
    if not isinstance(encoder, TextViT):
        raise ValueError(f"the encoder {settings['type']} cannot be exported; mms_ocr.TextViT can")
    PretrainedTextViT(weights)(encoder)
    graph = EncoderGraph(encoder.eval(), preprocessor, tuple(encoder.img_size))
    return graph, _facts(graph, "encoder", features=features, grid=list(encoder.grid))


def _check_recognizer(cfg: Config) -> None:
    """Check the parts of a recognizer before it is built."""
    decoder, backbone = type_name(cfg.model.decoder), type_name(cfg.model.get("backbone") or {})
    others = [part for part in ("preprocessor", "encoder") if cfg.model.get(part)]
    if decoder not in ("CTCDecoder", "TextDecoder") or backbone != "TextViT" or others:
        parts = [backbone, *(type_name(cfg.model[part]) for part in others), decoder]
        raise ValueError(
            f"{cfg.filename}: a recognizer of {', '.join(filter(None, parts))} cannot be exported; "
            f"these can: {_EXPORTABLE}"
        )


def _recognizer(model: Any, cfg: Config) -> tuple[ImageGraph, dict[str, Any]]:
    from mms_ocr.apis.recognizers import inference_pipeline

    steps: list[Any] = inference_pipeline(cfg)
    kinds = [type_name(step) for step in steps[:-1]]
    if kinds != ["ResizeWordImage"]:
        raise ValueError(
            f"{cfg.filename}: the test pipeline prepares images with {', '.join(kinds)}, which is "
            "not exported; dict(type='mms_ocr.ResizeWordImage') alone is"
        )
    resize = TRANSFORMS.build(dict(steps[0]))
    decoder = model.decoder
    dictionary, ignored = decoder.dictionary, decoder.postprocessor.ignore_indexes
    facts: dict[str, Any] = dict(
        characters=list(dictionary.dict),
        ignored=list(ignored),
    )
    if type_name(cfg.model.decoder) == "CTCDecoder":
        graph: ImageGraph = CTCGraph(model, model.data_preprocessor, resize.size)
        facts |= dict(decoding="ctc", blank=dictionary.padding_idx)
    else:
        from mms_ocr.apis.onnx_loop import LoopGraph

        graph = LoopGraph(model, model.data_preprocessor, resize.size)
        facts |= dict(decoding="autoregressive", end=dictionary.end_idx)
    return graph, _facts(graph, "textrecog", resize.interpolation, **facts)


def _facts(
    graph: ImageGraph, task: str, interpolation: str = "bicubic", **output: Any
) -> dict[str, Any]:
    return dict(
        task=task,
        input=dict(
            name="images",
            type="uint8",
            layout="NHWC",
            channels="BGR",
            size=list(graph.size),
            resize=interpolation,
            normalization="inside the graph",
            mean=graph.mean.tolist(),
            std=graph.std.tolist(),
        ),
        output=dict(name=graph.output, **output),
    )
