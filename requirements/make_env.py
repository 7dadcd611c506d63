"""Make the virtual environment of ``make env``: the exact versions of requirements/lock/.

An environment that was made from the same lock files by the same Python is kept. Another one,
or an incomplete one, is made again. Groups of packages that only some targets need, such as
``docs``, are added to it when they are asked for.
"""

from __future__ import annotations

import argparse
import hashlib
import os
import shutil
import subprocess
import sys
import tempfile
import time
from pathlib import Path

REPOSITORY = Path(__file__).resolve().parents[1]
LOCK = REPOSITORY / "requirements" / "lock"
# Each step: what is said, and pip's arguments. The order matters: onedl-mmcv is built while torch
# is absent, or it would compile its operators.
PIP_STEPS = (
    ("build tools", ["-r", "build.txt"]),
    (
        "MMCV, MMDetection and MMPretrain, from their sources",
        # No cache: a wheel of onedl-mmcv cached by another project may hold compiled operators
        # that only fit another torch.
        ["--no-deps", "--no-build-isolation", "--no-cache-dir", "-r", "sdists.txt"],
    ),
    ("MMEngine, MMOCR and what they need", ["--no-deps", "-r", "stack.txt"]),
    ("torch, the largest part", ["-r", "torch.txt", "-c", "stack.txt"]),
    ("mms_ocr itself", ["--no-deps", "--no-build-isolation", "-e", str(REPOSITORY)]),
)
# Groups of packages beside them, by the name of their lock file: the first Python that they are
# tested with.
GROUPS = {"browser": (3, 10), "docs": (3, 11), "web": (3, 10)}
LOG_LINES_SHOWN = 15


class SetupError(Exception):
    """Something that the user has to know, in the words of its message."""


def fingerprint() -> str:
    """Hash the inputs of an environment: lock files, packaging, Python, path of the checkout."""
    digest = hashlib.sha256()
    locks = [path for path in sorted(LOCK.glob("*.txt")) if path.stem not in GROUPS]
    for path in [*locks, REPOSITORY / "setup.py", Path(__file__)]:
        digest.update(path.name.encode() + b"\0" + path.read_bytes() + b"\0")
    # mms_ocr is linked by path, and a virtual environment cannot be moved.
    digest.update(f"{sys.version}\0{sys.base_prefix}\0{REPOSITORY}".encode())
    return digest.hexdigest()


def venv_python(venv: Path) -> Path:
    """Return the environment's interpreter."""
    return venv / ("Scripts/python.exe" if os.name == "nt" else "bin/python")


def is_ready(venv: Path, stamp: Path) -> bool:
    """Return whether the environment is complete and made from the current requirements."""
    if not stamp.is_file() or stamp.read_text() != fingerprint():
        return False
    try:
        # Its base Python may have gone since.
        subprocess.run([venv_python(venv), "-c", "pass"], check=True, capture_output=True)
    except (OSError, subprocess.CalledProcessError):
        return False
    return True


def create(venv: Path) -> None:
    """Create an empty environment with pip at ``venv``, replacing an existing one."""
    if venv.exists():
        if any(venv.iterdir()) and not (venv / "pyvenv.cfg").is_file():
            raise SetupError(
                f"{venv} is not a virtual environment: move it away, or choose another place with "
                "make env VENV=…"
            )
        print(f"{venv} is out of date or incomplete: made again", flush=True)
        shutil.rmtree(venv)
    run_venv(venv)


def run_venv(venv: Path, *options: str) -> None:
    """Call Python's own venv module."""
    # Not sys.executable, which is in the very folder just removed where the user has activated it.
    base = getattr(sys, "_base_executable", sys.executable)
    command = [base, "-m", "venv", *options, str(venv)]
    result = subprocess.run(command, capture_output=True, text=True, check=False)
    if result.returncode != 0:
        shutil.rmtree(venv, ignore_errors=True)
        raise SetupError(
            f"{base} cannot make a virtual environment with pip in it. Install what it lacks "
            "(Debian, Ubuntu: apt-get install python3-venv) or name another Python: "
            "make env PYTHON=/path/to/python3"
        )


