"""Plot the loss and the validations of one or several runs of any task."""

import argparse
import io
import json
import math
import re
import sys
from pathlib import Path

import matplotlib

from mms_ocr.apis.pictures import check_picture
from mms_ocr.utils.errors import run_program
from mms_ocr.utils.files import atomic_write

matplotlib.use("Agg")
import matplotlib.pyplot as plt

# Metrics of validations that are drawn, and their titles.
VALIDATIONS = {
    r"masked_error/.+": "masked error, held-out images",
    r"recog/word_acc(_ignore_case_symbol)?": "word accuracy, held-out words",
    r"foreground/(iou|f_score)_dataset": "foreground, held-out images",
    r"PSNR": "PSNR of held-out images, dB",
}
STYLES = ("-", "--", ":", "-.")


def parse_args():
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("work_dirs", nargs="+", help="work folders of runs")
    parser.add_argument(
        "--out", default="curves.png", help="picture to write (default: %(default)s)"
    )
    parser.add_argument("--traceback", action="store_true", help="show the traceback of an error")
    return parser.parse_args()


def read_scalars(work_dir: str) -> list[dict]:
    """Read the logged values of a run, each with its iteration.

    If the run was resumed, the values after the checkpoint come from the resumed part.
    """
    files = sorted(Path(work_dir).glob("*/vis_data/scalars.json"))
    if not files:
        raise FileNotFoundError(
            f"{work_dir} is not a work folder: it has no */vis_data/scalars.json"
        )
    rows: list[dict] = []
    for file in files:
        start, iteration = [], 0
        for line in file.read_text().splitlines():
            row = json.loads(line)
            # Validations may be logged by epochs; their step is then too small.
            iteration = row.get("iter", max(iteration, row.get("step", 0)))
            start.append({**row, "iteration": iteration})
        first = min((row["iteration"] for row in start), default=math.inf)
        rows = [row for row in rows if row["iteration"] < first] + start
    return rows


def training_curves(rows: list[dict], with_parts: bool) -> dict[str, list[tuple]]:
    """Collect the points of the loss; with ``with_parts``, of several parts too."""
    names = sorted({key for row in rows if "loss" in row for key in row if key.startswith("loss_")})
    names = ["loss", *(names if with_parts and len(names) > 1 else [])]
    curves = {
        name: [(row["iteration"], row[name]) for row in rows if name in row] for name in names
    }
    return {name: points for name, points in curves.items() if points}


def validation_curves(rows: list[dict]) -> tuple[str, dict[str, list[tuple]]]:
    """Return the title of the validations, and the points of their metrics by name."""
    for pattern, title in VALIDATIONS.items():
        keys = sorted({key for row in rows for key in row if re.fullmatch(pattern, key)})
        if keys:
            return title, {
                key.rpartition("/")[2]: [(row["iteration"], row[key]) for row in rows if key in row]
                for key in keys
            }
    return "validation", {}


def plot(args: argparse.Namespace) -> None:
    check_picture(args.out, args.work_dirs, (".png", ".pdf", ".svg", ".jpg"))
    figure, (left, right) = plt.subplots(1, 2, figsize=(10, 3.6), constrained_layout=True)
    titles = []
    for run, work_dir in enumerate(args.work_dirs):
        rows = read_scalars(work_dir)
        several = len(args.work_dirs) > 1
        name = Path(work_dir).resolve().name if several else ""
        for curve, points in training_curves(rows, with_parts=not several).items():
            left.plot(*zip(*points), label=name or curve, color=f"C{run}" if several else None)
        title, curves = validation_curves(rows)
        titles += [title] if title not in titles else []
        for number, (key, points) in enumerate(curves.items()):
            # Colors are for runs if there are several, else for metrics.
            style = dict(color=f"C{run}", linestyle=STYLES[number % len(STYLES)]) if several else {}
            right.plot(*zip(*points), marker=".", label=f"{name} {key}".strip(), **style)
    left.set(title="loss, training", xlabel="iteration")
    right.set(title="; ".join(titles), xlabel="iteration")
    for axes in (left, right):
        axes.grid(alpha=0.3)
        if axes.lines:
            axes.legend(fontsize="small")
    drawn = io.BytesIO()
    figure.savefig(drawn, dpi=100, format=Path(args.out).suffix[1:].lower())
    atomic_write(args.out, drawn.getvalue())
    plt.close(figure)
    print(f"curves of {len(args.work_dirs)} run(s): {args.out}")


if __name__ == "__main__":
    sys.exit(run_program("plot_curves.py", parse_args, plot))
