"""Contents of a data set, counted and drawn: sizes, labels, broken images, duplicates, examples."""

from __future__ import annotations

import math
import textwrap
from array import array
from collections import Counter
from collections.abc import Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

import numpy as np

from mms_ocr.dataset_tools.fingerprints import fingerprints
from mms_ocr.datasets.sources import ImageSource
from mms_ocr.utils.decoding import decode_image
from mms_ocr.utils.escaping import printable, visible
from mms_ocr.utils.progress import Progress, silent
from mms_ocr.visualization import fit_picture, picture_grid

if TYPE_CHECKING:
    from matplotlib.figure import Figure

_KEPT_ERRORS = 5
_EXAMPLES = 36
_COLUMNS = 12
_CELL = (32, 128)
_PERCENTILES = {0: "min", 5: "5%", 25: "25%", 50: "median", 75: "75%", 95: "95%", 100: "max"}


@dataclass
class Survey:
    """Contents of a source; sizes, duplicates and examples are those of the good images."""

    path: str
    kind: str
    count: int  # images in the source
    examined: int  # images that were read
    broken: int
    errors: list[str]  # of the first broken images
    heights: np.ndarray
    widths: np.ndarray
    label_lengths: np.ndarray  # empty without labels
    characters: Counter[str]
    duplicates: int  # images that equal an earlier one pixel by pixel
    examples: list[int]  # indices

    @property
    def numbers(self) -> dict[str, np.ndarray]:
        """Sizes and label lengths, by name."""
        return {
            "height": self.heights,
            "width": self.widths,
            "width/height": self.widths / self.heights,
            "label length": self.label_lengths,
        }


def survey_source(
    source: ImageSource,
    sample: int | None = None,
    workers: int = 0,
    progress: Progress = silent,
) -> Survey:
    """Read the images of a source, or a sample spread evenly over it, and count its contents."""
    indices = np.arange(len(source))
    if sample is not None and sample < len(source):
        indices = np.linspace(0, len(source) - 1, sample).astype(np.int64)
    # Arrays, as ten million images would take gigabytes in lists.
    heights, widths, lengths, good = array("i"), array("i"), array("i"), array("q")
    pixels = array("Q")
    errors: list[str] = []
    characters: Counter[str] = Counter()
    try:
        source.check_labels()
        has_labels = True
    except ValueError:
        has_labels = False
    title = f"reading {source.path}"
    for image in fingerprints(source, indices, has_labels, False, workers, title, progress):
        if image.error is not None:
            errors += [image.error][: _KEPT_ERRORS - len(errors)]
            continue
        heights.append(image.shape[0])
        widths.append(image.shape[1])
        pixels.append(image.pixels)
        good.append(image.index)
        if image.text is not None:
            lengths.append(len(image.text))
            characters.update(image.text)
    spread = np.linspace(0, len(good) - 1, min(_EXAMPLES, len(good)))
    return Survey(
        path=source.path,
        kind=source.kind,
        count=len(source),
        examined=len(indices),
        broken=len(indices) - len(good),
        errors=errors,
        heights=np.array(heights),
        widths=np.array(widths),
        label_lengths=np.array(lengths),
        characters=characters,
        duplicates=len(pixels) - len(np.unique(np.array(pixels))),
        examples=[good[int(place)] for place in spread],
    )


def describe_survey(survey: Survey) -> str:
    """Describe a survey in some lines of text."""
    good = survey.examined - survey.broken
    lines = [f"{survey.path}: {survey.kind}, {survey.count:,} images"]
    if survey.examined < survey.count:
        lines.append(f"  read          {survey.examined:,} of them, spread evenly")
    lines.append(f"  broken        {survey.broken:,} ({survey.broken / survey.examined:.2%})")
    lines += [f"                {printable(error)}" for error in survey.errors]
    if survey.broken > len(survey.errors):
        lines.append(f"                … and {survey.broken - len(survey.errors):,} more")
    if not good:
        return "\n".join(lines)
    share = survey.duplicates / good
    lines.append(f"  duplicates    {survey.duplicates:,} ({share:.2%}), by pixels")
    lines.append(" " * 16 + "".join(f"{name:>8}" for name in _PERCENTILES.values()))
    for name, values in survey.numbers.items():
        if len(values):
            form = "8.2f" if name == "width/height" else "8.0f"
            percentiles = np.percentile(values, list(_PERCENTILES))
            lines.append(f"  {name:12}  " + "".join(f"{value:{form}}" for value in percentiles))
    if not len(survey.label_lengths):
        return "\n".join([*lines, "  labels        none"])
    if empty := int((survey.label_lengths == 0).sum()):
        lines.append(f"  labels        {empty:,} of them are empty")
    lines.append(f"  characters    {len(survey.characters)} different, the most frequent first")
    characters = "".join(visible(character) for character, _ in survey.characters.most_common())
    return "\n".join([*lines, *(" " * 16 + row for row in textwrap.wrap(characters, 80))])