def pip_install(python: Path, arguments: list[str], log: Path) -> None:
    """Run ``pip install`` with its output in ``log``."""
    command = [str(python), "-m", "pip", "install", "--disable-pip-version-check", *arguments]
    # Only the lock files count, whatever the shell has set.
    kept = {k: v for k, v in os.environ.items() if k not in ("PYTHONPATH", "PYTHONHOME")}
    with log.open("a") as output:
        output.write(f"$ {' '.join(command)}\n")
        output.flush()
        process = subprocess.Popen(
            command, cwd=LOCK, env=kept, stdin=subprocess.DEVNULL, stdout=output, stderr=output
        )
        try:
            _wait(process, log)
        except BaseException:
            process.terminate()
            process.wait()
            raise
    if process.returncode != 0:
        last = "\n".join(f"  {line}" for line in log.read_text().splitlines()[-LOG_LINES_SHOWN:])
        raise SetupError(f"pip failed. All it said is in {log}; its last lines:\n{last}")


def _wait(process: subprocess.Popen[bytes], log: Path) -> None:
    """Wait for pip; on a terminal, show that it lives by the last line it wrote."""
    started = time.monotonic()
    while process.poll() is None:
        time.sleep(0.2)
        if sys.stdout.isatty():
            with log.open("rb") as output:
                output.seek(max(0, log.stat().st_size - 1000))
                lines = output.read().decode(errors="replace").strip().splitlines()
            line = f"    {time.monotonic() - started:3.0f} s  {lines[-1] if lines else ''}"
            width = shutil.get_terminal_size().columns - 1
            print("\r" + line[:width].ljust(width), end="\r", flush=True)
    if sys.stdout.isatty():
        print(" " * (shutil.get_terminal_size().columns - 1), end="\r", flush=True)


def check(python: Path) -> None:
    """Import the whole stack once, which also compiles it to bytecode."""
    modules = "mms_ocr, torch, mmpretrain.models, mmocr.models, mmocr.datasets, mmocr.apis"
    # From elsewhere: the package must come from the environment, not from the working directory.
    with tempfile.TemporaryDirectory() as elsewhere:
        tried = subprocess.run(
            [str(python), "-c", f"import {modules}"],
            cwd=elsewhere,
            capture_output=True,
            text=True,
            check=False,
        )
    if tried.returncode != 0:
        raise SetupError(f"the installed packages do not import:\n{tried.stderr}")


def make(venv: Path) -> None:
    """Make the environment unless it is ready."""
    stamp = venv / "made-from"
    if is_ready(venv, stamp):
        return
    started = time.monotonic()
    print(f"making {venv} with Python {sys.version.split()[0]} ({sys.executable})", flush=True)
    create(venv)
    log = venv / "install.log"
    for number, (what, arguments) in enumerate(PIP_STEPS, start=1):
        print(f"  {number}/{len(PIP_STEPS)} {what}", flush=True)
        pip_install(venv_python(venv), arguments, log)
    check(venv_python(venv))
    # Written last: an environment without it is treated as incomplete.
    stamp.write_text(fingerprint())
    print(f"made {venv} in {time.monotonic() - started:.0f} s", flush=True)


def add_group(venv: Path, group: str) -> None:
    """Add a group of packages to a made environment, unless it is there."""
    first = GROUPS[group]
    if sys.version_info < first:
        raise SetupError(
            f"the packages of {group} need Python {first[0]}.{first[1]} or newer, and this is "
            f"{sys.version.split()[0]}: make PYTHON=python3.11 VENV=.venv-{group} {group}"
        )
    stamp = venv / f"made-with-{group}"
    lock = LOCK / f"{group}.txt"
    if stamp.is_file() and stamp.read_text() == lock.read_text():
        return
    print(f"adding the packages of {group} to {venv}", flush=True)
    pip_install(venv_python(venv), ["--no-deps", "-r", lock.name], venv / "install.log")
    stamp.write_text(lock.read_text())


def main() -> int:
    """Read the command line and make the environment."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("venv", type=Path, help="where the environment is to be")
    parser.add_argument(
        "--with", dest="groups", action="append", choices=GROUPS, default=[],
        help="packages to add"
    )  # fmt: skip
    args = parser.parse_args()
    try:
        make(args.venv.absolute())
        for group in args.groups:
            add_group(args.venv.absolute(), group)
    except SetupError as error:
        print(f"make env: {error}", file=sys.stderr)
        return 1
    except KeyboardInterrupt:
        print("\nmake env: interrupted; the next call starts again", file=sys.stderr)
        return 130
    return 0


if __name__ == "__main__":
    sys.exit(main())
