"""Pictures of single samples."""

from __future__ import annotations

import re
from collections.abc import Sequence
from pathlib import PurePath
from typing import Any

import cv2
import numpy as np
from mmengine.config import Config
from mmengine.hooks import Hook
from mmengine.runner import Runner
from mmengine.structures import BaseDataElement
from mmengine.visualization import Visualizer
from torch import Tensor

from mms_ocr.registry import HOOKS, type_name


@HOOKS.register_module()
class VisualizationHook(Hook):
    """MMOCR's ``VisualizationHook``, for images from any source.

    MMOCR's hook reads each image again from the file ``img_path``, and fails for images in an LMDB
    and for rendered ones. This one draws the image that the model got, at its original size.

    Args:
        enable: Whether to draw.
        interval: Number of validation batches from one that is drawn to the next.
        score_thr: Threshold for the visualizer.
        backend_args: Not used.
        **options: ``draw_gt``, ``draw_pred``, ``show``, ``wait_time`` (seconds) of the visualizer.

    Raises:
        ValueError: An option is unknown.
    """

    def __init__(
        self,
        enable: bool = False,
        interval: int = 50,
        score_thr: float = 0.3,
        backend_args: dict | None = None,
        **options: Any,
    ) -> None:
        self.enable = enable
        self.interval = interval
        defaults = dict(draw_gt=False, draw_pred=False, show=False, wait_time=0.0)
        if unknown := options.keys() - defaults:
            raise ValueError(f"VisualizationHook has no argument {', '.join(sorted(unknown))}")
        self.options = {**defaults, **options, "pred_score_thr": score_thr}

    def before_run(self, runner: Runner) -> None:
        """Raise ValueError if the visualizer cannot draw samples."""
        kind = type(runner.visualizer)
        if self.enable and kind.add_datasample is Visualizer.add_datasample:
            raise ValueError(
                f"VisualizationHook needs a visualizer that draws samples, and {kind.__name__} "
                "does not; set visualizer.type=mmocr.TextRecogLocalVisualizer, or enable=False"
            )

    before_test = before_run

    def after_val_iter(
        self, runner: Runner, batch_idx: int, data_batch: Any = None, outputs: Any = None
    ) -> None:
        """Draw every ``interval``-th batch."""
        if (runner.iter + batch_idx) % self.interval == 0:
            self._draw(runner, data_batch, outputs, runner.iter + batch_idx)

    def after_test_iter(
        self, runner: Runner, batch_idx: int, data_batch: Any = None, outputs: Any = None
    ) -> None:
        """Draw every batch."""
        self._draw(runner, data_batch, outputs, batch_idx)

    def _draw(self, runner: Runner, data_batch: Any, outputs: Sequence | None, step: int) -> None:
        if not self.enable or not outputs:
            return
        for number, (image, sample) in enumerate(zip(data_batch["inputs"], outputs)):
            path = PurePath(sample.get("img_path") or "image").name
            # Valid on any file system; images of several folders may have the same name.
            name = re.sub(r"[^\w-]+", "_", re.sub(r"\.\w+$", "", path))[-60:]
            picture = _picture(image, sample)
            runner.visualizer.add_datasample(
                f"{name}_{number}", picture, data_sample=sample, step=step, **self.options
            )


def _picture(image: Tensor, sample: BaseDataElement) -> np.ndarray:
    """Turn BGR ``(3, H, W)`` into RGB ``(H, W, 3)``, at the original size if that is known."""
    # The rest of the width is MMOCR's PadToWidth.
    width = max(1, round(image.shape[-1] * sample.get("valid_ratio", 1)))
    image = image[..., :width].flip(0).permute(1, 2, 0)
    picture = np.ascontiguousarray(image.byte().cpu().numpy())
    size = sample.get("ori_shape")
    return cv2.resize(picture, (size[1], size[0])) if size else picture


def use_visualization_hook(cfg: Config) -> None:
    """Replace MMOCR's hook by :class:`VisualizationHook` in a config for word images."""
    if type_name(cfg.get("visualizer") or {}).startswith(("KIE", "TextDet", "TextSpotting")):
        return
    names = ["mmocr.VisualizationHook"]
    if cfg.get("default_scope") == "mmocr":
        names.append("VisualizationHook")
    for hook in [*(cfg.get("default_hooks") or {}).values(), *(cfg.get("custom_hooks") or [])]:
        if isinstance(hook, dict) and hook.get("type") in names:
            hook["type"] = "mms_ocr.VisualizationHook"
