"""``mms-ocr doctor``: what is installed, what is missing, and the commands to install it."""

from __future__ import annotations

import argparse
import contextlib
import dataclasses
import importlib.metadata
import importlib.util
import io
import json
import os
import platform
import shlex
import sys
from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import TYPE_CHECKING, Any

import mms_ocr
from mms_ocr import compat

if TYPE_CHECKING:
    from packaging.requirements import Requirement

HELP = "report what is installed and what is missing, and the commands to install it"

# Files of requirements/, in the order of installation. mmocr-nodeps.txt is installed without the
# requirements of its packages.
_NEEDED = ("torch", "runtime", "openmmlab")
_OPTIONAL = ("mmocr", "mmocr-nodeps")
_WITHOUT_DEPENDENCIES = "mmocr-nodeps"
# Modules of distributions, where the names differ.
_MODULES = {
    "imaug": "imgaug",
    "onedl-mmcv": "mmcv",
    "onedl-mmdetection": "mmdet",
    "onedl-mmengine": "mmengine",
    "onedl-mmpretrain": "mmpretrain",
    "opencv-python": "cv2",
    "pillow": "PIL",
    "scikit-image": "skimage",
}
# Other distributions of the same module.
_ALTERNATIVES = {
    "PIL": ("pillow-simd",),
    "cv2": (
        "opencv-python-headless",
        "opencv-contrib-python",
        "opencv-contrib-python-headless",
    ),
    "imgaug": ("imgaug",),
    "mmcv": ("mmcv", "mmcv-lite", "mmcv-full"),
    "mmdet": ("mmdet",),
    "mmengine": ("mmengine", "mmengine-lite"),
    "mmpretrain": ("mmpretrain",),
}
# What is imported, where the package itself imports too little to show that it works.
_IMPORTS = {"mmocr": "mmocr.models", "mmpretrain": "mmpretrain.models"}
_REINSTALL = ("--force-reinstall", "--no-deps", "--no-cache-dir")


@dataclass
class Finding:
    """State of one required module.

    Attributes:
        requirement: As in requirements/, such as ``'torch>=2.5'``.
        state: ok, missing, unsupported (its version), or broken (it cannot be imported).
        distributions: Installed distributions that provide the module.
        detail: The error of a broken module.
    """

    module: str
    requirement: str
    group: str
    state: str = "ok"
    version: str | None = None
    distributions: list[str] = field(default_factory=list)
    detail: str = ""

    @property
    def needed(self) -> bool:
        """Whether mms_ocr does not work without it."""
        return self.group in _NEEDED


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """Declare the command's options."""
    parser.add_argument("--json", action="store_true", help="print all of it as one JSON object")


def run(args: argparse.Namespace) -> int:
    """Print the report; 1 if something needed is missing, unsupported or broken."""
    compat.install()
    with _quiet():
        findings = [find_module(requirement, group) for group, requirement in read_requirements()]
        environment = _environment(findings)
    healthy = all(finding.state == "ok" for finding in findings if finding.needed)
    report: dict[str, Any] = dict(
        mms_ocr=mms_ocr.__version__,
        python=platform.python_version(),
        findings=[{**dataclasses.asdict(f), "needed": f.needed} for f in findings],
        shims={shim.name: shim.reason for shim in compat.active()},
        mmcv_operators=_has_mmcv_operators(),
        environment=environment,
        commands=install_commands(findings),
        healthy=healthy,
    )
    print(json.dumps(report, indent=2) if args.json else _as_text(report, findings))
    return 0 if healthy else 1


def read_requirements() -> Iterator[tuple[str, Requirement]]:
    """Yield the requirements of mms_ocr, each after the name of its group.

    Raises:
        FileNotFoundError: The package is incomplete.
    """
    from packaging.requirements import Requirement

    package = Path(mms_ocr.__file__).resolve().parent
    folders = [package.parent / "requirements", package / ".mim" / "requirements"]
    folder = next((folder for folder in folders if (folder / "runtime.txt").is_file()), None)
    if folder is None:
        raise FileNotFoundError(f"no requirements beside {package}: install mms_ocr again")
    for group in (*_NEEDED, *_OPTIONAL):
        for line in (folder / f"{group}.txt").read_text(encoding="utf-8").splitlines():
            if line.strip() and not line.startswith("#"):
                yield group, Requirement(line)


def find_module(requirement: Requirement, group: str = "runtime") -> Finding:
    """Import the module of a requirement and compare its version."""
    name = requirement.name.lower()
    module = _MODULES.get(name, name)
    versions = _installed([requirement.name, *_ALTERNATIVES.get(module, ())])
    finding = Finding(module, str(requirement), group, distributions=list(versions))
    try:
        imported = importlib.import_module(module)
        if getattr(imported, "__file__", None) is None:
            raise ImportError("there is only a folder of this name, without the package's files")
        importlib.import_module(_IMPORTS.get(module, module))
    except Exception as error:  # a broken package may raise anything
        if isinstance(error, ModuleNotFoundError) and error.name == module:
            finding.state = "missing"
        else:
            finding.state = "broken"
            finding.detail = " ".join(f"{type(error).__name__}: {error}".split())
        return finding
    versions = versions or {"": str(getattr(imported, "__version__", ""))}
    finding.version = next(iter(versions.values()))
    # The bounds are those of this distribution, not of its alternatives.
    own = versions.get(requirement.name) or versions.get("")
    if own and not requirement.specifier.contains(own, prereleases=True):
        finding.state = "unsupported"
    return finding


