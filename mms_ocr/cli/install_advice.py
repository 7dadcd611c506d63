"""Commands for parts that are missing, too old or broken, and advice where pip cannot help."""

from __future__ import annotations

import re
import shlex
import sys
from collections.abc import Iterable, Mapping, Sequence
from traceback import walk_tb

from mms_ocr.cli.parts import Finding, Part

_OPENMMLAB = ("mmengine", "mmcv", "mmpretrain", "mmdet")
# For what is installed and does not work. Without the cache, which may hold a build for another
# torch.
_REINSTALL = ("--force-reinstall", "--no-deps", "--no-cache-dir")
_LIBRARY = re.compile(
    r"(?P<file>[\w+.-]+\.so[.\d]*): cannot open shared object file"
    r"|Library not loaded: \S*?(?P<loaded>[^/\s]+\.dylib)"
    r"|version .(?P<symbols>(GLIBC|GLIBCXX|CXXABI)_[\d.]+). not found"
    r"|DLL load failed|\[WinError 126\]"
)
_VISUAL_C = "the Microsoft Visual C++ Redistributable"  # what Windows lacks, as a rule
# Libraries of the system, and Debian's packages of them.
_PACKAGES = {
    "libGL.so": "libgl1",
    "libEGL.so": "libegl1",
    "libSM.so": "libsm6",
    "libX11.so": "libx11-6",
    "libXext.so": "libxext6",
    "libXrender.so": "libxrender1",
    "libxcb.so": "libxcb1",
    "libglib-2.0.so": "libglib2.0-0",
    "libgthread-2.0.so": "libglib2.0-0",
    "libgomp.so": "libgomp1",
    "libstdc++.so": "libstdc++6",
    "libgeos_c.so": "libgeos-c1v5",
    "libturbojpeg.so": "libturbojpeg0",
}
# Libraries that wheels contain: where one is missing, the wheel is damaged.
_BROUGHT = re.compile(r"lib(torch|c10|shm|cu|nv|nccl|mkl|iomp|caffe|opencv)", re.IGNORECASE)


def failing_module(error: BaseException, modules: Iterable[str]) -> str | None:
    """Find the module in whose own code an import failed; those that import it fail as well."""
    modules = set(modules)
    while error.__cause__ is not None:
        error = error.__cause__
    frames = [frame for frame, _ in walk_tb(error.__traceback__)]
    names = (str(frame.f_globals.get("__name__")).partition(".")[0] for frame in reversed(frames))
    return next((name for name in names if name in modules), None)


def missing_library(error: BaseException) -> str | None:
    """Find the system library that an import lacks; None for those that wheels contain."""
    match = _LIBRARY.search(str(error))
    if match is None:
        return None
    name = match["file"] or match["loaded"] or match["symbols"] or _VISUAL_C
    return None if _BROUGHT.match(name) else name


def install_commands(
    parts: Sequence[Part], findings: Mapping[str, Finding], needed: bool
) -> list[str]:
    """List the commands for parts that are missing, too old or broken, in the order to type them.

    Args:
        parts: All of them, in the order in which to install them.
        findings: Of each part, by module.
        needed: Those that are needed, or the optional ones.
    """
    upstream = _is_upstream(findings)
    typed: list[str] = []
    groups: dict[tuple[str, ...], list[str]] = {(): [], ("--no-deps",): [], _REINSTALL: []}
    for part in parts:
        finding = findings[part.module]
        if part.needed != needed or finding.state == "ok":
            continue
        if finding.lacks:
            # Another part's absence, which that part's own command ends, if it has one.
            if finding.lacks not in findings and not _of_python(finding.lacks):
                groups[()].append(finding.lacks)
        elif finding.library:
            typed += _for_library(part, finding)
        elif finding.state == "missing" and finding.distributions:
            # Its files went with a distribution that shared them; pip counts it as installed.
            groups[_REINSTALL].append(part.spec(upstream))
        elif finding.state != "broken":
            options = ("--no-deps",) if part.without_dependencies else ()
            groups[options].append(part.spec(upstream))
        elif finding.mendable:
            groups[_REINSTALL].append(part.spec(upstream))
    for flags, specs in groups.items():
        if specs:
            typed.append(_pip("install", *flags, *dict.fromkeys(specs)))
    return typed


def describe_warnings(parts: Sequence[Part], findings: Mapping[str, Finding]) -> list[str]:
    """Describe what is doubtful, or what pip cannot fix, with the commands beneath."""
    upstream = _is_upstream(findings)
    lines = []
    for part in parts:
        finding = findings[part.module]
        if len(finding.distributions) > 1:
            lines.append(
                f"Warning: {part.module} comes from {len(finding.distributions)} distributions "
                f"({', '.join(finding.distributions)}), which overwrite each other's files; keep "
                "one:"
            )
            lines += [f"  {line}" for line in _keep_one(part, finding, part.spec(upstream))]
        if finding.lacks and _of_python(finding.lacks):
            lines.append(
                f"Warning: {part.module} needs {finding.lacks}, which this Python was built "
                "without; install a Python that has it"
            )
        if finding.library and not finding.lacks:
            lines.append(
                f"Warning: {part.module} needs {finding.library}, which this system lacks; "
                f"{_advice(part, finding.library)}"
            )
    return lines


def _for_library(part: Part, finding: Finding) -> Iterable[str]:
    if part.module == "cv2" and _is_file(finding.library or ""):
        return _keep_one(part, finding, "opencv-python-headless")
    package = _package(finding.library or "")
    return [f"apt-get install {package}"] if package else []


def _advice(part: Part, library: str) -> str:
    if "_" in library and not _is_file(library):  # such as GLIBC_2.28
        return f"take a newer system, or an older release of {part.module}"
    package = _package(library)
    advice = f"as root: apt-get install {package}" if package else "install it"
    instead = part.module == "cv2" and _is_file(library)
    return f"{advice}; or take the OpenCV that needs no screen, as below" if instead else advice


def _is_file(library: str) -> bool:
    return ".so" in library or ".dylib" in library


def _of_python(module: str) -> bool:
    return module in sys.stdlib_module_names


def _package(library: str) -> str | None:
    return _PACKAGES.get(re.sub(r"(\.so)[.\d]*$", r"\1", library))


def _keep_one(part: Part, finding: Finding, spec: str) -> list[str]:
    """List the commands that remove all distributions of a part and install one of them."""
    if part.module == "cv2":
        # Nothing of ours opens a window, and contrib has all that the others have.
        kinds = {name.removesuffix("-headless") for name in finding.distributions}
        kind = "opencv-contrib-python" if "opencv-contrib-python" in kinds else "opencv-python"
        headless = "headless" in spec or any("headless" in name for name in finding.distributions)
        spec = f"{kind}{'-headless' * headless}>={part.minimum}"
    remove = [_pip("uninstall", "-y", *finding.distributions)] if finding.distributions else []
    return [*remove, _pip("install", spec)]


def _pip(*words: str) -> str:
    return shlex.join([sys.executable, "-m", "pip", *words])


def _is_upstream(findings: Mapping[str, Finding]) -> bool:
    """Whether the OpenMMLab packages here are the upstream releases, not the onedl builds."""
    present = [name for module in _OPENMMLAB for name in findings[module].distributions]
    return bool(present) and not any(name.startswith("onedl") for name in present)
