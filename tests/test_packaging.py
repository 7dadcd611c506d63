import ast
import importlib.util
import os
import re
import shutil
import subprocess
import sys
import tarfile
import textwrap
import zipfile
from pathlib import Path

import pytest
from packaging.requirements import Requirement
from packaging.utils import canonicalize_name

import mms_ocr
from mms_ocr.cli.doctor import read_requirements

PYTHONS = ("3.10", "3.11", "3.12", "3.13")
USED = ("runtime", "torch", "openmmlab", "mmocr", "mmocr-nodeps", "onnx", "export")
RANGES = (*USED, "web", "dev", "docs", "browser")
# Distribution that provides a module, where the two are not called the same.
PROVIDERS = {
    "cv2": "opencv-python",
    "mmcv": "onedl-mmcv",
    "mmdet": "onedl-mmdetection",
    "mmengine": "onedl-mmengine",
    "mmpretrain": "onedl-mmpretrain",
    "PIL": "pillow",
    "skimage": "scikit-image",
    "imgaug": "imaug",
    "yaml": "onedl-mmengine",  # which reads metafiles by it
    "yapf": "onedl-mmengine",  # which writes configs by it
}

# Readers of other projects, which tools/benchmarks/bench_readers.py compares where they are there.
COMPARED = {"doctr", "easyocr", "rapidocr"}


def parse(path: Path) -> list[Requirement]:
    lines = path.read_text().splitlines()
    return [Requirement(line) for line in lines if line.strip() and not line.startswith("#")]


@pytest.fixture(scope="module")
def ranges(repository) -> dict[str, list[Requirement]]:
    return {name: parse(repository / f"requirements/{name}.txt") for name in RANGES}


@pytest.fixture(scope="module")
def locked(repository) -> dict[str, dict[str, str]]:
    """Version of every package, by Python version."""
    pins: dict[str, dict[str, str]] = {python: {} for python in PYTHONS}
    for path in sorted((repository / "requirements/lock").glob("*.txt")):
        for requirement in parse(path):
            (specifier,) = requirement.specifier
            assert specifier.operator == "==", requirement
            assert "*" not in specifier.version
            for python, versions in pins.items():
                marker = requirement.marker
                if marker is None or marker.evaluate({"python_version": python}):
                    name = canonicalize_name(requirement.name)
                    version = versions.setdefault(name, specifier.version)
                    assert version == specifier.version, f"{name} is pinned twice for {python}"
    return pins


@pytest.mark.parametrize("python", PYTHONS)
def test_locked_versions_are_within_the_requirements(ranges, locked, python):
    groups = [group for name, group in ranges.items() if name != "docs" or python != "3.10"]
    for requirement in [each for group in groups for each in group]:
        name = canonicalize_name(requirement.name)
        assert name in locked[python], f"{name} has no tested version for Python {python}"
        assert requirement.specifier.contains(locked[python][name]), requirement


def test_environment_has_one_opencv_and_no_transformers(locked):
    for versions in locked.values():
        assert not {"opencv-python-headless", "transformers", "numba", "imgaug"} & set(versions)


def test_installing_mms_ocr_replaces_no_package(ranges):
    names = {canonicalize_name(each.name) for each in ranges["runtime"]}
    both_builds = {"mmengine", "mmcv", "mmcv-lite", "mmdet", "mmpretrain", "mmocr"}
    assert not names & both_builds
    assert not any(name.startswith(("onedl", "torch", "opencv")) for name in names)


def imported_modules(folder: Path) -> set[str]:
    imported = set()
    for path in folder.rglob("*.py"):
        for node in ast.walk(ast.parse(path.read_text())):
            if isinstance(node, ast.Import):
                imported |= {alias.name.partition(".")[0] for alias in node.names}
            elif isinstance(node, ast.ImportFrom) and node.level == 0:
                imported.add(str(node.module).partition(".")[0])
    return imported - set(sys.stdlib_module_names)


@pytest.mark.parametrize(
    ("folder", "groups"),
    [
        ("mms_ocr", (*USED, "web")),
        ("tools", USED),
        ("tests", RANGES),
    ],
)
def test_everything_imported_is_required_somewhere(repository, ranges, folder, groups):
    required = {canonicalize_name(each.name) for group in groups for each in ranges[group]}
    own = [
        path for part in (folder, "tools", "projects") for path in (repository / part).rglob("*.py")
    ]
    here = {"mms_ocr", "conftest"} | {path.stem for path in own}
    modules = imported_modules(repository / folder) - here - COMPARED
    assert {m for m in modules if canonicalize_name(PROVIDERS.get(m, m)) not in required} == set()


