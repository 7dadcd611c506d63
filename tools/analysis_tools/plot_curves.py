"""Plot the loss and the validations of one or several runs of any task."""

import argparse
import io
import sys
from pathlib import Path

import matplotlib

from mms_ocr.apis.pictures import check_picture
from mms_ocr.utils.errors import run_program
from mms_ocr.utils.files import atomic_write
from mms_ocr.visualization.curves import read_scalars, training_curves, validation_curves

matplotlib.use("Agg")
import matplotlib.pyplot as plt

STYLES = ("-", "--", ":", "-.")


def parse_args():
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("work_dirs", nargs="+", help="work folders of runs")
    parser.add_argument(
        "--out", default="curves.png", help="picture to write (default: %(default)s)"
    )
    parser.add_argument("--traceback", action="store_true", help="show the traceback of an error")
    return parser.parse_args()


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
