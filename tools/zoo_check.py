"""Check the bundled weights against configs/*/metafile.yml, and measure their scores again.

    python tools/zoo_check.py                    # make zoo-check
    python tools/zoo_check.py mms_vit_n_ctc --write

Every score is measured by tools/test.py with its arguments in the metafile, in which {data} is the
folder of test sets (--data, or MMS_OCR_DATA, or ../shared/data). Exit status 1: a file or a score
differs from the metafile, or a test set is missing.
"""

import argparse
import hashlib
import json
import os
import shlex
import subprocess
import sys
import tempfile
from pathlib import Path
from typing import Any

from mms_ocr.apis.bundled_configs import config_folder
from mms_ocr.apis.zoo import MAX_FILE, MAX_TOTAL, Entry, read_zoo, size_in_mb, write_zoo
from mms_ocr.utils.bundled import bundled_file, bundled_names
from mms_ocr.utils.errors import run_program

ROOT = config_folder().parent
# Other machines round differently, which changes the text of a few words.
TOLERANCE = 0.002
TOLERANCE_OF_DECIBELS = 0.02
DECIMALS = 4


def parse_args(argv: list[str] | None = None) -> argparse.Namespace:
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("names", nargs="*", metavar="NAME", help="only these (default: all)")
    parser.add_argument(
        "--data",
        default=os.environ.get("MMS_OCR_DATA") or str(ROOT.parent / "shared" / "data"),
        help="folder of the test sets (default: %(default)s)",
    )
    parser.add_argument("--write", action="store_true", help="write the scores to the metafile")
    parser.add_argument("--traceback", action="store_true", help="show the traceback of an error")
    return parser.parse_args(argv)


def check(args: argparse.Namespace) -> int:
    """Check files and scores; return 1 if any differs from the metafile or was not measured."""
    entries = read_zoo()
    chosen = [bundled_file(name).stem for name in args.names]
    chosen = chosen or sorted({*entries, *bundled_names()})
    if not chosen:
        print("this version bundles no weights")
    faults = check_total()
    for name in chosen:
        faults += [f"{name}: {fault}" for fault in check_file(name, entries.get(name))]
    for name in chosen:
        for result in entries.get(name, {}).get("Results") or []:
            reason = measure(result, args.data, args.write)
            faults += [f"{name}, {result['Dataset']}: {reason}"] if reason else []
            scores = ", ".join(f"{metric} {value}" for metric, value in result["Metrics"].items())
            print(f"{name}, {result['Dataset']}: {reason or scores}", flush=True)
    if args.write:
        write_zoo(entries)
    print("\n".join(["", *faults]) if faults else f"{len(chosen)} models match their metafiles")
    return 1 if faults else 0


def check_total() -> list[str]:
    total = sum(size_in_mb(name) for name in bundled_names())
    return [f"all files have {total:.1f} MB; the limit is {MAX_TOTAL}"] if total > MAX_TOTAL else []


def check_file(name: str, entry: Entry | None) -> list[str]:
    """List the faults of the file of a model, and of the files that describe it."""
    if entry is None:
        return ["the metafile does not describe it"]
    if name not in bundled_names():
        return [f"{name}.safetensors is missing"]
    facts, data = entry["Metadata"], bundled_file(name).read_bytes()
    faults = []
    if hashlib.sha256(data).hexdigest() != facts["SHA256"]:
        faults.append("the SHA-256 differs from that in the metafile")
    if len(data) != facts["File Size"]:
        faults.append(f"the file has {len(data):,} bytes, not {facts['File Size']:,}")
    if len(data) > MAX_FILE * 1e6:
        faults.append(f"the file has more than {MAX_FILE} MB")
    needed = [entry["Config"], facts["Training Log"]]
    return faults + [f"{path} is missing" for path in needed if not (ROOT / path).is_file()]


def measure(result: dict[str, Any], data: str, write: bool) -> str:
    """Measure a result again.

    Args:
        result: Result in the metafile; its metrics are replaced if ``write`` is set.
        data: Folder of the test sets.
        write: Store the measured values without comparing them.

    Returns:
        A description of the faults, ``''`` if there are none.
    """
    forms = shlex.split(result["Arguments"])
    arguments = [form.replace("{data}", data) for form in forms]
    sets = [word.rpartition("=")[2] for word, form in zip(arguments, forms) if word != form]
    if missing := [path for path in sets if not Path(path).exists()]:
        return f"not measured: there is no {', '.join(missing)}"
    try:
        measured = run_test(arguments)
    except (ValueError, OSError) as error:
        return f"not measured: {error}"
    faults = []
    for metric, stored in result["Metrics"].items():
        value = find_score(measured, metric)
        if value is None:
            faults.append(f"there is no score {metric}, or several of them: {', '.join(measured)}")
        elif write:
            result["Metrics"][metric] = round(value, DECIMALS)
        elif stored is None:
            faults.append(f"{metric} is {value:.4f}, but the metafile has none (use --write)")
        elif abs(value - stored) > (TOLERANCE if abs(stored) <= 1 else TOLERANCE_OF_DECIBELS):
            faults.append(f"{metric} is {value:.4f}, but {stored:.4f} in the metafile")
    return "; ".join(faults)


def run_test(arguments: list[str]) -> dict[str, float]:
    """Run tools/test.py, and return its scores.

    Raises:
        ValueError: It fails.
    """
    with tempfile.TemporaryDirectory() as folder:
        command = [sys.executable, str(ROOT / "tools/test.py"), *arguments, "--work-dir", folder]
        done = subprocess.run(command, cwd=ROOT, capture_output=True, text=True, check=False)
        files = sorted(Path(folder).glob("*/*.json"))
        if done.returncode or not files:
            raise ValueError((done.stderr.strip() or "no scores").splitlines()[-1])
        return json.loads(files[-1].read_text())


def find_score(measured: dict[str, float], metric: str) -> float | None:
    """Find a score by its name, or the only score whose name ends in it."""
    values = [value for name, value in measured.items() if f"/{name}".endswith(f"/{metric}")]
    is_one = bool(values) and max(values) - min(values) < 1e-9
    return measured.get(metric, values[0] if is_one else None)


def main(argv: list[str] | None = None) -> int:
    return run_program("zoo_check.py", lambda: parse_args(argv), check)


if __name__ == "__main__":
    sys.exit(main())
