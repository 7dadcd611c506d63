"""Patches of libraries under us: for imports here, for runs in :mod:`mms_ocr.compat.running`.

A shim acts only after the plain import of a package has failed with the error that it knows; a
package that imports without a shim is not changed. Every shim that acted is logged once at INFO and
listed by :func:`active`; one that acts nowhere any more can be removed.

- ``torchvision-schemas``, for a torchvision from PyPI beside a CPU torch, which lacks its binary
  operators: declares their schemas, so that the Python part imports.
- ``mmcv-ops``, for onedl-mmcv without its compiled ``mmcv._ext``: a module whose operators raise
  :class:`MissingOperatorError` when they are called.
- ``version-ceilings``, for MMOCR 1.0.1 and MMDetection 3.x, which refuse newer releases of mmcv and
  mmdet: shows them the newest release that they accept while they import.
- ``no-multimodal``, for MMPretrain 1.2.0 and onedl-mmpretrain 1.3.6 beside transformers 5, which
  lacks base classes of their multimodal models: imports MMPretrain as without transformers.
- ``yapf-cache``, for yapf 0.40 and later, which MMEngine's configs need: reads the grammar from a
  temporary cache where another process has written only a part of yapf's own.
- ``no-fork``, for Python on Windows, which has no ``os.register_at_fork``: gives it one that does
  nothing, for libraries that call it while they import.

One patch is always applied: ``_base_ = 'mms_ocr::…'`` resolves in configs. MMEngine 0.10.7 and
onedl-mmengine 0.10.12 know only packages of their own list; remove it when
``Config.fromfile`` accepts the line without it.
"""

from __future__ import annotations

import contextlib
import importlib
import importlib.abc
import importlib.machinery
import os
import pickle
import sys
import tempfile
from collections.abc import Callable, Iterator, Sequence
from types import ModuleType
from typing import Any

# Newest releases that MMDetection from 3.0 on and MMOCR 1.0.1 let through their import-time checks.
_ACCEPTED_VERSIONS = {"mmcv": "2.0.1", "mmdet": "3.1.0"}
# Operators for which torchvision registers Python code at import; signatures as in its csrc/ops.
_TORCHVISION_SCHEMAS = (
    "nms(Tensor dets, Tensor scores, float iou_threshold) -> Tensor",
    "qnms(Tensor dets, Tensor scores, float iou_threshold) -> Tensor",
)

# onedl-mmcv's setup compiles the operators if it finds torch, with CUDA if torch sees a GPU. By
# default, pip hides torch from the build, or installs a cached wheel of such a build.
BUILD_OPERATORS = (
    "pip install 'setuptools>=80' wheel packaging && pip install --no-build-isolation "
    "--no-cache-dir --no-deps --force-reinstall onedl-mmcv"
)

_CONFIG_MODULE = "mmengine.config.config"

# A torch.library object undoes its definitions when it is collected.
_kept_alive: list[Any] = []
_active: dict[str, str] = {}


class MissingOperatorError(NotImplementedError):
    """A compiled operator of mmcv was called, and this mmcv was built without any."""


def active() -> dict[str, str]:
    """Return the names of the shims that have acted in this process, and why each did."""
    return dict(_active)


def install() -> None:
    """Install the shims; a second call changes nothing."""
    at_fork = getattr(os, "register_at_fork", None)
    if getattr(at_fork, "__module__", None) == "mms_ocr":
        _active["no-fork"] = "this system has no fork to register for"
    ours = (_RetryFinder, _MissingExtensionFinder)
    others = [finder for finder in sys.meta_path if not isinstance(finder, ours)]
    # The second is last: asked only if no other finder has the compiled module.
    sys.meta_path[:] = [_RetryFinder(), *others, _MissingExtensionFinder()]
    if _CONFIG_MODULE in sys.modules:
        _admit_config_package(sys.modules[_CONFIG_MODULE])


def _report(name: str, reason: str) -> None:
    if name in _active:
        return
    _active[name] = reason
    import logging

    from mmengine.logging import print_log

    print_log(f"compatibility shim {name}: {reason}", logger="current", level=logging.INFO)


class _RetryFinder(importlib.abc.MetaPathFinder):
    """Finds the packages of :data:`_REPAIRS`, and repeats a failed import with its repair."""

    def __init__(self) -> None:
        self._in_progress: set[str] = set()

    def find_spec(
        self, fullname: str, path: Sequence[str] | None, target: ModuleType | None = None
    ) -> importlib.machinery.ModuleSpec | None:
        if fullname not in _REPAIRS and fullname != _CONFIG_MODULE:
            return None
        spec = self._spec_of_others(fullname, path, target)
        if spec is None or spec.loader is None:
            return None
        plain_exec = spec.loader.exec_module

        def exec_module(module: ModuleType) -> None:
            if fullname == _CONFIG_MODULE:
                plain_exec(module)
                _admit_config_package(module)
                return
            kinds, text, repair = _REPAIRS[fullname]
            try:
                plain_exec(module)
            except kinds as error:
                if text not in str(error):
                    raise
                _forget_submodules(fullname)
                with repair(error):
                    plain_exec(module)

        spec.loader.exec_module = exec_module  # type: ignore[method-assign]
        return spec

    def _spec_of_others(
        self, fullname: str, path: Sequence[str] | None, target: ModuleType | None
    ) -> importlib.machinery.ModuleSpec | None:
        # All finders, since editable installs add some. A finder may ask all others in turn, which
        # must not come back here.
        if fullname in self._in_progress:
            return None
        self._in_progress.add(fullname)
        try:
            others = (f for f in sys.meta_path if f is not self and hasattr(f, "find_spec"))
            specs = (finder.find_spec(fullname, path, target) for finder in others)
            return next((spec for spec in specs if spec is not None), None)
        finally:
            self._in_progress.discard(fullname)