def draw_surveys(surveys: Sequence[Survey], sources: Sequence[ImageSource]) -> Figure:
    """Draw histograms of sizes, aspect ratios, label lengths and characters, and examples."""
    from matplotlib.figure import Figure

    figure = Figure(figsize=(13, 7 + 1.6 * len(surveys)), layout="constrained")
    grid = figure.add_gridspec(2 + len(surveys), 12, height_ratios=[3, 3, *[1.6] * len(surveys)])
    # Matplotlib reads dollar signs as mathematics, and draws Unicode only.
    paths = [survey.path.encode("utf-8", "backslashreplace").decode() for survey in surveys]
    names = [printable(path).replace("$", r"\$") for path in paths]
    places = grid[0, 0:4], grid[0, 4:8], grid[0, 8:12], grid[1, 0:4]
    for place, name in zip(places, surveys[0].numbers):
        values = [survey.numbers[name] for survey in surveys]
        _draw_histogram(figure.add_subplot(place), name, values)
    _draw_characters(figure.add_subplot(grid[1, 4:12]), surveys)
    for row, (survey, source, name) in enumerate(zip(surveys, sources, names), start=2):
        axes = figure.add_subplot(grid[row, :])
        if survey.examples:
            axes.imshow(_examples(survey, source)[:, :, ::-1])
        axes.set_axis_off()
        share = survey.broken / survey.examined
        title = f"{name}: {survey.count:,} images, {share:.2%} broken"
        axes.set_title(f"{title}, {survey.duplicates:,} duplicates", fontsize="small")
    if len(surveys) > 1:
        figure.axes[0].legend(names, fontsize="x-small")
    return figure


def _draw_histogram(axes: Any, title: str, values: Sequence[np.ndarray]) -> None:
    axes.set_title(title, fontsize="small")
    filled = [value for value in values if len(value)]
    if not filled:
        return
    top = max(float(np.percentile(value, 99)) for value in filled)
    if filled[0].dtype.kind == "i":  # bins with equally many whole numbers
        step = math.ceil((top + 1) / 40)
        bins = np.arange(-0.5, top + step, step)
    else:
        bins = np.linspace(0, top * 1.05, 41)
    for value in values:
        clipped = np.clip(value, bins[0], bins[-1])
        axes.hist(clipped, bins, weights=np.full(len(value), 100 / max(len(value), 1)), alpha=0.6)
    axes.set_ylabel("% of images", fontsize="small")


def _draw_characters(axes: Any, surveys: Sequence[Survey]) -> None:
    axes.set_title("characters, % of all", fontsize="small")
    total = sum((survey.characters for survey in surveys), start=Counter())
    shown = [character for character, _ in total.most_common(64)]
    width = 0.8 / len(surveys)
    for number, survey in enumerate(surveys):
        count = max(sum(survey.characters.values()), 1)
        heights = [100 * survey.characters[character] / count for character in shown]
        axes.bar(np.arange(len(shown)) + number * width, heights, width, alpha=0.8)
    labels = [visible(character) for character in shown]
    axes.set_xticks(range(len(shown)), labels, fontsize="x-small", parse_math=False)


def _examples(survey: Survey, source: ImageSource) -> np.ndarray:
    height, width = _CELL
    cells = [
        fit_picture(decode_image(source.read(index).data), height, width, width)
        for index in survey.examples
    ]
    cells += [np.full((height, width, 3), 255, np.uint8)] * (-len(cells) % _COLUMNS)
    return picture_grid([cells[i : i + _COLUMNS] for i in range(0, len(cells), _COLUMNS)])
