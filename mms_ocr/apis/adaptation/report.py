"""The report of an adaptation: ``report.html``, ``report.md``, ``report.json``, ``pictures/``."""

from __future__ import annotations

import json
import re
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from mms_ocr.apis.adaptation.figures import TEST_CROPS
from mms_ocr.apis.adaptation.pages import to_html, to_markdown
from mms_ocr.apis.adaptation.pictures import (
    draw_crop,
    draw_curves,
    draw_reconstructions,
    reconstruct_crops,
)
from mms_ocr.apis.adaptation.sections import STRATEGIES, report_sections
from mms_ocr.datasets.sources import LmdbSource
from mms_ocr.utils.files import atomic_write

_DRAWN_CROPS = 6  # in the pictures of reconstructions
_NAMES = re.compile(r"(word_\d\d|filled_\w+|masked_error|loss|accuracy)\.png")
_PRETRAINING = "pretrain"


def write_report(folder: Path, figures: Mapping[str, Any]) -> None:
    """Write the pages of a report, its figures as JSON, and its pictures into a folder.

    The same figures give the same files. Pictures of an earlier report are removed.

    Raises:
        FileNotFoundError: Test crops or weights are missing.
        OSError: The folder cannot be written to.
    """
    pictures = draw_pictures(folder, figures)
    place = folder / "pictures"
    place.mkdir(exist_ok=True)
    for name, data in pictures.items():
        atomic_write(place / name, data)
    for path in place.iterdir():
        if _NAMES.fullmatch(path.name) and path.name not in pictures:
            path.unlink()
    title = f"Adapting a reader: {folder.resolve().name}"
    sections = report_sections(figures, pictures)
    atomic_write(folder / "report.md", to_markdown(title, sections))
    atomic_write(folder / "report.html", to_html(title, sections, pictures))
    content = json.dumps(figures, indent=1, allow_nan=False)  # in ASCII: names may be no UTF-8
    atomic_write(folder / "report.json", content + "\n")


def draw_pictures(folder: Path, figures: Mapping[str, Any]) -> dict[str, bytes]:
    """Draw the pictures of a report: PNG files by name."""
    pictures = _draw_trainings(figures)
    if made := figures["reconstructions"]:
        filled = reconstruct_crops(
            folder, made["config"], made["weights"], TEST_CROPS, _DRAWN_CROPS
        )
        for strategy in made["errors"]["before"]:
            pictures[f"filled_{strategy}.png"] = draw_reconstructions(
                filled["before"], filled["after"], strategy
            )
    if figures["worst_words"]:
        source = LmdbSource(str(folder / TEST_CROPS))
        for number, word in enumerate(figures["worst_words"], start=1):
            pictures[f"word_{number:02}.png"] = draw_crop(source, word["index"])
    return pictures


def _draw_trainings(figures: Mapping[str, Any]) -> dict[str, bytes]:
    points = {name: curves["points"] for name, curves in figures["curves"].items() if curves}
    pretraining = points.pop(_PRETRAINING, {})
    titles = {name: training["title"] for name, training in figures["trainings"].items()}
    protocol = figures["headline"]["protocol"]
    errors = {
        STRATEGIES.get(name, name): line for name, line in pretraining.items() if name != "loss"
    }
    losses, shares = _of_each("loss", points, titles), _of_each(protocol, points, titles)
    pictures = {}
    if errors:
        pictures["masked_error.png"] = draw_curves(errors, "masked error, held-out crops")
    if losses:
        pictures["loss.png"] = draw_curves(losses, "loss, training")
    if shares:
        title = "word accuracy, test words"
        pictures["accuracy.png"] = draw_curves(shares, title, in_percent=True)
    return pictures


def _of_each(
    curve: str, points: Mapping[str, Mapping[str, Any]], titles: Mapping[str, str]
) -> dict[str, Any]:
    return {titles[name]: lines[curve] for name, lines in points.items() if lines.get(curve)}