def _admit_config_package(config: Any) -> None:
    """Resolve ``_base_ = 'mms_ocr::…'``.

    MMEngine adds ``_scope_`` to configs of other packages, which functions such as ``collate_fn``
    do not take; types of this package name their scope.
    """
    sys.modules["mmengine.config.utils"].MODULE2PACKAGE.setdefault("mms_ocr", "mms_ocr")
    plain = config.Config._get_cfg_path
    if plain.__module__ == __name__:
        return

    def without_scope(cfg_path: str, filename: str) -> tuple[str, str | None]:
        path, scope = plain(cfg_path, filename)
        return path, None if scope == "mms_ocr" else scope

    config.Config._get_cfg_path = staticmethod(without_scope)


def _forget_submodules(package: str) -> None:
    for name in [name for name in sys.modules if name.startswith(package + ".")]:
        del sys.modules[name]


@contextlib.contextmanager
def _declare_operators(error: Exception) -> Iterator[None]:
    import torch

    library = torch.library.Library("torchvision", "FRAGMENT")
    for schema in _TORCHVISION_SCHEMAS:
        if not hasattr(torch.ops.torchvision, schema.partition("(")[0]):
            library.define(schema)
    _kept_alive.append(library)
    yield
    _report("torchvision-schemas", f"torchvision has no binary operators here ({error})")


@contextlib.contextmanager
def _show_accepted_versions(error: Exception) -> Iterator[None]:
    from mmengine.utils import digit_version

    true_versions: dict[str, str] = {}
    try:
        for name, accepted in _ACCEPTED_VERSIONS.items():
            # mmdet only if it is imported already: it may be the one that refuses.
            if name == "mmcv":
                importlib.import_module(name)
            module: Any = sys.modules.get(name)
            version = getattr(module, "__version__", None)
            if version is not None and digit_version(version) > digit_version(accepted):
                true_versions[name], module.__version__ = version, accepted
        yield
    finally:
        for name, version in true_versions.items():
            sys.modules[name].__version__ = version  # type: ignore[attr-defined]
    _report("version-ceilings", str(error).split(". ")[0])


@contextlib.contextmanager
def _leave_out_multimodal(error: Exception) -> Iterator[None]:
    dependency: Any = importlib.import_module("mmpretrain.utils.dependency")
    models = importlib.import_module("mmpretrain.registry").MODELS
    # Models registered before the import failed are removed, so that placeholders get their names.
    for name, kind in list(models.module_dict.items()):
        if kind.__module__.startswith("mmpretrain.models.multimodal."):
            del models.module_dict[name]
    dependency.WITH_MULTIMODAL = False
    try:
        yield
    finally:
        dependency.WITH_MULTIMODAL = True
    _report("no-multimodal", "MMPretrain's multimodal models do not import beside transformers")


@contextlib.contextmanager
def _use_own_cache(error: Exception) -> Iterator[None]:
    driver: Any = importlib.import_module("yapf_third_party._ylib2to3.pgen2.driver")
    plain = driver.user_cache_dir
    with tempfile.TemporaryDirectory() as folder:
        driver.user_cache_dir = lambda *args, **kwargs: folder
        try:
            yield
        finally:
            driver.user_cache_dir = plain
    _report("yapf-cache", f"yapf's cache of its grammar is incomplete ({error})")


Repair = Callable[[Exception], contextlib.AbstractContextManager[None]]
#: Packages, the error that their import raises, a part of its message, and its repair.
_REPAIRS: dict[str, tuple[type[Exception] | tuple[type[Exception], ...], str, Repair]] = {
    "torchvision": (RuntimeError, "operator torchvision::", _declare_operators),
    "mmdet": (AssertionError, "incompatible", _show_accepted_versions),
    "mmocr": (AssertionError, "incompatible", _show_accepted_versions),
    "mmpretrain.models.multimodal": (
        TypeError, "NoneType takes no arguments", _leave_out_multimodal
    ),
    # Errors of unpickling an incomplete file.
    "yapf": ((EOFError, pickle.UnpicklingError), "", _use_own_cache),
}  # fmt: skip


class _MissingExtensionFinder(importlib.abc.MetaPathFinder, importlib.abc.Loader):
    """Finds a replacement for ``mmcv._ext`` if mmcv has no compiled one."""

    def find_spec(
        self, fullname: str, path: Sequence[str] | None, target: ModuleType | None = None
    ) -> importlib.machinery.ModuleSpec | None:
        if fullname != "mmcv._ext":
            return None
        return importlib.machinery.ModuleSpec(fullname, self, origin="mms_ocr.compat")

    def create_module(self, spec: importlib.machinery.ModuleSpec) -> ModuleType:
        return _MissingExtension(spec.name)

    def exec_module(self, module: ModuleType) -> None:
        _report("mmcv-ops", "this mmcv was built without compiled operators (no mmcv._ext)")


class _MissingExtension(ModuleType):
    """Replacement for mmcv's compiled module, whose operators raise an error when called."""

    def __getattr__(self, name: str) -> Callable[..., Any]:
        if name.startswith("__"):
            raise AttributeError(name)
        # mmcv.utils.collect_env calls these two whenever mmcv.ops can be imported.
        if name in ("get_compiler_version", "get_compiling_cuda_version"):
            return lambda: "not compiled"

        def missing_operator(*args: Any, **kwargs: Any) -> Any:
            raise MissingOperatorError(
                f"the compiled operator {name!r} of mmcv was called, and this mmcv was built "
                f"without compiled operators. Compile them beside torch with: {BUILD_OPERATORS}"
            )

        return missing_operator
