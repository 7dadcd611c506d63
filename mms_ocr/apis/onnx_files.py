"""Graphs of models as files in ONNX: how they are written and compared with the models."""

from __future__ import annotations

import copy
import json
import logging
import warnings
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import numpy as np
import torch

import mms_ocr
from mms_ocr.apis.onnx_graphs import ImageGraph, example_images
from mms_ocr.apis.onnx_models import PRODUCER
from mms_ocr.models.onnx_forms import OPSET, use_onnx_forms

#: Largest difference between outputs of the model and of its export, where these are around 1.
TOLERANCE = 1e-4
# Of 8-bit weights: the root of the mean squared difference over the spread of the outputs.
_INT8_TOLERANCE = 0.25


def round_weights(graph: ImageGraph) -> None:
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


def write_graph(
    graph: ImageGraph, facts: dict[str, Any], path: str, *, half: bool, quantize: bool
) -> None:
    """Write a graph to a file, with ``facts`` as its metadata.

    Args:
        graph: The graph; it is not changed.
        facts: What can be written as JSON.
        path: File to write.
        half: Store the weights that half precision holds exactly as float16.
        quantize: Store the weights of matrix products as 8-bit integers.
    """
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


def compute_outputs(
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


def compare_file(graph: ImageGraph, path: str, quantize: bool) -> float:
    """Compare the outputs of a file and of its model, and return the largest difference.

    Raises:
        ValueError: They differ by more than the tolerance.
    """
    worst = 0.0
    for output, expected in compute_outputs(graph, path, first_step=quantize):
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
