import json
import os
import subprocess
import sys

import pytest
from packaging.requirements import Requirement

from mms_ocr.cli import doctor
from mms_ocr.cli import main as cli
from mms_ocr.cli.doctor import Finding, find_module, install_commands


@pytest.fixture
def fake(monkeypatch, tmp_path):
    """Make a module with the given source text importable."""
    modules = []

    def make(name: str, text: str) -> None:
        (tmp_path / f"{name}.py").write_text(text)
        monkeypatch.syspath_prepend(tmp_path)
        modules.append(name)

    yield make
    for name in modules:
        sys.modules.pop(name, None)


@pytest.mark.parametrize(
    ("source", "state", "error"),
    [
        (None, "missing", ""),
        ("__version__ = '1.10.0+cpu'", "ok", ""),
        ("__version__ = '1.8'", "unsupported", ""),
        ("__version__ = '2.1'", "unsupported", ""),
        (
            "raise OSError('libGL.so.1: no such file')",
            "broken",
            "OSError: libGL.so.1: no such file",
        ),
        ("import part_b", "broken", "ModuleNotFoundError: No module named 'part_b'"),
    ],
)
def test_states_of_a_module(fake, source, state, error):
    if source is not None:
        fake("part_a", source)
    finding = find_module(Requirement("part_a>=1.9,<2"))
    assert (finding.module, finding.state, finding.error) == ("part_a", state, error)


def test_a_folder_left_of_a_package_is_broken(monkeypatch, tmp_path):
    (tmp_path / "part_a" / "data").mkdir(parents=True)
    monkeypatch.syspath_prepend(tmp_path)
    assert find_module(Requirement("part_a")).state == "broken"
    sys.modules.pop("part_a")


def test_bounds_are_those_of_the_distribution_and_not_of_its_alternatives(monkeypatch):
    versions = {"mmengine": "0.8.3"}
    monkeypatch.setattr(
        doctor, "_installed", lambda names: {n: versions[n] for n in names if n in versions}
    )
    requirement = Requirement("onedl-mmengine>=0.10.10,<1.0")
    finding = find_module(requirement)
    assert (finding.state, finding.version) == ("ok", "0.8.3")
    assert finding.distributions == ["mmengine"]
    versions["onedl-mmengine"] = "1.0"
    assert find_module(requirement).state == "unsupported"


MISSING = dict(state="missing")
BROKEN = dict(state="broken", distributions=["x"])


@pytest.mark.parametrize(
    ("findings", "commands"),
    [
        ([Finding("a", "a>=2.0", "runtime")], []),
        ([Finding("a", "a>=2.0", "runtime", **MISSING)], ["'a>=2.0'"]),
        ([Finding("a", "a>=2", "runtime", "unsupported", "1.9")], ["'a>=2'"]),
        (
            [Finding("a", "a", "mmocr-nodeps", **MISSING), Finding("b", "b", "mmocr", **MISSING)],
            ["b", "--no-deps a"],
        ),
        (
            [Finding("a", "a", "torch", **BROKEN), Finding("b", "b", "runtime", **BROKEN)],
            ["--force-reinstall --no-deps --no-cache-dir a"],
        ),
        (
            [
                Finding(
                    "mmengine", "onedl-mmengine>=0.10", "openmmlab", distributions=["mmengine"]
                ),
                Finding("mmpretrain", "onedl-mmpretrain>=1.3", "openmmlab", **MISSING),
            ],
            ["mmpretrain"],
        ),
    ],
)
def test_commands(findings, commands):
    prefix = f"{sys.executable} -m pip install "
    assert install_commands(findings) == [prefix + command for command in commands]


@pytest.mark.parametrize(("group", "status"), [("runtime", 1), ("mmocr", 0)])
def test_only_what_is_needed_gives_status_1(monkeypatch, capsys, group, status):
    requirements = [(group, Requirement("part_a>=2.0"))]
    monkeypatch.setattr(doctor, "read_requirements", lambda: requirements)
    assert cli.main(["doctor"]) == status
    out = capsys.readouterr().out
    assert f"{'MISSING' if status else 'missing'}     part_a" in out
    assert "-m pip install 'part_a>=2.0'" in out


def test_two_distributions_of_one_module_give_a_warning(monkeypatch, capsys):
    versions = {"opencv-python": "5.0", "opencv-python-headless": "5.0"}
    monkeypatch.setattr(doctor, "_installed", lambda names: versions)
    requirements = [("runtime", Requirement("opencv-python>=4.5"))]
    monkeypatch.setattr(doctor, "read_requirements", lambda: requirements)
    assert cli.main(["doctor"]) == 0
    assert "cv2 comes from opencv-python, opencv-python-headless" in capsys.readouterr().out


def test_json(capsys):
    status = cli.main(["doctor", "--json"])
    report = json.loads(capsys.readouterr().out)
    assert report["healthy"] == (status == 0)
    version = ".".join(map(str, sys.version_info[:3]))
    assert report["environment"]["Python"].startswith(version)
    modules = {finding["module"]: finding["needed"] for finding in report["findings"]}
    assert modules["torch"]
    assert modules["mmengine"]
    assert not modules["mmocr"]
    assert int(report["environment"]["CPU cores"]) > 0


def test_a_fresh_process_lists_the_shims_and_prints_nothing_else(repository):
    done = subprocess.run(
        [sys.executable, "-m", "mms_ocr.cli.main", "doctor"],
        env={**os.environ, "PYTHONPATH": str(repository)},
        capture_output=True,
        text=True,
        check=False,
    )
    assert done.returncode == 0, done.stdout + done.stderr
    assert done.stderr == ""
    assert done.stdout.startswith("mms_ocr ")
    assert "INFO - compatibility shim" not in done.stdout
    assert "active compatibility shims\n" in done.stdout
