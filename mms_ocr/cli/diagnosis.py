"""Looks at the Python environment: what mms_ocr needs, in which build, and how to get the rest."""

from __future__ import annotations

import contextlib
import importlib
import importlib.util
import io
import os
import platform
import re
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

import mms_ocr
from mms_ocr import compat
from mms_ocr.cli.install_advice import (
    describe_warnings,
    failing_module,
    install_commands,
    missing_library,
)
from mms_ocr.cli.parts import PARTS, Finding, Part, installed_version
from mms_ocr.cli.platform_limits import describe_limits

_GIGABYTE = 1024**3
_OF_ANOTHER_BUILD = ("binary incompatibility", "compiled against")  # NumPy's words


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
    limits: list[str]
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
        limits=describe_limits(),
        warnings=describe_warnings(PARTS, found),
        needed_commands=install_commands(PARTS, found, needed=True),
        optional_commands=install_commands(PARTS, found, needed=False),
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
        if getattr(module, "__file__", None) is None:
            raise ImportError("only a folder of this name is there, without the package's files")
        finding.version = _version(module, distributions)
        if part.imported:
            importlib.import_module(part.imported)
    except ModuleNotFoundError as error:
        if error.name == part.module:
            finding.state = "missing"
        else:
            finding.state, finding.detail = "broken", _one_line(error)
            finding.lacks = (error.name or "").partition(".")[0] or None
    except Exception as error:  # a broken package may raise anything; it is reported
        finding.state, finding.detail = "broken", _one_line(error)
        cause = failing_module(error, (other.module for other in PARTS))
        finding.lacks = cause if cause != part.module else None
        finding.library = missing_library(error)
        of_another_build = any(words in str(error) for words in _OF_ANOTHER_BUILD)
        finding.mendable = isinstance(error, (ImportError, OSError)) or of_another_build
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
