"""Convert Union14M-L and Union14M-Benchmark, as released, to JSON lines in the same folder.

    python tools/dataset_converters/union14m.py data/union14m_l

writes ``train.jsonl`` (easy, medium, normal, hard and challenging, one after the other),
``val.jsonl``, and ``Union14M-Benchmarks/NAME.jsonl`` for every set of the benchmark. Existing
files are kept, so that the same command continues after an interrupt.
"""

import argparse
import sys
from pathlib import Path

from mms_ocr.cli.main import main as mms_ocr
from mms_ocr.utils.errors import run_command

DIFFICULTIES = ("easy", "medium", "normal", "hard", "challenging")
PARTS = ("train", "val", "benchmark")


def parse_args(argv: list[str]) -> argparse.Namespace:
    parser = argparse.ArgumentParser(
        description=__doc__.splitlines()[0],
        epilog="After --, options of `mms-ocr labels` may follow, such as -- --skip-images.",
    )
    parser.add_argument("root", type=Path, help="the unpacked folder, with train_annos")
    parser.add_argument(
        "--parts", nargs="+", choices=PARTS, default=list(PARTS), help="parts to convert (all)"
    )
    parser.add_argument(
        "--difficulties",
        nargs="+",
        choices=DIFFICULTIES,
        default=DIFFICULTIES,
        help="parts of the training set (all)",
    )
    # Not argparse.REMAINDER, which would pass options after the folder to `labels`.
    end = argv.index("--") if "--" in argv else len(argv)
    args = parser.parse_args(argv[:end])
    args.labels_options = argv[end + 1 :]
    return args


def annotation(folder: Path, name: str) -> Path:
    """Find the annotation file of a name: of MMOCR 1, or else of 0.x."""
    files = sorted(folder.glob(f"mmocr*1*/{name}.json")) or sorted(
        folder.glob(f"mmocr*/{name}.jsonl")
    )
    if not files:
        raise FileNotFoundError(
            f"no mmocr1.0/{name}.json in {folder}: give the folder of Union14M-L as unpacked"
        )
    if len(files) > 1:
        raise ValueError(f"{files[0]} and {files[1]} have the same name; move one of them away")
    return files[0]


def jobs(args: argparse.Namespace) -> list[tuple[list[Path], Path, Path]]:
    """List annotation files, the file to write, and the folder that names are relative to."""
    listed = []
    annotations = args.root / "train_annos"
    if "train" in args.parts:
        files = [annotation(annotations, f"train_{name}") for name in args.difficulties]
        listed.append((files, args.root / "train.jsonl", args.root))
    if "val" in args.parts:
        listed.append(([annotation(annotations, "val_annos")], args.root / "val.jsonl", args.root))
    if "benchmark" in args.parts:
        benchmarks = args.root / "Union14M-Benchmarks"
        sets = sorted(benchmarks.glob("*/annotation.json"))
        if not sets:
            raise FileNotFoundError(f"no NAME/annotation.json in {benchmarks}")
        for file in sets:
            out = benchmarks / f"{file.parent.name.replace('artsitic', 'artistic')}.jsonl"
            listed.append(([file], out, None))
    return listed


def convert(args: argparse.Namespace) -> int:
    for files, out, root in jobs(args):
        if out.exists():
            print(f"{out} exists already")
            continue
        command = ["labels", *map(str, files), "--out", str(out), *args.labels_options]
        status = mms_ocr([*command, *([] if root is None else ["--data-root", str(root)])])
        if status:
            return status
    return 0


if __name__ == "__main__":
    arguments = parse_args(sys.argv[1:])
    sys.exit(run_command("union14m.py", lambda: convert(arguments), traceback=False))