def test_doctor_reads_all_requirements(ranges):
    groups = {name: [str(each) for each in ranges[name]] for name in USED}
    requirements = {name: [] for name in groups}
    for name, requirement in read_requirements():
        requirements[name].append(str(requirement))
    assert requirements == groups


# Building: in a copy, so that nothing is left in the checkout.


@pytest.fixture(scope="module")
def checkout(repository, tmp_path_factory) -> Path:
    """A copy of what packaging reads, with a config and weights of its own."""
    copy = tmp_path_factory.mktemp("checkout")
    for name in ("mms_ocr", "configs", "tools", "requirements"):
        ignored = shutil.ignore_patterns("__pycache__", ".mim")
        shutil.copytree(repository / name, copy / name, ignore=ignored)
    names = ["setup.py", "pyproject.toml", "MANIFEST.in", "LICENSE", "README.md", "model-index.yml"]
    for name in names:
        shutil.copy2(repository / name, copy / name)
    (copy / "configs/mms").mkdir(exist_ok=True)
    (copy / "configs/mms/probe.py").write_text("probe = dict(inherited=True)\n")
    (copy / "configs/mms/metafile.yml").write_text("Models: [{Name: probe}]\n")
    (copy / "mms_ocr/zoo").mkdir(exist_ok=True)
    (copy / "mms_ocr/zoo/probe.safetensors").write_bytes(b"weights")
    return copy


def build(checkout: Path, kind: str, target: Path) -> Path:
    """Call setuptools' build hook, as pip does; gives the file that was made."""
    target.mkdir(exist_ok=True)
    code = f"from setuptools import build_meta; print(build_meta.build_{kind}({str(target)!r}))"
    done = subprocess.run(
        [sys.executable, "-c", code], cwd=checkout, capture_output=True, text=True, check=False
    )
    assert done.returncode == 0, done.stderr
    return target / done.stdout.splitlines()[-1]


def files_below(folder: Path, *left_out: str) -> set[str]:
    return {
        str(path.relative_to(folder))
        for path in folder.rglob("*")
        if path.is_file() and not {"__pycache__", ".mim", *left_out} & set(path.parts)
    }


@pytest.fixture(scope="module")
def wheel(checkout, tmp_path_factory) -> Path:
    return build(checkout, "wheel", tmp_path_factory.mktemp("wheel"))


def test_wheel_holds_the_package_and_its_mim_files(checkout, wheel):
    assert wheel.name == f"mms_ocr-{mms_ocr.__version__}-py3-none-any.whl"
    with zipfile.ZipFile(wheel) as archive:
        names = set(archive.namelist())
        (metadata,) = [name for name in names if name.endswith(".dist-info/METADATA")]
        about = archive.read(metadata).decode()
        entry_points = archive.read(metadata.replace("METADATA", "entry_points.txt")).decode()
    package = {name for name in names if ".dist-info/" not in name}
    expected = {f"mms_ocr/{name}" for name in files_below(checkout / "mms_ocr")}
    for part in ("configs", "requirements", "tools"):
        expected |= {f"mms_ocr/.mim/{part}/{name}" for name in files_below(checkout / part)}
    expected.add("mms_ocr/.mim/model-index.yml")
    assert package == expected
    assert "mms_ocr/py.typed" in package
    assert "mms_ocr.cli.main:main" in entry_points
    assert "Requires-Python: >=3.10" in about
    plain = [line for line in about.splitlines() if line.startswith("Requires-Dist")]
    plain = [line for line in plain if "extra ==" not in line]
    assert not any(word in line for line in plain for word in ("mmcv", "torch", "opencv"))


def test_a_wheel_made_from_the_sdist_is_the_same(checkout, wheel, tmp_path):
    sdist = build(checkout, "sdist", tmp_path / "sdist")
    with tarfile.open(sdist) as archive:
        archive.extractall(tmp_path, filter="data")
    again = build(tmp_path / f"mms_ocr-{mms_ocr.__version__}", "wheel", tmp_path / "again")
    with zipfile.ZipFile(wheel) as first, zipfile.ZipFile(again) as second:
        assert sorted(first.namelist()) == sorted(second.namelist())
        different = [name for name in first.namelist() if first.read(name) != second.read(name)]
    assert different == []


