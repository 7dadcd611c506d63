"""Pictures of a report: curves, crops, and masked crops filled in before and after pretraining."""

from __future__ import annotations

import io
from collections.abc import Callable, Mapping, Sequence
from pathlib import Path
from typing import Any

import cv2
import numpy as np
import torch
from matplotlib.figure import Figure
from matplotlib.ticker import PercentFormatter
from mmengine.dataset import Compose
from mmengine.structures import BaseDataElement
from numpy.typing import NDArray

from mms_ocr.apis.input_images import InputImage, image_fields
from mms_ocr.apis.tasks import PRETRAINING
from mms_ocr.apis.trained_models import build_trained, load_config
from mms_ocr.datasets.sources import LmdbSource
from mms_ocr.utils.bundled import SCHEME
from mms_ocr.utils.decoding import decode_image
from mms_ocr.visualization import fit_picture, picture_grid, to_picture

_BATCH = 64
_CROP_HEIGHT, _CROP_WIDTH = 48, 320
_SEED = 0  # of the masks


def draw_curves(
    curves: Mapping[str, Sequence[Sequence[float]]], title: str, in_percent: bool = False
) -> bytes:
    """Draw curves of points ``(iteration, value)`` by name, as a PNG file.

    With ``in_percent``, values are shares.
    """
    figure = Figure(figsize=(5.4, 3.4), constrained_layout=True)
    axes = figure.subplots()
    for name, points in curves.items():
        axes.plot(*zip(*points), label=name, marker="." if len(points) < 30 else None)
    axes.set(title=title, xlabel="iteration")
    if in_percent:
        axes.yaxis.set_major_formatter(PercentFormatter(1))
    axes.grid(alpha=0.3)
    axes.legend(fontsize="small")
    drawn = io.BytesIO()
    # Without the version of matplotlib, so that equal figures give equal files.
    figure.savefig(drawn, dpi=130, format="png", metadata={"Software": None})
    return drawn.getvalue()


def draw_crop(source: LmdbSource, index: int) -> bytes:
    """Draw the crop at an index of a source at a fixed height, as a PNG file."""
    picture = decode_image(source.read(index).data)
    return _png(fit_picture(picture, _CROP_HEIGHT, _CROP_WIDTH)[:, :, ::-1])


def reconstruct_crops(
    folder: Path, config: str, weights: Mapping[str, str], crops: str, count: int
) -> dict[str, list[BaseDataElement]]:
    """Mask crops in the same way for several weights, and fill them in, on the CPU.

    Args:
        folder: Folder that the paths are relative to.
        config: Config of the pretraining run.
        weights: Checkpoints, or bundled weights, by name.
        crops: LMDB of crops.
        count: How many crops are taken, at equal steps; all of a smaller LMDB.

    Returns:
        By the names of ``weights``, what :meth:`~mms_ocr.models.MMS.predict` makes of the crops.
    """
    cfg = load_config(folder / config, "", PRETRAINING)
    pipeline = Compose(cfg.val_dataloader.dataset.pipeline)
    source = LmdbSource(str(folder / crops))
    chosen = np.unique(np.linspace(0, len(source) - 1, count).round().astype(int)).tolist()
    filled: dict[str, list[BaseDataElement]] = {}
    for name, path in weights.items():
        path = path if path.startswith(SCHEME) else str(folder / path)
        model = build_trained(cfg, path, "cpu")
        model.data_preprocessor.seed = _SEED
        filled[name] = []
        for start in range(0, len(chosen), _BATCH):
            batch = chosen[start : start + _BATCH]
            data = dict(
                inputs=[_load_crop(source, index, pipeline) for index in batch],
                # The masks of an image follow from its number.
                data_samples=[BaseDataElement(metainfo=dict(sample_idx=i)) for i in batch],
            )
            with torch.inference_mode():
                filled[name] += model.predict(**model.data_preprocessor(data, False))
    return filled


def masked_errors(samples: Sequence[BaseDataElement]) -> dict[str, float]:
    """Compute the mean error on removed patches by strategy."""
    return {
        name: float(np.mean([sample.masked_error[name] for sample in samples]))
        for name in samples[0].masked_error
    }


def draw_reconstructions(
    before: Sequence[BaseDataElement], after: Sequence[BaseDataElement], strategy: str
) -> bytes:
    """Draw crop | masked | before | after, a row for each crop, as a PNG file."""
    rows = [
        [
            to_picture(old.image),
            to_picture(old.masked_image[strategy]),
            to_picture(old.reconstruction[strategy]),
            to_picture(new.reconstruction[strategy]),
        ]
        for old, new in zip(before, after)
    ]
    return _png(picture_grid(rows, ("crop", "masked", "before", "after")))


def _load_crop(source: LmdbSource, index: int, pipeline: Callable[[dict], Any]) -> torch.Tensor:
    image = InputImage(source.name(index), decode_image(source.read(index).data))
    return pipeline(image_fields(image))["inputs"]


def _png(picture: NDArray[np.uint8]) -> bytes:
    """Encode uint8 RGB as a PNG file."""
    _, encoded = cv2.imencode(".png", np.ascontiguousarray(picture[:, :, ::-1]))
    return encoded.tobytes()
