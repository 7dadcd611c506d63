"""Looks at the Python environment: what mms_ocr needs, in which build, and how to get the rest."""

from __future__ import annotations

import contextlib
import importlib
import importlib.util
import io
import os
import platform
import re
import shlex
import sys
from collections.abc import Iterator
from dataclasses import dataclass, field
from pathlib import Path

import mms_ocr
from mms_ocr import compat
from mms_ocr.apis.parts import PARTS, Part, installed_version

__all__ = ["Diagnosis", "Finding", "diagnose"]

_GIGABYTE = 1024**3
_OPENMMLAB = ("mmengine", "mmcv", "mmpretrain", "mmdet")
# For what is installed and does not work. Without the cache, which may hold a build for another
# torch.
_REINSTALL = ("--force-reinstall", "--no-deps", "--no-cache-dir")


@dataclass
class Finding:
    """What was found of one part. ``state``: ok, missing, too old or broken.

    ``lacks`` names the module whose absence breaks it, where that is known. ``mendable`` is false
    where the part is whole but refuses its surroundings, which installing it again leaves as is.
    """

    module: str
    needed: bool
    state: str
    version: str | None = None
    distributions: list[str] = field(default_factory=list)
    detail: str = ""
    lacks: str | None = None
    mendable: bool = True


@dataclass
class Diagnosis:
    """All that was found, and the commands that bring the rest."""

    mms_ocr: str
    python: str
    platform: str
    findings: list[Finding]
    shims: list[dict[str, str]]
    mmcv_operators: str
    devices: list[str]
    warnings: list[str]
    needed_commands: list[str]
    optional_commands: list[str]

    @property
    def healthy(self) -> bool:
        """Whether everything needed is there and works."""
        return all(found.state == "ok" for found in self.findings if found.needed)


def diagnose() -> Diagnosis:
    """Import every part once, quietly, and tell what came of it."""
    compat.install()
    with _quiet():
        findings = [_find(part) for part in PARTS]
    found = {finding.module: finding for finding in findings}
    return Diagnosis(
        mms_ocr=mms_ocr.__version__,
        python=platform.python_version(),
        platform=f"{platform.system()} {platform.machine()}",
        findings=findings,
        shims=[{"name": shim.name, "reason": shim.reason} for shim in compat.active()],
        mmcv_operators=_mmcv_operators(found["mmcv"]),
        devices=_devices(found["torch"]),
        warnings=_warnings(findings),
        needed_commands=_commands(found, needed=True),
        optional_commands=_commands(found, needed=False),
    )


@contextlib.contextmanager
def _quiet() -> Iterator[None]:
    """Swallow what packages print and log while they are imported."""
    with contextlib.redirect_stdout(io.StringIO()), contextlib.redirect_stderr(io.StringIO()):
        yield


def _find(part: Part) -> Finding:
    distributions = part.distributions()
    finding = Finding(part.module, part.needed, "ok", distributions=distributions)
    try:
        module = importlib.import_module(part.module)
        finding.version = _version(module, distributions)
        if part.imported:
            importlib.import_module(part.imported)
    except ModuleNotFoundError as error:
        if error.name == part.module:
            finding.state = "missing"
        else:
            finding.state, finding.detail = "broken", _one_line(error)
            finding.lacks = (error.name or "").partition(".")[0] or None
    except Exception as error:  # a broken package may raise anything; it is told, not hidden
        finding.state, finding.detail = "broken", _one_line(error)
        finding.mendable = isinstance(error, (ImportError, OSError))
    if finding.state == "ok" and _numbers(finding.version) < _numbers(part.minimum):
        finding.state, finding.detail = "too old", f"at least {part.minimum} is needed"
    return finding


def _version(module: object, distributions: list[str]) -> str | None:
    version = getattr(module, "__version__", None)
    if version is None and distributions:
        version = installed_version(distributions[0])
    return None if version is None else str(version)


