"""Pictures side by side: input, prediction, truth."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import cv2
import numpy as np
from torch import Tensor

from mms_ocr.visualization.sheets import label_columns, stack_rows

# Background black, text white, pixels that do not count gray.
_LABEL_COLORS = np.full((256, 3), 128, np.uint8)
_LABEL_COLORS[:2] = [[0] * 3, [255] * 3]


def to_picture(values: Any) -> np.ndarray:
    """What a sample holds, as people see it.

    Args:
        values: A tensor or array, or something with one as ``data``, such as a PixelData: an RGB
            image ``(3, H, W)``, uint8 or in [0, 1]; or labels ``(1, H, W)`` or ``(H, W)``: 0, 1,
            and 255 for none.

    Returns:
        uint8 RGB ``(H, W, 3)``.

    Raises:
        ValueError: It is neither.
    """
    if not isinstance(values, (Tensor, np.ndarray)):
        values = getattr(values, "data", values)
    array = values.detach().cpu().numpy() if isinstance(values, Tensor) else np.asarray(values)
    if array.ndim == 3 and len(array) == 3:
        if np.issubdtype(array.dtype, np.floating):
            array = np.rint(np.clip(array, 0, 1) * 255)
        return np.ascontiguousarray(array.transpose(1, 2, 0).astype(np.uint8))
    if array.ndim == 2 or (array.ndim == 3 and len(array) == 1):
        return _LABEL_COLORS[array.reshape(array.shape[-2:]).astype(np.uint8)]
    raise ValueError(
        f"a picture is (3, H, W), and labels are (1, H, W) or (H, W); got {tuple(array.shape)}"
    )


def comparison_sheet(
    rows: Sequence[Sequence[np.ndarray]],
    labels: Sequence[str],
    panel: tuple[int, int] = (64, 256),
) -> np.ndarray:
    """Lay pictures out in rows, each stretched to one size, with a line of column names.

    Args:
        rows: uint8 RGB pictures of any size, one for each label in every row.
        labels: Names of the columns.
        panel: Height and width at which each is drawn.

    Returns:
        uint8 RGB sheet.

    Raises:
        ValueError: There is no row, or one has not as many pictures as there are labels.
    """
    if not rows:
        raise ValueError("a sheet needs at least one row, got none")
    for row in rows:
        if len(row) != len(labels):
            raise ValueError(f"a row has {len(row)} pictures and there are {len(labels)} columns")
    return label_columns(
        stack_rows([[_stretch(image, panel) for image in row] for row in rows], 1), labels
    )


def _stretch(image: np.ndarray, panel: tuple[int, int]) -> np.ndarray:
    shrinks = image.shape[0] > panel[0] or image.shape[1] > panel[1]
    how = cv2.INTER_AREA if shrinks else cv2.INTER_NEAREST
    return cv2.resize(np.ascontiguousarray(image), panel[::-1], interpolation=how)
