import importlib.util
import json
import os
import subprocess
import sys
import textwrap

import pytest
from mmengine import registry as root

from mms_ocr import registry

BUILD = """
import json, sys
{first}
from {package}.registry import MODELS
from mmengine.registry import DefaultScope
encoders = [MODELS.build(dict(type="mms_ocr.TextViT", arch="tiny"))]
DefaultScope.get_instance("task", scope_name="{package}")
encoders.append(MODELS.build(dict(type="mms_ocr.TextViT", arch="tiny")))
built = [f"{{type(encoder).__module__}}.{{type(encoder).__name__}}" for encoder in encoders]
print(json.dumps([built, "mmocr" in sys.modules]))
"""
# Import errors of packages that need a shim.
SHIMMED = ("operator torchvision::", "is incompatible with", "No module named 'mmcv._ext'")


def run_python(code: str, folder) -> subprocess.CompletedProcess[str]:
    environment = {**os.environ, "PYTHONPATH": str(folder)}
    return subprocess.run(
        [sys.executable, "-c", textwrap.dedent(code)],
        env=environment,
        capture_output=True,
        text=True,
        check=False,
    )


@pytest.mark.parametrize(
    "package",
    [
        pytest.param("mmengine", marks=pytest.mark.slow),
        pytest.param("mmpretrain", marks=pytest.mark.slow),
        "mmocr",
        "mms_ocr",
    ],
)
def test_types_resolve_from_every_scope_without_imports(repository, package):
    if importlib.util.find_spec(package) is None:
        pytest.skip(f"{package} is not installed")
    done = run_python(BUILD.format(package=package, first=""), repository)
    if package in ("mmpretrain", "mmocr") and any(known in done.stderr for known in SHIMMED):
        # The package does not import by itself here, so that the shims have to come first.
        done = run_python(BUILD.format(package=package, first="import mms_ocr"), repository)

    assert done.returncode == 0, done.stderr
    built, mmocr_imported = json.loads(done.stdout.splitlines()[-1])
    assert built == ["mms_ocr.models.backbones.text_vit.TextViT"] * 2
    assert mmocr_imported == (package == "mmocr"), "an encoder must not import MMOCR"


@pytest.mark.parametrize("name", registry.__all__)
def test_registries_are_children_of_mmengine_and_have_locations(name):
    ours = getattr(registry, name)
    assert ours.scope == "mms_ocr"
    assert ours.parent is getattr(root, name)
    assert ours.name == ours.parent.name
    # Without locations MMEngine falls back to a function that this package does not have.
    assert ours._locations
    for location in ours._locations:
        importlib.import_module(location)


def test_registries_cover_those_of_mmengine():
    parents = {
        name
        for name in dir(root)
        if isinstance(getattr(root, name), root.Registry) and name.isupper()
    }
    left_out = {"EVALUATOR", "INFERENCERS", "MODEL_WRAPPERS", "OPTIMIZERS", "RUNNER_CONSTRUCTORS"}
    left_out |= {"STRATEGIES", "VISBACKENDS"}
    assert parents - set(registry.__all__) <= left_out
    assert set(registry.__all__) <= parents
