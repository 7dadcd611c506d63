"""The shims, in fresh processes: on the packages that are installed, and on stand-ins for them.

A stand-in package fails, or does not, exactly as asked; so every case of every shim is seen on any
machine, and the real packages show whether the stand-ins are right.
"""

import json
import os
import subprocess
import sys
import textwrap
from pathlib import Path

import pytest

# What the stand-ins share: just enough of torch and MMEngine for the shims themselves.
WORLD = {
    "torch/__init__.py": """
        from types import SimpleNamespace
        ops = SimpleNamespace(torchvision=SimpleNamespace())
        defined = []
        class Library:
            def __init__(self, name, kind):
                assert (name, kind) == ("torchvision", "FRAGMENT")
            def define(self, schema):
                defined.append(schema)
                setattr(ops.torchvision, schema.split("(")[0], None)
        library = SimpleNamespace(Library=Library)
    """,
    "mmengine/__init__.py": "",
    "mmengine/logging.py": """
        logged = []
        def print_log(message, logger=None, level=None):
            logged.append((message, logger, level))
    """,
    "mmengine/utils.py": """
        def digit_version(version):
            return tuple(int(number) for number in version.split("."))
    """,
    "mmcv/__init__.py": "__version__ = '2.1.0'",
    "mmdet/__init__.py": "__version__ = '3.1.0'",
}
NEWER = {
    "mmcv/__init__.py": "__version__ = '2.3.6'",
    "mmdet/__init__.py": "__version__ = '3.5.1'",
}
TORCHVISION_WITHOUT_OPERATORS = """
    import torch
    if not hasattr(torch.ops.torchvision, "nms"):
        raise RuntimeError("operator torchvision::nms does not exist")
    from torchvision import part
"""
MMOCR_WITH_CEILINGS = """
    import mmcv, mmdet
    __version__ = "1.0.1"
    seen = (mmcv.__version__, mmdet.__version__)
    assert mmcv.__version__ < "2.2.0", (
        f"MMCV {mmcv.__version__} is incompatible with MMOCR {__version__}. Please use another.")
    assert mmdet.__version__ < "3.2.0", (
        f"MMDetection {mmdet.__version__} is incompatible with MMOCR {__version__}. Please …")
"""
REPORT = """
import json, sys
from mms_ocr import compat
logging = sys.modules.get("mmengine.logging")
print(json.dumps({
    "result": result,
    "active": [list(shim) for shim in compat.active().items()],
    "logged": getattr(logging, "logged", []),
}))
"""


def run_python(code: str, *paths: Path, expect: int = 0) -> str:
    environment = {**os.environ, "PYTHONPATH": os.pathsep.join(map(str, paths))}
    done = subprocess.run(
        [sys.executable, "-c", textwrap.dedent(code)],
        env=environment,
        capture_output=True,
        text=True,
        check=False,
    )
    assert done.returncode == expect, done.stderr
    return done.stdout


@pytest.fixture
def world(tmp_path, repository):
    """Run code, which sets ``result``, after ``import mms_ocr`` beside the given stand-ins."""

    def run(files: dict[str, str], code: str, first: str = "import mms_ocr") -> dict:
        for name, text in {**WORLD, **files}.items():
            path = tmp_path / name
            path.parent.mkdir(exist_ok=True)
            path.write_text(textwrap.dedent(text))
        script = f"{first}\nresult = None\n{textwrap.dedent(code)}\n{REPORT}"
        return json.loads(run_python(script, tmp_path, repository).splitlines()[-1])

    return run


def caught(module: str) -> str:
    """Code that imports ``module`` and keeps what that raised."""
    return f"""
    try:
        import {module}
    except BaseException as error:
        result = [type(error).__name__, str(error)]
    """


def test_importing_the_package_imports_nothing_heavy(repository):
    code = """
    import sys, mms_ocr
    heavy = {"torch", "torchvision", "mmengine", "mmcv", "mmdet", "mmpretrain", "mmocr", "numpy"}
    print(sorted(heavy & set(sys.modules)))
    """
    assert run_python(code, repository).strip() == "[]"


def test_no_shim_acts_where_all_packages_import(world):
    files = {
        "torchvision/__init__.py": "",
        "mmcv/_ext.py": "def nms(): return 'compiled'",
        "mmocr/__init__.py": MMOCR_WITH_CEILINGS,
    }
    code = """
    import torchvision, mmcv._ext, mmdet, mmocr, torch
    result = [mmcv._ext.nms(), mmocr.seen, torch.defined]
    """
    report = world(files, code)
    assert report == {
        "result": ["compiled", ["2.1.0", "3.1.0"], []],
        "active": [],
        "logged": [],
    }


