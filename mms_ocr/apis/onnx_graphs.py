"""Models as graphs for ONNX: from uint8 images, as OpenCV reads them, to outputs."""

from __future__ import annotations

import itertools
from collections.abc import Sequence
from typing import Any

import torch
from torch import Tensor, nn


class ImageGraph(nn.Module):
    """Model from images uint8 BGR ``(N, H, W, 3)`` on; base class.

    Args:
        model: The model, in evaluation mode.
        preprocessor: Its data preprocessor.
        size: Height and width of the images.

    Raises:
        ValueError: The preprocessor does more than to swap channels and normalize.
    """

    output = "logits"

    def __init__(self, model: nn.Module, preprocessor: Any, size: tuple[int, int]) -> None:
        super().__init__()
        self.model = model
        self.size = size
        mean = getattr(preprocessor, "mean", torch.zeros(3))
        std = getattr(preprocessor, "std", torch.ones(3))
        self.register_buffer("mean", mean.detach().flatten().float().clone(), persistent=False)
        self.register_buffer("std", std.detach().flatten().float().clone(), persistent=False)
        self.swaps = bool(
            getattr(preprocessor, "bgr_to_rgb", False)
            or getattr(preprocessor, "_channel_conversion", False)
        )
        images = example_images(2, size)
        planes = list(images.permute(0, 3, 1, 2))
        expected = preprocessor(dict(inputs=planes, data_samples=None))["inputs"]
        if not torch.equal(self.normalize(images), expected):
            raise ValueError(
                f"{type(preprocessor).__name__} prepares images in another way than to normalize "
                "them, and cannot be exported"
            )

    mean: Tensor
    std: Tensor

    def normalize(self, images: Tensor) -> Tensor:
        """Normalize uint8 images ``(N, H, W, 3)`` to float32 ``(N, 3, H, W)``."""
        levels = images.float()
        if self.swaps:
            levels = levels.flip(3)
        return ((levels - self.mean) / self.std).permute(0, 3, 1, 2).contiguous()

    def forward(self, images: Tensor) -> Tensor:
        """Compute the output of images."""
        output: Tensor = self.model(self.normalize(images))
        return output

    def to_onnx(self, opset: int) -> Any:
        """Export the graph, a ModelProto of ONNX, for batches of any length."""
        images = example_images(3, self.size)
        shapes = {"images": {0: torch.export.Dim("batch")}}
        return export_graph(self, (images,), ["images"], [self.output], shapes, opset)


class CTCGraph(ImageGraph):
    """Recognizer with a CTC head: logits ``(N, columns, classes)``."""

    def forward(self, images: Tensor) -> Tensor:
        """Compute the logits of the columns."""
        model: Any = self.model
        logits: Tensor = model.decoder.forward_train(model.extract_feat(self.normalize(images)))
        return logits


class SegmentorGraph(ImageGraph):
    """Segmentor: logits of text ``(N, h, w)``."""

    def forward(self, images: Tensor) -> Tensor:
        """Compute the logits of the pixels."""
        logits: Tensor = self.model(self.normalize(images))
        return logits[:, 0].float()


class UpscalerGraph(ImageGraph):
    """Super-resolution: images uint8 BGR ``(N, H, W, 3)``."""

    output = "restored"

    def forward(self, images: Tensor) -> Tensor:
        """Restore images."""
        restored = self.model(self.normalize(images)).clamp(0, 1).permute(0, 2, 3, 1)
        levels = (restored * 255).round().to(torch.uint8)
        return levels.flip(3) if self.swaps else levels


class EncoderGraph(ImageGraph):
    """Encoder: its map ``(N, C, h, w)`` or tokens ``(N, 1 + L, C)``."""

    output = "features"


def export_graph(
    graph: nn.Module,
    inputs: tuple[Tensor, ...],
    input_names: Sequence[str],
    output_names: Sequence[str],
    dynamic_shapes: Any,
    opset: int,
) -> Any:
    """Export a module to a ModelProto, without what the exporter notes for debugging.

    It notes lines of source files, with their paths.
    """
    program: Any = torch.onnx.export(
        graph,
        inputs,
        dynamo=True,
        opset_version=opset,
        input_names=input_names,
        output_names=output_names,
        dynamic_shapes=dynamic_shapes,
        verbose=False,
    )
    model = program.model_proto
    del model.metadata_props[:], model.graph.metadata_props[:], model.graph.value_info[:]
    model.doc_string = model.graph.doc_string = ""
    parts = (model.graph.node, model.graph.initializer, model.graph.input, model.graph.output)
    for item in itertools.chain(*parts):
        del item.metadata_props[:]
        item.doc_string = ""
    return model


def example_images(count: int, size: Sequence[int]) -> Tensor:
    """Make images for tracing and checks, uint8 ``(count, *size, 3)``: edges, slopes and noise."""
    generator = torch.Generator().manual_seed(0)
    coarse = torch.rand(count, 3, 4, 16, generator=generator)
    smooth = nn.functional.interpolate(coarse, size=tuple(size), mode="bilinear")
    strokes = torch.rand(count, 1, 1, size[1], generator=generator) < 0.3
    levels = torch.where(strokes, 255 - 255 * smooth, 255 * smooth)
    levels += 8 * torch.randn(levels.shape, generator=generator)
    return levels.round().clamp(0, 255).byte().permute(0, 2, 3, 1).contiguous()