def install_commands(findings: Sequence[Finding]) -> list[str]:
    """List commands that install what is missing, unsupported or broken, in their order.

    Of several broken modules only the first has a command, since the others may import it.
    """
    # An onedl build would overwrite an upstream release beside it.
    openmmlab = [f.distributions for f in findings if f.module in ("mmengine", "mmcv")]
    upstream = any(openmmlab) and not any("onedl-" in str(names) for names in openmmlab)
    commands = []
    for needed in (True, False):
        for without_dependencies in (False, True):
            specs = [
                finding.module
                if upstream and "onedl-" in finding.requirement
                else finding.requirement
                for finding in findings
                if finding.state in ("missing", "unsupported")
                and finding.needed == needed
                and (finding.group == _WITHOUT_DEPENDENCIES) == without_dependencies
            ]
            options = ("--no-deps",) if without_dependencies else ()
            if specs:
                commands.append(_pip_install(*options, *specs))
    broken = next((finding for finding in findings if finding.state == "broken"), None)
    if broken is not None and broken.distributions:
        commands.append(_pip_install(*_REINSTALL, broken.requirement))
    return commands


def _installed(distributions: Iterable[str]) -> dict[str, str]:
    """Versions of those distributions that are installed."""
    versions = {}
    for name in distributions:
        with contextlib.suppress(importlib.metadata.PackageNotFoundError):
            versions[name] = importlib.metadata.version(name)
    return versions


def _pip_install(*words: str) -> str:
    return shlex.join([sys.executable, "-m", "pip", "install", *words])


@contextlib.contextmanager
def _quiet() -> Iterator[None]:
    """Hide what packages print and log while they are imported."""
    with contextlib.redirect_stdout(io.StringIO()), contextlib.redirect_stderr(io.StringIO()):
        yield


def _has_mmcv_operators() -> bool:
    try:
        with _quiet():
            spec = importlib.util.find_spec("mmcv._ext")
    except ImportError:
        return False
    return spec is not None and spec.origin != compat.__name__


def _environment(findings: Sequence[Finding]) -> dict[str, str]:
    """Return MMEngine's report of the environment, where MMEngine and torch work."""
    cores = len(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else os.cpu_count()
    report = {"CPU cores": str(cores)}
    if all(
        finding.state == "ok" for finding in findings if finding.module in ("torch", "mmengine")
    ):
        from mmengine.utils.dl_utils import collect_env

        left_out = ("PyTorch compiling details", "numpy_random_seed")
        report |= {name: str(x) for name, x in collect_env().items() if name not in left_out}
    return report


def _as_text(report: dict[str, Any], findings: Sequence[Finding]) -> str:
    lines = [f"mms_ocr {report['mms_ocr']}, Python {report['python']} ({sys.executable})", ""]
    lines += ["needed", *(_as_line(finding) for finding in findings if finding.needed), ""]
    lines += ["optional: MMOCR, for its recognizers and their training"]
    lines += [*(_as_line(finding) for finding in findings if not finding.needed), ""]
    lines += ["active compatibility shims"]
    lines += [f"  {name:<20} {reason}" for name, reason in report["shims"].items()] or ["  none"]
    operators = "yes" if report["mmcv_operators"] else "no; mms_ocr uses none"
    lines += ["", f"compiled operators of mmcv: {operators}", "", "environment"]
    lines += [f"  {name:<20} {value}" for name, value in report["environment"].items()]
    if not hasattr(os, "fork") or sys.platform in ("darwin", "win32"):
        lines += [
            "",
            "not on Linux: see docs/install.md, Windows and macOS, for what does not work",
        ]
    lines += [""]
    for finding in findings:
        if len(finding.distributions) > 1:
            lines.append(
                f"Warning: {finding.module} comes from {', '.join(finding.distributions)}, which "
                "overwrite each other's files: uninstall all of them and install one"
            )
    if any(finding.state == "broken" for finding in findings):
        lines.append("Broken: install the library or module that the error names, or reinstall.")
    if report["commands"]:
        lines += ["To install:", *(f"  {command}" for command in report["commands"])]
    if report["healthy"]:
        lines.append("Everything needed is installed.")
    return "\n".join(lines)


def _as_line(finding: Finding) -> str:
    state = finding.state.upper() if finding.needed and finding.state != "ok" else finding.state
    line = f"  {state:<11} {finding.module:<14} {finding.version or '-':<14}"
    if finding.state == "unsupported":
        line += f" (supported: {finding.requirement})"
    elif finding.detail:
        line += f" ({finding.detail})"
    elif finding.distributions:
        line += f" from {', '.join(finding.distributions)}"
    return line.rstrip()