INHERIT = """
import site, sys
from pathlib import Path
# Forget the mms_ocr that these tests run from.
sys.path[:] = [path for path in sys.path if not Path(path, "mms_ocr").exists()]
sys.meta_path[:] = [f for f in sys.meta_path if "mms_ocr" not in getattr(f, "__module__", "")]
for name in [name for name in sys.modules if name.startswith("__editable__")]:
    del sys.modules[name]
sys.path.insert(0, sys.argv[1])
site.addsitedir(sys.argv[1])
import mms_ocr
from mmengine.config import Config
from mmengine.utils import get_installed_path
child = Path(sys.argv[2], "child.py")
child.write_text("_base_ = 'mms_ocr::mms/probe.py'\\nprobe = dict(own=1)\\n")
config = Config.fromfile(str(child))
assert config.probe.to_dict() == {"inherited": True, "own": 1}, config
from mms_ocr.apis.zoo import metafile, read_zoo
from mms_ocr.utils.bundled import bundled_file
assert "probe" in read_zoo(), metafile("mms")
assert bundled_file("mms_ocr://probe").read_bytes() == b"weights"
print(mms_ocr.__file__)
print(get_installed_path("mms_ocr"))
"""


@pytest.mark.parametrize("kind", ["wheel", "editable"])
def test_configs_inherit_from_an_installed_mms_ocr(checkout, wheel, tmp_path, kind):
    file = wheel if kind == "wheel" else build(checkout, "editable", tmp_path / "editable")
    site = tmp_path / "site"
    with zipfile.ZipFile(file) as archive:
        archive.extractall(site)
    # Found through the installed files alone: neither a path nor a working directory helps.
    environment = {k: v for k, v in os.environ.items() if k != "PYTHONPATH"}
    done = subprocess.run(
        [
            sys.executable,
            "-c",
            INHERIT,
            site,
            tmp_path,
        ],
        cwd=tmp_path,
        env=environment,
        capture_output=True,
        text=True,
        check=False,
    )
    assert done.returncode == 0, done.stderr
    imported, installed = done.stdout.splitlines()[-2:]
    home = site if kind == "wheel" else checkout
    assert Path(imported) == home / "mms_ocr/__init__.py"
    assert Path(installed) == home / "mms_ocr"


def test_an_editable_install_links_to_the_checkout(checkout, tmp_path):
    build(checkout, "editable", tmp_path / "editable")
    mim = checkout / "mms_ocr/.mim"
    for part in ("configs", "tools", "model-index.yml"):
        assert (mim / part).is_symlink()
        assert (mim / part).resolve() == (checkout / part).resolve()


# make env


@pytest.fixture
def make_env(repository):
    spec = importlib.util.spec_from_file_location(
        "make_env", repository / "requirements/make_env.py"
    )
    module = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    return module


@pytest.fixture
def steps(make_env, monkeypatch):
    """Replace the long steps; gives the list of what was done."""
    done = []

    def pip_install(python, arguments, log):
        done.append(arguments[0] if arguments[0] != "-r" else arguments[1])

    run_venv = make_env.run_venv
    monkeypatch.setattr(make_env, "run_venv", lambda venv: run_venv(venv, "--without-pip"))
    monkeypatch.setattr(make_env, "pip_install", pip_install)
    monkeypatch.setattr(make_env, "check", lambda python: done.append("check"))
    return done


def test_an_environment_is_made_once_and_again_when_requirements_change(
    make_env, steps, monkeypatch, tmp_path
):
    venv = tmp_path / "venv"
    make_env.make(venv)
    assert steps == ["build.txt", "--no-deps", "--no-deps", "torch.txt", "--no-deps", "check"]
    make_env.make(venv)
    assert len(steps) == 6

    lock = tmp_path / "lock"
    lock.mkdir()
    (lock / "stack.txt").write_text("numpy==0.0\n")
    monkeypatch.setattr(make_env, "LOCK", lock)
    make_env.make(venv)
    assert len(steps) == 12


def test_a_group_of_packages_is_added_once(make_env, steps, monkeypatch, tmp_path):
    monkeypatch.setattr(sys, "version_info", (3, 11))
    make_env.add_group(tmp_path, "docs")
    make_env.add_group(tmp_path, "docs")
    assert steps == ["--no-deps"]
    monkeypatch.setattr(sys, "version_info", (3, 10))
    with pytest.raises(make_env.SetupError, match=r"Python 3\.11"):
        make_env.add_group(tmp_path, "docs")


