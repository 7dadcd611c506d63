"""``mms-ocr doctor``: what is installed, what is missing, and the commands to install it."""

from __future__ import annotations

import argparse
import contextlib
import dataclasses
import importlib
import importlib.metadata
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

# Files of requirements/, in the order of installation.
_NEEDED = ("torch", "runtime", "openmmlab")
_OPTIONAL = ("mmocr", "mmocr-nodeps", "onnx", "export")
_TITLES = {
    "mmocr": "optional: MMOCR, for its recognizers and their training",
    "onnx": "optional: models in ONNX, which run without torch, and mms-ocr export",
}
# Distributions of a module: those of requirements/ first, then alternatives to them.
_DISTRIBUTIONS = {
    "PIL": ("pillow", "pillow-simd"),
    "cv2": ("opencv-python", "opencv-python-headless", "opencv-contrib-python"),
    "imgaug": ("imaug", "imgaug"),
    "mmcv": ("onedl-mmcv", "mmcv", "mmcv-lite"),
    "mmdet": ("onedl-mmdetection", "mmdet"),
    "mmengine": ("onedl-mmengine", "mmengine", "mmengine-lite"),
    "mmpretrain": ("onedl-mmpretrain", "mmpretrain"),
    "onnxruntime": ("onnxruntime", "onnxruntime-gpu"),
    "skimage": ("scikit-image",),
    "yaml": ("pyyaml",),
}
# Modules to import, where importing only the package does not show that it works.
_IMPORTS = {"mmocr": "mmocr.models", "mmpretrain": "mmpretrain.models"}


@dataclass
class Finding:
    """State of a module: ok, missing, unsupported (its version), or broken (not importable)."""

    module: str
    requirement: str
    group: str
    state: str = "ok"
    version: str = "-"
    distributions: list[str] = field(default_factory=list)
    error: str = ""

    @property
    def needed(self) -> bool:
        """True if mms_ocr does not work without it."""
        return self.group in _NEEDED


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """Declare the command's options."""
    parser.add_argument("--json", action="store_true", help="print all of it as one JSON object")


def run(args: argparse.Namespace) -> int:
    """Print the report; 1 if something needed is missing, unsupported or broken."""
    compat.install()
    hidden = io.StringIO()  # what packages print and log while they are imported
    with contextlib.redirect_stdout(hidden), contextlib.redirect_stderr(hidden):
        by_name: dict[str, Finding] = {}  # groups share requirements; the first counts
        for group, requirement in read_requirements():
            if requirement.name not in by_name:
                by_name[requirement.name] = find_module(requirement, group)
        findings = list(by_name.values())
        environment = _environment(findings)
    report: dict[str, Any] = dict(
        mms_ocr=mms_ocr.__version__,
        healthy=all(finding.state == "ok" for finding in findings if finding.needed),
        findings=[{**dataclasses.asdict(f), "needed": f.needed} for f in findings],
        shims=compat.active(),
        environment=environment,
        commands=install_commands(findings),
    )
    print(json.dumps(report, indent=2) if args.json else _as_text(report, findings))
    return 0 if report["healthy"] else 1


