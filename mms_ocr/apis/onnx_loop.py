"""Autoregressive recognizers in ONNX: an encoder, and a loop around one step of the decoder.

``docs/results/export.md`` compares the loop with calls of the step from outside.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import numpy as np
import torch
from torch import Tensor, nn

from mms_ocr.apis.onnx_graphs import ImageGraph, example_images, export_graph
from mms_ocr.models.textrecog.decoding import decoding_step, empty_cache

_PREFIX = "step/"
# What a step takes and changes, beside the cache.
_STATE = ("tokens", "active", "visible")


class MemoryGraph(ImageGraph):
    """Encoder of an autoregressive recognizer: image tokens ``(N, L, C)``."""

    output = "memory"

    def forward(self, images: Tensor) -> Tensor:
        """Compute the image tokens."""
        model: Any = self.model
        memory: Tensor = model.decoder._memory(
            model.extract_feat(self.normalize(images)), None, None
        )[0]
        return memory


class StepGraph(nn.Module):
    """Step of greedy decoding; its last inputs and outputs are the layers of the cache."""

    def __init__(self, decoder: Any) -> None:
        super().__init__()
        self.decoder = decoder
        self.start: int = decoder.start_idx
        self.end, self.padding = decoder.dictionary.end_idx, decoder.padding_idx
        self.max_length: int = decoder.max_seq_len

    def forward(
        self,
        position: Tensor,
        tokens: Tensor,
        active: Tensor,
        visible: Tensor,
        memory: Tensor,
        *cache: Tensor,
    ) -> tuple[Tensor, ...]:
        """Compute a step of all words.

        Args:
            position: Of the newest tokens, int64 ``(1,)``.
            tokens: The newest tokens, int64 ``(N,)``.
            active: Words that have not ended, bool ``(N,)``.
            visible: Earlier positions that may be attended to, bool ``(N, position)``.
            memory: Image tokens ``(N, L, C)``.
            *cache: For every layer, keys and values ``(N, 2, heads, position, d)``.

        Returns:
            Whether a word is active, the next tokens, active words, visible positions, logits
            ``(N, classes)``, and the layers of the next cache.
        """
        seen = torch.ones_like(active)
        if self.padding is not None:
            seen = (tokens != self.padding) | (position == 0)
        visible = torch.cat([visible, seen[:, None]], dim=1)
        grown: list[Tensor] = []
        weights = self.decoder.step_weights()
        logits = decoding_step(
            weights, tokens, position, visible, cache, memory, grown=grown
        ).float()
        tokens = logits.argmax(dim=-1)
        if self.end is not None:
            active = active & (tokens != self.end)
        return (active.any(), tokens, active, visible, logits, *grown)

    def first(self, memory: Tensor) -> list[Tensor]:
        """Make the state before the first step: tokens, active, visible, and the cache."""
        tokens = torch.full((len(memory),), self.start, device=memory.device)
        active = torch.ones_like(tokens, dtype=torch.bool)
        cache = empty_cache(self.decoder.step_weights(), memory, 0)
        return [tokens, active, active[:, None][:, :0], *cache]


class LoopGraph(ImageGraph):
    """Recognizer with an autoregressive decoder: logits ``(N, steps, classes)``.

    The steps end when all words have; those after the end of a word mean nothing.
    """

    def __init__(self, model: Any, preprocessor: Any, size: tuple[int, int]) -> None:
        super().__init__(model, preprocessor, size)
        self.encoder = MemoryGraph(model, preprocessor, size)
        self.step = StepGraph(model.decoder)

    def forward(self, images: Tensor) -> Tensor:
        """Decode greedily."""
        memory = self.encoder(images)
        state = self.step.first(memory)
        steps = []
        for index in range(self.step.max_length):
            position = torch.full((1,), index, device=memory.device)
            is_active, *outputs = self.step(position, *_arguments(state, memory))
            steps.append(outputs.pop(len(_STATE)))
            state = outputs
            if not is_active:
                break
        return torch.stack(steps, dim=1)

    def to_onnx(self, opset: int) -> Any:
        """Export encoder and step, and join them by a Loop."""
        encoder = self.encoder.to_onnx(opset)
        memory = self.encoder(example_images(3, self.size))
        step = export_step(self.step, memory, opset)
        return loop_model(encoder, step, self.step.start, self.step.max_length)


def export_step(step: StepGraph, memory: Tensor, opset: int) -> Any:
    """Export a step, traced with image tokens; its cache has the names ``cache_0``, ….

    Other inputs and outputs are named as in :meth:`StepGraph.forward`, the new state ``next_…``.
    """
    state = step.first(memory)
    for index in range(2):  # a size of 0 or 1 would be taken as constant
        _, *state = step(torch.full((1,), index), *_arguments(state, memory))
        del state[len(_STATE)]
    batch, length = torch.export.Dim("batch"), torch.export.Dim("length")
    caches = [f"cache_{index}" for index in range(len(state) - len(_STATE))]
    shapes: tuple[Any, ...] = (
        {},
        {0: batch},
        {0: batch},
        {0: batch, 1: length},
        {0: batch},
        tuple({0: batch, 3: length} for _ in caches),
    )
    return export_graph(
        step,
        (torch.full((1,), 2), *_arguments(state, memory)),
        ["position", *_STATE, "memory", *caches],
        ["is_active", *(f"next_{name}" for name in _STATE), "logits"]
        + [f"next_{name}" for name in caches],
        shapes,
        opset,
    )


def _arguments(state: Sequence[Tensor], memory: Tensor) -> list[Tensor]:
    return [*state[: len(_STATE)], memory, *state[len(_STATE) :]]


def loop_model(encoder: Any, step: Any, start: int, max_length: int) -> Any:
    """Join the models of a MemoryGraph and of :func:`export_step` by a Loop, to logits of words.

    The Loop carries the tokens, the words that are active, the visible positions and the cache,
    and collects logits. It ends when no word is active, or after ``max_length`` steps.
    """
    import onnx
    from onnx import TensorProto, helper, numpy_helper

    step = onnx.compose.add_prefix(step, _PREFIX)
    graph, body = encoder.graph, step.graph
    memory = graph.output[0].name

    def constant(name: str, values: Any, dtype: Any) -> str:
        stored = numpy_helper.from_array(np.asarray(values, dtype), f"{_PREFIX}{name}")
        graph.initializer.append(stored)
        return str(stored.name)

    def node(kind: str, inputs: list[str], output: str, **attributes: Any) -> str:
        graph.node.append(helper.make_node(kind, inputs, [output], **attributes))
        return output

    # What depends on weights alone is computed once, outside of the Loop.
    fixed = {stored.name for stored in body.initializer}
    graph.initializer.extend(body.initializer)
    moved = []
    for each in body.node:
        if fixed.issuperset(each.input):
            fixed.update(each.output)
            moved.append(each)
    graph.node.extend(moved)
    steps = [each for each in body.node if each not in moved]

    # The state before the first step, of as many words as there are images.
    zero = constant("zero", [0], np.int64)
    words = node("Shape", [memory], f"{_PREFIX}words", start=0, end=1)
    inputs = {value.name: value for value in body.input}
    carried = [name for name in inputs if not name.endswith(("/position", "/memory"))]
    values = {f"{_PREFIX}tokens": start, f"{_PREFIX}active": 1}
    first = []
    for name in carried:
        kind = inputs[name].type.tensor_type
        sizes = [
            constant(f"{name}_{axis}", [dim.dim_value], np.int64) if dim.dim_value else zero
            for axis, dim in enumerate(kind.shape.dim[1:])
        ]
        shape = node("Concat", [words, *sizes], f"{name}_shape", axis=0)
        filling = np.array([values.get(name, 0)], helper.tensor_dtype_to_np_dtype(kind.elem_type))
        value = numpy_helper.from_array(filling)
        first.append(node("ConstantOfShape", [shape], f"{name}_first", value=value))

    # The body: iteration, condition and state to condition, state and logits.
    iteration = helper.make_tensor_value_info(f"{_PREFIX}iteration", TensorProto.INT64, [])
    condition = helper.make_tensor_value_info(f"{_PREFIX}condition", TensorProto.BOOL, [])
    results = {value.name.removeprefix(_PREFIX): value for value in body.output}
    one = constant("one", [1], np.int64)
    position = helper.make_node("Reshape", [iteration.name, one], [f"{_PREFIX}position"])
    shared = helper.make_node("Identity", [memory], [f"{_PREFIX}memory"])
    loop_body = helper.make_graph(
        [position, shared, *steps],
        "step",
        [iteration, condition, *(inputs[name] for name in carried)],
        [results["is_active"]]
        + [results[f"next_{name.removeprefix(_PREFIX)}"] for name in carried]
        + [results["logits"]],
    )
    graph.node.append(
        helper.make_node(
            "Loop",
            [constant("steps", max_length, np.int64), constant("true", True, np.bool_), *first],
            [f"{name}_last" for name in carried] + [f"{_PREFIX}all"],
            body=loop_body,
        )
    )
    node("Transpose", [f"{_PREFIX}all"], "logits", perm=[1, 0, 2])
    classes = results["logits"].type.tensor_type.shape.dim[1].dim_value
    del graph.output[:]
    graph.output.append(
        helper.make_tensor_value_info("logits", TensorProto.FLOAT, ["batch", "steps", classes])
    )
    return encoder
