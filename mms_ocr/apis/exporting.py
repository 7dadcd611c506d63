"""Export of trained models to ONNX, with ``mms-ocr export``."""

from __future__ import annotations

import copy
import hashlib
import json
import logging
import os
import warnings
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from pathlib import Path
from typing import Any, NamedTuple

import numpy as np
import torch
from mmengine.config import Config
from mmengine.registry import DefaultScope

import mms_ocr
from mms_ocr.apis.onnx_graphs import (
    CTCGraph,
    EncoderGraph,
    ImageGraph,
    SegmentorGraph,
    UpscalerGraph,
    example_images,
)
from mms_ocr.apis.onnx_models import FORMAT, PRODUCER
from mms_ocr.apis.tasks import PRETRAINING, RECOGNITION, SEGMENTATION, TASKS, Task, choose_weights
from mms_ocr.apis.trained_models import build_trained, find_task, load_config, read_config
from mms_ocr.models.backbones import TextViT
from mms_ocr.models.onnx_forms import OPSET, use_onnx_forms
from mms_ocr.models.weights import PretrainedTextViT, read_checkpoint
from mms_ocr.registry import MODELS, TRANSFORMS, type_name
from mms_ocr.utils.bundled import ONNX_SUFFIX, SCHEME, bundled_file
from mms_ocr.utils.cfg_options import merge_cfg_options
from mms_ocr.utils.files import atomic_path
from mms_ocr.utils.output_checks import check_outputs

#: Largest difference between outputs of the model and of its export, where these are around 1.
TOLERANCE = 1e-4
# Of 8-bit weights: the root of the mean squared difference over the spread of the outputs.
_INT8_TOLERANCE = 0.25
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
        _round_weights(graph)
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
        _write(graph, facts, str(temporary), half=half, quantize=quantize)
        difference = _compare(graph, str(temporary), quantize)
        if half:
            outputs = _outputs(unrounded, str(temporary), first_step=True)
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


def _round_weights(graph: ImageGraph) -> None:
    """Round the weights of a checkpoint to half precision, as the file stores them.

    Raises:
        ValueError: A weight is too large.
    """
    with torch.no_grad():
        for name, values in graph.state_dict().items():  # without what the model computes itself
            if values.is_floating_point():
                values.copy_(values.half().float())
                if not values.isfinite().all():
                    raise ValueError(
                        f"{name} has weights beyond {torch.finfo(torch.half).max:,.0f}, the "
                        "largest number in half precision; export without it"
                    )


@contextmanager
def _quiet() -> Iterator[None]:
    """Silence what the exporter and onnxruntime report about their own work."""
    loggers = [logging.getLogger(name) for name in ("torch.onnx", "onnxscript", "onnx_ir", "root")]
    levels = [logger.level for logger in loggers]
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        for logger in loggers:
            logger.setLevel(logging.ERROR)
        try:
            yield
        finally:
            for logger, level in zip(loggers, levels):
                logger.setLevel(level)


def _write(graph: ImageGraph, facts: dict[str, Any], path: str, half: bool, quantize: bool) -> None:
    """Write the graph to a file, with its metadata."""
    import onnx

    graph = copy.deepcopy(graph).eval().requires_grad_(False)
    use_onnx_forms(graph)
    with _quiet(), torch.no_grad():
        model = graph.to_onnx(OPSET)
    if half:
        _store_as_half(model)
    if quantize:
        model = _quantize(model, path)
    model.producer_name, model.producer_version = PRODUCER, mms_ocr.__version__
    onnx.helper.set_model_props(model, {PRODUCER: json.dumps(facts, ensure_ascii=False)})
    onnx.checker.check_model(model)
    Path(path).write_bytes(model.SerializeToString(deterministic=True))


def _store_as_half(model: Any) -> None:
    """Store float32 weights as float16, each with a cast, which onnxruntime folds at loading."""
    import onnx
    from onnx import numpy_helper

    casts = []
    for index, stored in enumerate(model.graph.initializer):
        if stored.data_type != onnx.TensorProto.FLOAT or np.prod(stored.dims) < 16:
            continue
        values = numpy_helper.to_array(stored)
        rounded = values.astype(np.float16)
        if not np.array_equal(rounded.astype(np.float32), values):
            continue  # constants that the exporter computed
        name, half = stored.name, f"{stored.name}_half"
        model.graph.initializer[index].CopyFrom(numpy_helper.from_array(rounded, half))
        casts.append(onnx.helper.make_node("Cast", [half], [name], to=onnx.TensorProto.FLOAT))
    nodes = [*casts, *model.graph.node]
    del model.graph.node[:]
    model.graph.node.extend(nodes)


def _quantize(model: Any, path: str) -> Any:
    import onnx
    from onnxruntime.quantization import QuantType, quantize_dynamic

    with _quiet():
        quantize_dynamic(
            model,
            path,
            op_types_to_quantize=["MatMul", "Gemm"],
            per_channel=True,
            weight_type=QuantType.QInt8,
            extra_options={"EnableSubgraph": True},  # the loop of autoregressive decoding
        )
    return onnx.load(path)


def _outputs(
    graph: ImageGraph, path: str, first_step: bool
) -> Iterator[tuple[np.ndarray, np.ndarray]]:
    """Compute the outputs of a file and of its model for two batches.

    ``first_step`` selects the first one of autoregressive recognizers: another token, of two that
    are about equal, changes all steps after it.
    """
    import onnxruntime

    model = Path(path).read_bytes()  # onnxruntime takes no names of files that are not UTF-8
    session = onnxruntime.InferenceSession(model, providers=["CPUExecutionProvider"])
    images = example_images(5, graph.size)
    for batch in (images[:1], images):  # more than one, and none of the length that was traced
        (output,) = session.run(None, {"images": batch.numpy()})
        with torch.no_grad():
            expected = graph(batch).numpy()
        if first_step and hasattr(graph, "step"):
            output, expected = output[:, :1], expected[:, :1]
        yield output, expected


def _compare(graph: ImageGraph, path: str, quantize: bool) -> float:
    """Compare the outputs of a file and of its model, and return the largest difference.

    Raises:
        ValueError: They differ by more than the tolerance.
    """
    worst = 0.0
    for output, expected in _outputs(graph, path, first_step=quantize):
        if output.shape != expected.shape:
            raise ValueError(
                f"the exported model gives {output.shape} for {len(expected)} images, and the "
                f"model {expected.shape}"
            )
        differences = np.abs(output.astype(np.float64) - expected)
        if expected.dtype == np.uint8:
            limit: Any = 1
        else:  # relative where values are large
            limit = TOLERANCE * np.maximum(np.abs(expected), max(1.0, np.median(np.abs(expected))))
        place = np.unravel_index(differences.argmax(), differences.shape)
        worst = max(worst, float(differences[place]))
        if quantize:
            spread = float(expected.astype(np.float64).std())
            is_wrong = not np.sqrt((differences**2).mean()) <= _INT8_TOLERANCE * max(spread, 1e-6)
        else:
            is_wrong = not (differences <= limit).all()
        if is_wrong:
            raise ValueError(
                f"the exported model gives {output[place]} where the model gives {expected[place]} "
                f"(output {[int(i) for i in place]} of {len(expected)} images)"
            )
    return worst
