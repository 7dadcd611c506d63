"""Fixtures of all tests: seeds, clean MMEngine state, few threads, and the real word images."""

import os
import random
import sys
from collections.abc import Callable, Iterator
from pathlib import Path

# Read once by each native library when it is loaded, hence before the imports below.
os.environ.setdefault("OMP_NUM_THREADS", "1")
os.environ.setdefault("MKL_NUM_THREADS", "1")
os.environ.setdefault("MPLBACKEND", "Agg")

import numpy as np
import pytest
import torch
from hypothesis import HealthCheck, settings

pytest_plugins = ["shared_fixtures"]

REPOSITORY = Path(__file__).resolve().parents[1]
SHARED_VARIABLE = "MMS_OCR_SHARED"

# The same examples in every run, however slow the machine is. For others of your own, and for
# hypothesis's time limits: pytest --hypothesis-profile=default
settings.register_profile(
    "mms_ocr", derandomize=True, deadline=None, suppress_health_check=[HealthCheck.too_slow]
)
settings.load_profile("mms_ocr")


@pytest.fixture(scope="session")
def repository() -> Path:
    """Root of the checkout that these tests belong to."""
    return REPOSITORY


@pytest.fixture(scope="session")
def shared_data() -> Path:
    """Folder with real word images (iiit5k, icdar2015), fonts and a lexicon; skips without one."""
    named = os.environ.get(SHARED_VARIABLE)
    folder = Path(named) if named else REPOSITORY.parent / "shared" / "data"
    if not folder.is_dir():
        if named:
            pytest.fail(f"{SHARED_VARIABLE}={named}: no such folder")
        pytest.skip(f"no real word images: set {SHARED_VARIABLE} to their folder")
    return folder


@pytest.fixture
def next_tick(tmp_path_factory) -> Callable[[], None]:
    """Waits until the file system gives later times than those of all that was done before.

    It takes them from a clock with ticks of up to 10 ms before Linux 6.13: within one,
    a change leaves no trace, and a file may seem older than what was done before it.
    """
    probe = tmp_path_factory.mktemp("clock") / "probe"

    def wait() -> None:
        probe.write_bytes(b"")
        now = probe.stat().st_mtime_ns
        while probe.stat().st_mtime_ns == now:
            probe.write_bytes(b"x")

    return wait


@pytest.fixture(autouse=True)
def _seeds() -> None:
    random.seed(0)
    np.random.seed(0)
    torch.manual_seed(0)


@pytest.fixture(autouse=True)
def _clean_mmengine_state() -> Iterator[None]:
    """Undo what a test leaves in MMEngine's globals: default scope, loggers, message hubs."""
    _forget_instances()
    yield
    _forget_instances()


def _forget_instances() -> None:
    manager = sys.modules.get("mmengine.utils.manager")
    if manager is None:
        return
    pending = list(manager.ManagerMixin.__subclasses__())
    while pending:
        managed = pending.pop()
        pending += managed.__subclasses__()
        for instance in managed._instance_dict.values():
            for handler in getattr(instance, "handlers", ()):  # open log files of MMLogger
                handler.close()
        managed._instance_dict.clear()
