"""A survey as text and as one picture."""

from __future__ import annotations

import math
import textwrap
from collections.abc import Sequence
from typing import TYPE_CHECKING

import cv2
import numpy as np

from mms_ocr.dataset_tools.inspection.survey import Survey
from mms_ocr.datasets.sources import ImageSource
from mms_ocr.utils.decoding import decode_image
from mms_ocr.utils.escaping import printable

if TYPE_CHECKING:
    from matplotlib.figure import Figure

_PERCENTILES = (0, 5, 25, 50, 75, 95, 100)
_CELL = (32, 128)


def describe_survey(survey: Survey) -> str:
    """Some lines that say what a source holds."""
    good = survey.looked_at - survey.broken
    lines = [f"{survey.path}: {survey.kind}, {survey.count:,} images"]
    if survey.looked_at < survey.count:
        lines.append(f"  read          {survey.looked_at:,} of them, spread evenly")
    lines.append(f"  broken        {survey.broken:,} ({survey.broken / survey.looked_at:.2%})")
    lines += [f"                {printable(error)}" for error in survey.errors]
    if survey.broken > len(survey.errors):
        lines.append(f"                … and {survey.broken - len(survey.errors):,} more")
    if not good:
        return "\n".join(lines)
    lines.append(
        f"  duplicates    {survey.duplicates:,} ({survey.duplicates / good:.2%}), by pixels"
    )
    header = "".join(f"{_percentile_name(value):>8}" for value in _PERCENTILES)
    lines.append(f"                {header}")
    for name, values in [
        ("height", survey.heights),
        ("width", survey.widths),
        ("width/height", survey.aspect_ratios),
        ("label length", survey.label_lengths),
    ]:
        if len(values):
            found = np.percentile(values, _PERCENTILES)
            form = "8.2f" if name == "width/height" else "8.0f"
            lines.append(f"  {name:12}  " + "".join(f"{value:{form}}" for value in found))
    if not len(survey.label_lengths):
        return "\n".join([*lines, "  labels        none"])
    empty = int((survey.label_lengths == 0).sum())
    if empty:
        lines.append(f"  labels        {empty:,} of them are empty")
    lines.append(
        f"  characters    {len(survey.characters)} different ones, the most frequent first"
    )
    characters = "".join(_visible(character) for character, _ in survey.characters.most_common())
    return "\n".join([*lines, *("                " + row for row in textwrap.wrap(characters, 80))])


def draw_surveys(surveys: Sequence[Survey], sources: Sequence[ImageSource]) -> Figure:
    """Histograms of sizes, aspect ratios, label lengths and characters, and examples."""
    from matplotlib.figure import Figure

    figure = Figure(figsize=(13, 7 + 1.6 * len(surveys)), layout="constrained")
    grid = figure.add_gridspec(2 + len(surveys), 12, height_ratios=[3, 3, *[1.6] * len(surveys)])
    # Matplotlib would read dollar signs as mathematics, and draws Unicode only.
    names = [printable(_unicode(survey.path)).replace("$", r"\$") for survey in surveys]
    panels = [
        (grid[0, 0:4], "height in pixels", [survey.heights for survey in surveys]),
        (grid[0, 4:8], "width in pixels", [survey.widths for survey in surveys]),
        (grid[0, 8:12], "width / height", [survey.aspect_ratios for survey in surveys]),
        (grid[1, 0:4], "label length", [survey.label_lengths for survey in surveys]),
    ]
    for place, title, values in panels:
        _histogram(figure.add_subplot(place), title, values)
    _characters(figure.add_subplot(grid[1, 4:12]), surveys)
    for number, (survey, source, name) in enumerate(zip(surveys, sources, names)):
        axes = figure.add_subplot(grid[2 + number, :])
        axes.imshow(_examples(survey, source)[:, :, ::-1])
        axes.set_axis_off()
        share = survey.broken / survey.looked_at
        axes.set_title(
            f"{name}: {survey.count:,} images, {share:.2%} broken, "
            f"{survey.duplicates:,} duplicates",
            fontsize="small",
        )
    if len(surveys) > 1:
        figure.axes[0].legend(names, fontsize="x-small")
    return figure


def _histogram(axes, title: str, values: Sequence[np.ndarray]) -> None:  # type: ignore[no-untyped-def]
    axes.set_title(title, fontsize="small")
    filled = [value for value in values if len(value)]
    if not filled:
        axes.text(0.5, 0.5, "none", ha="center", va="center", transform=axes.transAxes)
        return
    top = max(float(np.percentile(value, 99)) for value in filled)
    if filled[0].dtype.kind == "i":  # bins of as many whole numbers each
        step = math.ceil((top + 1) / 40)
        bins = np.arange(-0.5, top + step, step)
    else:
        bins = np.linspace(0, top * 1.05, 41)
    for value in values:
        clipped = np.clip(value, bins[0], bins[-1])
        weights = np.full(len(value), 100 / max(len(value), 1))
        axes.hist(clipped, bins, weights=weights, alpha=0.6)
    axes.set_ylabel("% of images", fontsize="small")


def _characters(axes, surveys: Sequence[Survey]) -> None:  # type: ignore[no-untyped-def]
    axes.set_title("characters, % of all", fontsize="small")
    total = sum((survey.characters for survey in surveys), start=type(surveys[0].characters)())
    shown = [character for character, _ in total.most_common(64)]
    for number, survey in enumerate(surveys):
        count = max(sum(survey.characters.values()), 1)
        heights = [100 * survey.characters[character] / count for character in shown]
        width = 0.8 / len(surveys)
        axes.bar(np.arange(len(shown)) + number * width, heights, width, alpha=0.8)
    labels = [_visible(character) for character in shown]
    # Matplotlib would read dollar signs as mathematics.
    axes.set_xticks(range(len(shown)), labels, fontsize="x-small", parse_math=False)


def _examples(survey: Survey, source: ImageSource) -> np.ndarray:
    """A sheet of example images, each as high as the others and cut or padded to one width."""
    height, width = _CELL
    cells = []
    for index in survey.examples:
        image = decode_image(source.read(index).data)
        scaled = max(1, min(width, round(image.shape[1] * height / image.shape[0])))
        cell = np.full((height + 4, width + 4, 3), 255, np.uint8)
        cell[2 : 2 + height, 2 : 2 + scaled] = cv2.resize(
            image, (scaled, height), interpolation=cv2.INTER_AREA
        )
        cells.append(cell)
    columns = 12
    blank = np.full((height + 4, width + 4, 3), 255, np.uint8)
    cells += [blank] * (-len(cells) % columns or (columns if not cells else 0))
    return np.vstack(
        [np.hstack(cells[start : start + columns]) for start in range(0, len(cells), columns)]
    )


def _unicode(path: str) -> str:
    return path.encode("utf-8", "backslashreplace").decode()


def _percentile_name(value: int) -> str:
    return {0: "min", 50: "median", 100: "max"}.get(value, f"{value}%")


def _visible(character: str) -> str:
    if character == " ":
        return "␣"
    return character if character.isprintable() else f"U+{ord(character):04X}"