def test_torchvision_without_its_operators(world):
    files = {
        "torchvision/__init__.py": TORCHVISION_WITHOUT_OPERATORS,
        "torchvision/part.py": "",
    }
    report = world(files, "import torchvision, torch; result = torch.defined")
    assert [schema.split("(")[0] for schema in report["result"]] == ["nms", "qnms"]
    reason = "torchvision has no binary operators here (operator torchvision::nms does not exist)"
    assert report["active"] == [["torchvision-schemas", reason]]
    assert report["logged"] == [
        [f"compatibility shim torchvision-schemas: {reason}", "current", 20]  # logging.INFO
    ]


@pytest.mark.parametrize("error", ["RuntimeError('no CUDA driver')", "ImportError('libjpeg.so')"])
@pytest.mark.parametrize("package", ["torchvision", "mmdet", "mmocr"])
def test_other_errors_are_passed_on_and_not_tried_again(world, tmp_path, package, error):
    tries = tmp_path / "tries"
    text = f"open({str(tries)!r}, 'a').write('x'); raise {error}"
    report = world({f"{package}/__init__.py": text}, caught(package))
    kind, message = error.rstrip("')").split("('")
    assert report == {"result": [kind, message], "active": [], "logged": []}
    assert tries.read_text() == "x"


def test_a_package_that_is_absent_stays_absent(world):
    report = world({}, caught("mmocr_that_is_not_there"))
    assert report["result"] == [
        "ModuleNotFoundError",
        "No module named 'mmocr_that_is_not_there'",
    ]


def test_the_operator_stand_in_names_the_operator_and_the_remedy(world):
    code = """
    from mmcv import _ext
    from mms_ocr.compat import MissingOperatorError
    try:
        _ext.ms_deform_attn_forward(1, im2col_step=2)
    except MissingOperatorError as error:
        result = [
            str(error),
            _ext.get_compiler_version(),
            _ext.get_compiling_cuda_version(),
            hasattr(_ext, "__wrapped__"),
        ]
    """
    report = world({}, code)
    message, *versions, has_dunder = report["result"]
    assert "'ms_deform_attn_forward'" in message
    assert "pip install --no-build-isolation --no-cache-dir" in message
    assert "\n" not in message
    assert versions == ["not compiled", "not compiled"]
    assert not has_dunder
    reason = "this mmcv was built without compiled operators (no mmcv._ext)"
    assert report["active"] == [["mmcv-ops", reason]]


def test_failing_compiled_extension_is_not_replaced(world):
    files = {"mmcv/_ext.py": "raise ImportError('undefined symbol: _ZN3c10')"}
    report = world(files, caught("mmcv._ext"))
    assert report["result"] == ["ImportError", "undefined symbol: _ZN3c10"]
    assert report["active"] == []


def test_version_ceilings_are_lifted_while_importing_only(world):
    files = {**NEWER, "mmocr/__init__.py": MMOCR_WITH_CEILINGS}
    code = """
    import mmocr, mmcv, mmdet
    result = [mmocr.seen, mmcv.__version__, mmdet.__version__]
    """
    report = world(files, code)
    assert report["result"] == [["2.0.1", "3.1.0"], "2.3.6", "3.5.1"]
    assert report["active"] == [["version-ceilings", "MMCV 2.3.6 is incompatible with MMOCR 1.0.1"]]
    assert len(report["logged"]) == 1


@pytest.mark.parametrize(
    ("mmdet_version", "ceiling", "mmcv_version"),
    [("3.1.0", "2.1.0", "2.1.0"), ("3.3.0", "2.2.0", "2.3.6")],
)
def test_mmdetections_own_ceiling(world, mmdet_version, ceiling, mmcv_version):
    mmdet = f"""
    import mmcv
    assert mmcv.__version__ < "{ceiling}", f"MMCV=={{mmcv.__version__}} is used but incompatible."
    __version__ = "{mmdet_version}"
    """
    files = {
        "mmcv/__init__.py": f"__version__ = '{mmcv_version}'",
        "mmdet/__init__.py": mmdet,
    }
    code = "import mmdet, mmcv; result = [mmcv.__version__, mmdet.__version__]"
    report = world(files, code)
    assert report["result"] == [mmcv_version, mmdet_version]
    assert [name for name, _ in report["active"]] == ["version-ceilings"]


