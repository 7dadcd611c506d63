"""The modules of the study of masking, and its settings; other studies have their own fixture."""

import importlib
import json
import sys
from types import SimpleNamespace

import pytest

MODULES = ("plan", "steps", "probes", "pixels", "tables", "rates", "study")


@pytest.fixture
def study(repository, monkeypatch):
    monkeypatch.setenv("OMP_NUM_THREADS", "1")
    monkeypatch.syspath_prepend(str(repository / "projects" / "studies"))
    monkeypatch.syspath_prepend(str(repository / "projects" / "studies" / "masking"))
    modules = {name: importlib.import_module(name) for name in MODULES}
    yield SimpleNamespace(**modules, write_result=write_result)
    for name in MODULES:
        sys.modules.pop(name, None)


@pytest.fixture
def settings(study):
    return study.plan.Settings("/data", "/words.lmdb", 9600, 3200, 100, 1.0)


def write_result(folder, name, step, **values):
    place = folder / name / step
    place.mkdir(parents=True)
    result = {key: {"value": value, "se": 0.01} for key, value in values.items()}
    (place / "result.json").write_text(json.dumps(result))