def _numbers(version: str | None) -> tuple[int, ...]:
    """The release numbers of a version, for comparing: '2.13.0+cpu' → (2, 13, 0)."""
    release = re.match(r"\d+(\.\d+)*", version or "")
    return tuple(int(number) for number in release.group().split(".")) if release else ()


def _one_line(error: BaseException) -> str:
    text = " ".join(str(error).split())
    return f"{type(error).__name__}: {text[:200]}" if text else type(error).__name__


def _mmcv_operators(mmcv: Finding) -> str:
    if mmcv.state != "ok":
        return "mmcv does not work here"
    with _quiet():
        spec = importlib.util.find_spec("mmcv._ext")
    if spec is None or spec.origin == compat.__name__:
        return "no; nothing of mms_ocr uses them"
    return f"yes ({spec.origin})"


def _devices(torch_finding: Finding) -> list[str]:
    cores = len(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else os.cpu_count()
    if torch_finding.state != "ok":
        return [f"cpu: {cores} cores; torch does not work here"]
    import torch

    lines = [f"cpu: {cores} cores, {torch.get_num_threads()} torch threads, {_cpu_bf16()}"]
    for index in range(torch.cuda.device_count()):
        card = torch.cuda.get_device_properties(index)
        bf16 = "bf16" if torch.cuda.is_bf16_supported() else "no bf16"
        lines.append(
            f"cuda:{index}: {card.name}, {card.total_memory / _GIGABYTE:.0f} GiB, "
            f"compute capability {card.major}.{card.minor}, {bf16}"
        )
    if torch.cuda.device_count() == 0:
        why = "torch is built without CUDA" if torch.version.cuda is None else "torch finds none"
        if Path("/proc/driver/nvidia/version").exists():
            why += ", although an NVIDIA driver is loaded"
        lines.append(f"cuda: no GPU ({why})")
    return lines


def _cpu_bf16() -> str:
    """Whether the processor computes bf16 by itself; known on Linux only."""
    try:
        flags = set(re.split(r"\s+", Path("/proc/cpuinfo").read_text(encoding="utf-8")))
    except OSError:
        return "bf16 unknown"
    found = sorted(flags & {"amx_bf16", "avx512_bf16", "bf16"})
    return f"bf16 in hardware ({', '.join(found)})" if found else "bf16 only emulated"


def _warnings(findings: list[Finding]) -> list[str]:
    return [
        f"Warning: {finding.module} comes from {len(finding.distributions)} distributions "
        f"({', '.join(finding.distributions)}), which overwrite each other's files; keep one."
        for finding in findings
        if len(finding.distributions) > 1 and finding.module != "cv2"
    ]


def _is_upstream(found: dict[str, Finding]) -> bool:
    """Whether the OpenMMLab packages here are the upstream releases, not the onedl builds."""
    present = [name for module in _OPENMMLAB for name in found[module].distributions]
    return bool(present) and not any(name.startswith("onedl") for name in present)


def _commands(found: dict[str, Finding], needed: bool) -> list[str]:
    """What to type for the parts that are not in order, in the order in which to type it."""
    upstream = _is_upstream(found)
    groups: dict[tuple[str, ...], list[str]] = {(): [], ("--no-deps",): [], _REINSTALL: []}
    for part in PARTS:
        finding = found[part.module]
        if part.needed != needed or finding.state == "ok":
            continue
        if finding.lacks:
            # Another part's absence: that part's own line mends it, if it has one.
            if finding.lacks not in found:
                groups[()].append(finding.lacks)
            continue
        options: tuple[str, ...] = ("--no-deps",) if part.without_dependencies else ()
        if finding.state == "broken" and not finding.mendable:
            continue
        if finding.state == "broken":
            options = _REINSTALL
        groups[options].append((part.upstream or part.install) if upstream else part.install)
    return [
        shlex.join([sys.executable, "-m", "pip", "install", *options, *dict.fromkeys(wanted)])
        for options, wanted in groups.items()
        if wanted
    ]
