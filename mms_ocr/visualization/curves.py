"""Curves of the values that a run has logged."""

from __future__ import annotations

import json
import math
import os
import re
from pathlib import Path
from typing import Any

Point = tuple[int, float]

# Metrics of validations that are drawn, and their titles.
_VALIDATIONS = {
    r"masked_error/.+": "masked error, held-out images",
    r"recog/word_acc(_ignore_case_symbol)?": "word accuracy, held-out words",
    r"foreground/(iou|f_score)_dataset": "foreground, held-out images",
    r"PSNR": "PSNR of held-out images, dB",
}


def read_scalars(work_dir: str | os.PathLike[str]) -> list[dict[str, Any]]:
    """Read the logged values of a run, each with its iteration.

    If the run was resumed, the values after the checkpoint come from the resumed part. A line that
    a killed run left incomplete is skipped.

    Raises:
        FileNotFoundError: There are none.
    """
    files = sorted(Path(work_dir).glob("*/vis_data/scalars.json"))
    if not files:
        raise FileNotFoundError(
            f"{os.fspath(work_dir)} is not a work folder: it has no */vis_data/scalars.json"
        )
    rows: list[dict[str, Any]] = []
    for file in files:
        start: list[dict[str, Any]] = []
        iteration = 0
        for line in file.read_text(encoding="utf-8").splitlines():
            try:
                row = json.loads(line)
            except json.JSONDecodeError:
                continue
            # Validations may be logged by epochs; their step is then too small.
            iteration = row.get("iter", max(iteration, row.get("step", 0)))
            start.append({**row, "iteration": iteration})
        first = min((row["iteration"] for row in start), default=math.inf)
        rows = [row for row in rows if row["iteration"] < first] + start
    return rows


def training_curves(rows: list[dict[str, Any]], with_parts: bool) -> dict[str, list[Point]]:
    """Collect the points of the loss; with ``with_parts``, of several parts too."""
    names = sorted({key for row in rows if "loss" in row for key in row if key.startswith("loss_")})
    names = ["loss", *(names if with_parts and len(names) > 1 else [])]
    curves = {
        name: [(row["iteration"], row[name]) for row in rows if name in row] for name in names
    }
    return {name: points for name, points in curves.items() if points}


def validation_curves(rows: list[dict[str, Any]]) -> tuple[str, dict[str, list[Point]]]:
    """Return the title of the validations, and the points of their metrics by name."""
    for pattern, title in _VALIDATIONS.items():
        keys = sorted({key for row in rows for key in row if re.fullmatch(pattern, key)})
        if keys:
            return title, {
                key.rpartition("/")[2]: [(row["iteration"], row[key]) for row in rows if key in row]
                for key in keys
            }
    return "validation", {}
