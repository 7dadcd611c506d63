"""Plot the training loss and the validation error per strategy of one or several runs."""

import argparse
import json
import sys
from pathlib import Path

import matplotlib

from mms_ocr.apis.errors import run_command

matplotlib.use("Agg")
import matplotlib.pyplot as plt


def parse_args():
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("work_dirs", nargs="+", help="work folders of runs")
    parser.add_argument(
        "--out", default="curves.png", help="picture to write (default: %(default)s)"
    )
    parser.add_argument(
        "--traceback", action="store_true", help="show where in the code an error arose"
    )
    return parser.parse_args()


def read_scalars(work_dir: str) -> list[dict]:
    """Logged values of the newest start of a run, each with the iteration of its writing."""
    files = sorted(Path(work_dir).glob("*/vis_data/scalars.json"))
    if not files:
        raise FileNotFoundError(f"{work_dir} is no work folder: it has no */vis_data/scalars.json")
    rows, iteration = [], 0
    for line in files[-1].read_text().splitlines():
        row = json.loads(line)
        # Validation may be logged by epochs, of which such a run has none.
        iteration = row.get("iter", max(iteration, row.get("step", 0)))
        rows.append({**row, "iteration": iteration})
    return rows


def plot(args: argparse.Namespace) -> None:
    figure, (left, right) = plt.subplots(1, 2, figsize=(10, 3.6), constrained_layout=True)
    for work_dir in args.work_dirs:
        rows = read_scalars(work_dir)
        name = Path(work_dir).name if len(args.work_dirs) > 1 else ""
        training = [(row["iteration"], row["loss_pixel"]) for row in rows if "loss_pixel" in row]
        left.plot(*zip(*training), label=name or "training")
        errors = sorted({key for row in rows for key in row if key.startswith("masked_error/")})
        for key in errors:
            points = [(row["iteration"], row[key]) for row in rows if key in row]
            label = f"{name} {key.removeprefix('masked_error/')}".strip()
            right.plot(*zip(*points), marker=".", label=label)
    left.set(title="loss on removed patches, training", xlabel="iteration")
    right.set(title="masked error, held-out images", xlabel="iteration")
    for axes in (left, right):
        axes.grid(alpha=0.3)
        axes.legend()
    Path(args.out).parent.mkdir(parents=True, exist_ok=True)
    figure.savefig(args.out, dpi=100)
    print(f"curves of {len(args.work_dirs)} run(s): {args.out}")


if __name__ == "__main__":
    options = parse_args()
    sys.exit(run_command("plot_curves.py", lambda: plot(options), traceback=options.traceback))