def test_old_version_is_refused_with_the_original_message(world):
    mmocr = """
    import mmcv
    assert mmcv.__version__ >= "2.0.0", f"MMCV {mmcv.__version__} is incompatible with MMOCR."
    """
    files = {"mmcv/__init__.py": "__version__ = '1.7.0'", "mmocr/__init__.py": mmocr}
    report = world(files, caught("mmocr"))
    assert report["result"] == ["AssertionError", "MMCV 1.7.0 is incompatible with MMOCR."]
    assert report["active"] == []


def test_versions_are_restored_when_the_import_fails_all_the_same(world):
    files = {**NEWER, "mmocr/__init__.py": MMOCR_WITH_CEILINGS + "    raise OSError('disk')\n"}
    code = (
        caught("mmocr")
        + """
    import mmcv, mmdet
    result += [mmcv.__version__, mmdet.__version__]
    """
    )
    report = world(files, code)
    assert report["result"] == ["OSError", "disk", "2.3.6", "3.5.1"]
    assert report["active"] == []


def test_a_second_installation_changes_nothing(world):
    files = {
        **NEWER,
        "torchvision/__init__.py": TORCHVISION_WITHOUT_OPERATORS,
        "torchvision/part.py": "",
        "mmocr/__init__.py": MMOCR_WITH_CEILINGS,
    }
    code = """
    import importlib, sys
    import mms_ocr.compat, mmcv, mmcv._ext, mmocr, torchvision
    before = len(sys.meta_path)
    mms_ocr.compat.install()
    result = [len(sys.meta_path) - before]
    for module in (torchvision, mmcv._ext, mmocr):
        importlib.reload(module)
    result += [mmocr.seen, mmcv.__version__]
    """
    report = world(files, code)
    assert report["result"] == [0, ["2.0.1", "3.1.0"], "2.3.6"]
    names = [name for name, _ in report["active"]]
    assert sorted(names) == ["mmcv-ops", "torchvision-schemas", "version-ceilings"]
    assert len(report["logged"]) == 3


def test_packages_found_by_another_finder_are_repaired_as_well(world, tmp_path):
    elsewhere = tmp_path / "elsewhere"
    # As editable installs do; and it asks the whole line first, as some import hooks do.
    first = f"""
import importlib.util, sys
class EditableFinder:
    @classmethod
    def find_spec(cls, name, path=None, target=None):
        if name != "mmocr":
            return None
        for finder in sys.meta_path:
            if finder is not cls:
                finder.find_spec(name, path)
        return importlib.util.spec_from_file_location(name, {str(elsewhere / "mmocr.py")!r})
import mms_ocr
sys.meta_path.insert(1, EditableFinder)
"""
    elsewhere.mkdir()
    (elsewhere / "mmocr.py").write_text(textwrap.dedent(MMOCR_WITH_CEILINGS))
    report = world(NEWER, "import mmocr; result = mmocr.seen", first)
    assert report["result"] == ["2.0.1", "3.1.0"]


def test_installed_packages_import(repository, tmp_path):
    """MMPretrain and MMOCR import beside mms_ocr, and what acted is what the plain import lacks."""
    pytest.importorskip("mmpretrain", exc_type=ImportError)
    code = """
    import importlib, json, logging, sys
    {first}
    failed = {{}}
    for name in ("torchvision", "mmcv._ext", "mmpretrain.models", "mmocr.models"):
        try:
            importlib.import_module(name)
        except ModuleNotFoundError as error:
            failed[name] = "absent" if error.name == "mmocr" else str(error)
        except Exception as error:
            failed[name] = str(error)
    versions = {{n: sys.modules[n].__version__ for n in ("mmcv", "mmdet") if n in sys.modules}}
    from mmengine.utils import digit_version
    {last}
    print(json.dumps([failed, versions, active]))
    """
    plain = run_python(code.format(first="", last="active = []"), tmp_path)
    shimmed = run_python(
        code.format(
            first="import mms_ocr",
            last="active = list(mms_ocr.compat.active())",
        ),
        repository,
    )
    failed_plain, _, _ = json.loads(plain.splitlines()[-1])
    failed, versions, active = json.loads(shimmed.splitlines()[-1])

    assert all(reason == "absent" for reason in failed.values())
    assert ("torchvision-schemas" in active) == ("torchvision" in failed_plain)
    assert ("mmcv-ops" in active) == ("mmcv._ext" in failed_plain)
    if "version-ceilings" in active:
        assert "mmocr.models" in failed_plain
        assert versions["mmcv"] > "2.1.0" or versions["mmdet"] > "3.1.0"
    announced = [line for line in shimmed.splitlines() if "compatibility shim" in line]
    assert len(announced) == len(active) == len({line.split("shim ")[1] for line in announced})
    assert all("INFO" in line for line in announced)


