"""Packages that import their names on first use show the same names to type checkers."""

import ast
from importlib import import_module
from pathlib import Path

import pytest


@pytest.mark.parametrize("package", ["mms_ocr.apis", "mms_ocr.datasets"])
def test_names_on_first_use_are_those_of_the_type_checker(package):
    pytest.importorskip("mmocr")
    face = import_module(package)
    tree = ast.parse(Path(face.__file__).read_text())
    (checked,) = [node for node in tree.body if isinstance(node, ast.If)]
    origins = {
        alias.name: statement.module for statement in checked.body for alias in statement.names
    }
    assert sorted(origins) == sorted(face.__all__)
    for name, module in origins.items():
        assert getattr(face, name) is getattr(import_module(module), name)
    with pytest.raises(AttributeError, match="'nothing'"):
        _ = face.nothing
