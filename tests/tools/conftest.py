import importlib.util
import sys

import pytest


@pytest.fixture
def tool(repository, monkeypatch):
    """Loads a script of tools/ by its path under it."""

    def load(path):
        file = repository / "tools" / path
        monkeypatch.syspath_prepend(str(file.parent))
        spec = importlib.util.spec_from_file_location(f"tool_{file.stem}", file)
        module = importlib.util.module_from_spec(spec)
        monkeypatch.setitem(sys.modules, spec.name, module)
        spec.loader.exec_module(module)
        return module

    return load