def read_requirements() -> Iterator[tuple[str, Requirement]]:
    """Yield the requirements of mms_ocr, each after the name of its group.

    Raises:
        FileNotFoundError: The package has no requirements.
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
    module = next((key for key, names in _DISTRIBUTIONS.items() if names[0] == name), name)
    versions = _installed(_DISTRIBUTIONS.get(module, (name,)))
    finding = Finding(module, str(requirement), group, distributions=list(versions))
    try:
        imported = importlib.import_module(module)
        if getattr(imported, "__file__", None) is None:
            raise ImportError("there is only a folder of this name, without the package's files")
        importlib.import_module(_IMPORTS.get(module, module))
    except Exception as error:  # a broken package may raise anything
        missing = isinstance(error, ModuleNotFoundError) and error.name == module
        finding.state = "missing" if missing else "broken"
        finding.error = "" if missing else " ".join(f"{type(error).__name__}: {error}".split())
        return finding
    # Alternatives have bounds of their own, which the import of MMPretrain or MMOCR checks.
    own = versions.get(name) or ("" if versions else getattr(imported, "__version__", ""))
    finding.version = own or next(iter(versions.values()), "-")
    if own and not requirement.specifier.contains(own, prereleases=True):
        finding.state = "unsupported"
    return finding


def install_commands(findings: Sequence[Finding]) -> list[str]:
    """List the commands that install what is missing, unsupported or broken, in their order.

    Of several broken modules only the first has a command, since the others may import it.
    """
    # An onedl build would overwrite an upstream release beside it.
    openmmlab = [f.distributions for f in findings if f.module in ("mmengine", "mmcv")]
    upstream = any(openmmlab) and "onedl-" not in str(openmmlab)
    specs: dict[str, list[str]] = {}
    for finding in findings:
        if finding.state in ("missing", "unsupported"):
            is_onedl = finding.requirement.startswith("onedl-")
            spec = finding.module if upstream and is_onedl else finding.requirement
            kind = "needed" if finding.needed else finding.group
            specs.setdefault(kind, ["--no-deps"] if kind == "mmocr-nodeps" else []).append(spec)
    arguments = [specs[kind] for kind in ("needed", *_OPTIONAL) if kind in specs]
    broken = next((finding for finding in findings if finding.state == "broken"), None)
    if broken is not None and broken.distributions:
        # Not from the cache, which may hold a build for another torch.
        options = ["--force-reinstall", "--no-deps", "--no-cache-dir"]
        arguments.append([*options, broken.requirement])
    return [shlex.join([sys.executable, "-m", "pip", "install", *words]) for words in arguments]


def _installed(distributions: Iterable[str]) -> dict[str, str]:
    """Return the versions of those distributions that are installed."""
    versions = {}
    for name in distributions:
        with contextlib.suppress(importlib.metadata.PackageNotFoundError):
            versions[name] = importlib.metadata.version(name)
    return versions


def _environment(findings: Sequence[Finding]) -> dict[str, str]:
    """Return MMEngine's report of the environment, if MMEngine and torch work."""
    cores = len(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else os.cpu_count()
    report = {"Python": f"{platform.python_version()} ({sys.executable})", "CPU cores": str(cores)}
    if all(f.state == "ok" for f in findings if f.module in ("torch", "mmengine")):
        from mmengine.utils.dl_utils import collect_env

        left_out = ("Python", "PyTorch compiling details", "numpy_random_seed")
        report |= {name: str(text) for name, text in collect_env().items() if name not in left_out}
    return report


def _as_text(report: dict[str, Any], findings: Sequence[Finding]) -> str:
    lines = [f"mms_ocr {report['mms_ocr']}", "", "needed"]
    lines += [_as_line(finding) for finding in findings if finding.needed]
    for group in _OPTIONAL:
        lines += ["", _TITLES[group]] if group in _TITLES else []
        lines += [_as_line(finding) for finding in findings if finding.group == group]
    shims = ("active compatibility shims", report["shims"])
    for title, facts in (shims, ("environment", report["environment"])):
        lines += ["", title, *(f"  {name:<20} {text}" for name, text in facts.items())]
    lines.append("")
    if not hasattr(os, "fork") or sys.platform in ("darwin", "win32"):
        lines.append("Not on Linux: docs/install.md lists what does not work.")
    for finding in findings:
        if len(finding.distributions) > 1:
            lines.append(
                f"Warning: {finding.module} comes from {', '.join(finding.distributions)}, which "
                "overwrite each other's files: uninstall all of them and install one of them."
            )
    if any(finding.state == "broken" for finding in findings):
        lines.append("Broken: install the library or module that the error names, or reinstall.")
    if report["commands"]:
        lines += ["To install:", *(f"  {command}" for command in report["commands"])]
    if report["healthy"]:
        lines.append("Everything needed is installed.")
    elif all(f.state == "ok" for f in findings if f.module in ("onnxruntime", "cv2", "yaml")):
        lines.append("mms-ocr read, segment and upscale run the bundled models in ONNX.")
    return "\n".join(lines)


def _as_line(finding: Finding) -> str:
    state = finding.state.upper() if finding.needed and finding.state != "ok" else finding.state
    line = f"  {state:<11} {finding.module:<14} {finding.version:<14}"
    if finding.state == "unsupported":
        return f"{line} (supported: {finding.requirement})"
    if finding.error:
        return f"{line} ({finding.error})"
    return f"{line} {', '.join(finding.distributions)}".rstrip()