def test_incomplete_environment_is_made_again(make_env, steps, monkeypatch, tmp_path, capsys):
    venv = tmp_path / "venv"

    def fails(python):
        raise make_env.SetupError("the installed packages do not import")

    with monkeypatch.context() as patch:
        patch.setattr(make_env, "check", fails)
        with pytest.raises(make_env.SetupError):
            make_env.make(venv)
    make_env.make(venv)
    assert "made again" in capsys.readouterr().out
    make_env.venv_python(venv).unlink()
    make_env.make(venv)
    assert "made again" in capsys.readouterr().out
    assert make_env.is_ready(venv, venv / "made-from")


def test_folder_without_an_environment_is_not_changed(make_env, steps, tmp_path):
    (tmp_path / "thesis.txt").write_text("x")
    with pytest.raises(make_env.SetupError, match="is not a virtual environment"):
        make_env.make(tmp_path)
    assert (tmp_path / "thesis.txt").exists()


def test_missing_ensurepip_gives_one_line(make_env, monkeypatch, tmp_path):
    poor = tmp_path / "python"
    poor.write_text("#!/bin/sh\necho 'ensurepip is not available' >&2\nexit 1\n")
    poor.chmod(0o755)
    monkeypatch.setattr(sys, "_base_executable", str(poor), raising=False)
    with pytest.raises(make_env.SetupError) as caught:
        make_env.make(tmp_path / "venv")
    message = str(caught.value)
    assert "apt-get install python3-venv" in message
    assert "\n" not in message
    assert not (tmp_path / "venv").exists()


def test_failed_install_shows_the_last_lines_of_pip(make_env, tmp_path):
    log = tmp_path / "install.log"
    arguments = ["--no-index", "a-package-that-nobody-has"]
    with pytest.raises(make_env.SetupError, match="No matching distribution") as caught:
        make_env.pip_install(Path(sys.executable), arguments, log)
    assert str(log) in str(caught.value)


@pytest.mark.parametrize(
    ("version", "message"),
    [
        ("3.9.18", "needs Python 3.10 to 3.13, and"),
        ("3.14.0", "needs Python 3.10 to 3.13, and"),
        (None, "no"),
    ],
)
@pytest.mark.skipif(shutil.which("make") is None, reason="make is not installed")
def test_make_refuses_another_python_in_one_line(repository, tmp_path, version, message):
    python = tmp_path / "python"
    if version:
        # Answers the Makefile's two questions.
        text = f"""\
        #!/bin/sh
        case "$2" in *platform*) echo {version} ;; *) exit 1 ;; esac
        """
        python.write_text(textwrap.dedent(text))
        python.chmod(0o755)
    done = subprocess.run(
        ["make", "-s", "env", f"PYTHON={python}", f"VENV={tmp_path / 'venv'}"],
        cwd=repository,
        capture_output=True,
        text=True,
        check=False,
    )
    assert done.returncode == 2
    first, *rest = done.stderr.splitlines()
    assert first.startswith("make: ")
    assert message in first
    assert str(python) in first
    assert version is None or version in first
    assert all("***" in line for line in rest)  # make's own closing words
    assert not (tmp_path / "venv").exists()


USER_CODE = """
from mms_ocr.apis import WordReader, WordSegmenter
from mms_ocr.masking import SpanMask

reveal_type(list(WordReader().stream("crops")))
reveal_type(WordSegmenter()("crops"))
reveal_type(SpanMask(0.5, (8, 32))(4))
SpanMask("half", (8, 32))
"""


@pytest.mark.slow
def test_type_checkers_use_the_annotations_of_the_wheel(wheel, tmp_path):
    with zipfile.ZipFile(wheel) as archive:
        archive.extractall(tmp_path / "site")
    (tmp_path / "user.py").write_text(USER_CODE)
    done = subprocess.run(
        [sys.executable, "-m", "mypy", "--follow-imports=silent", "user.py"],
        cwd=tmp_path,
        env={**os.environ, "PYTHONPATH": "", "MYPYPATH": str(tmp_path / "site")},
        capture_output=True,
        text=True,
        check=False,
    )
    revealed = re.findall(r'Revealed type is "(.*)"', done.stdout)
    assert revealed == [
        "list[mms_ocr.apis.reading.Reading]",
        "list[mms_ocr.apis.segmenting.SegmentedWord]",
        "torch._tensor.Tensor",
    ]
    (error,) = re.findall(r"user\.py:(\d+): error: (.*)", done.stdout)
    assert error[0] == "8"
    assert '"str"; expected "float"' in error[1]