@pytest.mark.slow
def test_mmpretrain_beside_transformers_5(repository, tmp_path):
    """transformers without what MMPretrain's multimodal models are derived from."""
    pytest.importorskip("mmpretrain", exc_type=ImportError)
    anything = """
        class AutoConfig: from_pretrained = None
        class PreTrainedModel: pass
        from transformers.models.auto.auto_factory import _BaseAutoModelClass
        class AutoModelForCausalLM(_BaseAutoModelClass): from_config = None
        def __getattr__(name):
            if name.startswith("__"):
                raise AttributeError(name)
            return type(name, (), {})
    """
    for name, text in {
        "__init__": anything,
        "models/__init__": "",
        "models/auto/__init__": "",
        "models/auto/auto_factory": "class _BaseAutoModelClass: pass",
    }.items():
        path = tmp_path / "transformers" / f"{name}.py"
        path.parent.mkdir(exist_ok=True)
        path.write_text(textwrap.dedent(text))
    metadata = tmp_path / "transformers-5.17.0.dist-info/METADATA"
    metadata.parent.mkdir()
    metadata.write_text("Metadata-Version: 2.1\nName: transformers\nVersion: 5.17.0\n")
    code = """
    {first}
    import json, sys
    try:
        import mmpretrain.models
    except TypeError as error:
        print(json.dumps(str(error)))
        sys.exit()
    from mmpretrain.registry import MODELS
    from mmpretrain.utils import dependency
    try:
        MODELS.build(dict(type="BlipCaption"))
    except ImportError as error:
        refused = str(error)
    active = list(mms_ocr.compat.active())
    kept = dependency.WITH_MULTIMODAL
    print(json.dumps([active, MODELS.get("VisionTransformer").__name__, refused, kept]))
    """
    plain = run_python(
        code.format(
            first="import mms_ocr; mms_ocr.compat._REPAIRS.pop('mmpretrain.models.multimodal')"
        ),
        tmp_path,
        repository,
    )
    assert "NoneType takes no arguments" in json.loads(plain.splitlines()[-1])
    report = run_python(code.format(first="import mms_ocr"), tmp_path, repository)
    active, backbone, refused, kept = json.loads(report.splitlines()[-1])
    assert "no-multimodal" in active
    assert backbone == "VisionTransformer"
    assert "requires extra multi-modal dependencies" in refused
    assert kept is True


@pytest.mark.parametrize("share", [0, 0.5])
def test_incomplete_cache_of_yapf(repository, tmp_path, monkeypatch, share):
    """As where several processes start for the first time at once."""
    monkeypatch.setenv("XDG_CACHE_HOME", str(tmp_path))
    code = """
    import json
    {first}
    try:
        import yapf
    except Exception as error:
        print(json.dumps(type(error).__name__))
    else:
        formatted = yapf.yapf_api.FormatCode("a = 1\\n")[0]
        active = list(mms_ocr.compat.active()) if {acting} else []
        print(json.dumps([formatted, active]))
    """
    plain, ours = (
        code.format(first=first, acting=bool(first)) for first in ("", "import mms_ocr.compat")
    )
    assert json.loads(run_python(plain, repository)) == ["a = 1\n", []]
    caches = sorted(tmp_path.rglob("*.pickle"))
    assert len(caches) == 2
    written = [cache.read_bytes() for cache in caches]
    assert json.loads(run_python(ours, repository).splitlines()[-1]) == ["a = 1\n", []]
    for cache, whole in zip(caches, written):
        cache.write_bytes(whole[: int(share * len(whole))])
    assert json.loads(run_python(plain, repository)) in ("EOFError", "UnpicklingError")
    report = run_python(ours, repository)
    assert json.loads(report.splitlines()[-1]) == ["a = 1\n", ["yapf-cache"]]
    assert [cache.stat().st_size for cache in caches] == [
        int(share * len(content)) for content in written
    ]
