import json
import os
import subprocess
import sys

import pytest

from mms_ocr.cli import diagnosis
from mms_ocr.cli import main as cli
from mms_ocr.cli.parts import Part


@pytest.fixture
def fake(monkeypatch, tmp_path):
    """Make a module with the given source text importable."""
    made = []

    def make(name: str, text: str) -> None:
        (tmp_path / f"{name}.py").write_text(text)
        monkeypatch.syspath_prepend(tmp_path)
        made.append(name)

    yield make
    for name in made:
        sys.modules.pop(name, None)


@pytest.fixture
def parts(monkeypatch):
    """Diagnose the given parts only."""

    def choose(*chosen: Part) -> None:
        names = ("torch", "mmengine", "mmcv", "mmpretrain", "mmdet")
        rest = [Part(name, "0", name) for name in names]
        rest = [part for part in rest if part.module not in {each.module for each in chosen}]
        monkeypatch.setattr(diagnosis, "PARTS", (*chosen, *rest))

    return choose


def find(found: diagnosis.Diagnosis, module: str) -> diagnosis.Finding:
    return next(finding for finding in found.findings if finding.module == module)


def test_versions_are_compared_as_numbers(fake, parts):
    fake("part_a", "__version__ = '1.10.0+cpu'")
    parts(Part("part_a", "1.9", "part-a>=1.9"))
    assert find(diagnosis.diagnose(), "part_a").state == "ok"


@pytest.mark.parametrize(
    ("source", "state", "command"),
    [
        (None, "missing", "-m pip install 'part-a>=2.0'"),
        ("__version__ = '1.9'", "too old", "-m pip install 'part-a>=2.0'"),
        (
            "raise OSError('libcudart.so.13: no such file')",
            "broken",
            "-m pip install --force-reinstall --no-deps --no-cache-dir 'part-a>=2.0'",
        ),
        (
            "raise ValueError('numpy.dtype size changed, may indicate binary incompatibility.')",
            "broken",
            "-m pip install --force-reinstall --no-deps --no-cache-dir 'part-a>=2.0'",
        ),
        ("import another_module_that_lacks", "broken", "install another_module_that_lacks"),
    ],
)
def test_what_is_needed_and_not_in_order_fails_with_the_command(
    fake, parts, capsys, source, state, command
):
    if source is not None:
        fake("part_a", source)
    parts(Part("part_a", "2.0", "part-a>=2.0"))
    assert cli.main(["doctor"]) == 1
    out = capsys.readouterr().out
    assert f"{state.upper()} " in out
    typed = [line.strip() for line in out.splitlines() if " -m pip install " in line]
    assert len(typed) == 1
    assert typed[0].startswith(sys.executable)
    assert typed[0].endswith(command)
    assert "Everything needed is here" not in out


def test_a_part_broken_by_another_s_absence_is_not_reinstalled(fake, parts):
    fake("part_a", "import part_b")
    parts(Part("part_a", "0", "part-a"), Part("part_b", "0", "part-b"))
    found = diagnosis.diagnose()
    assert find(found, "part_a").lacks == "part_b"
    assert found.needed_commands == [f"{sys.executable} -m pip install part-b"]


def test_a_module_of_python_itself_is_not_installed_by_pip(fake, parts, monkeypatch, capsys):
    monkeypatch.setitem(sys.modules, "_lzma", None)
    fake("part_a", "import _lzma")
    parts(Part("part_a", "0", "part-a"))
    assert cli.main(["doctor"]) == 1
    out = capsys.readouterr().out
    assert "part_a needs _lzma, which this Python" in out
    assert "pip install" not in out


def test_a_part_that_refuses_its_surroundings_is_not_reinstalled(fake, parts, capsys):
    fake("part_a", "raise AssertionError('part_b 2 is incompatible; install part_b<2')")
    parts(Part("part_a", "0", "part-a"))
    assert cli.main(["doctor"]) == 1
    out = capsys.readouterr().out
    assert "BROKEN   part_a" in out
    assert "install part_b<2" in out
    assert "pip install" not in out


LACKING = "cannot open shared object file: No such file or directory"


@pytest.mark.parametrize(
    ("error", "typed", "said"),
    [
        (f"ImportError('libgomp.so.1: {LACKING}')", ["apt-get install libgomp1"], "libgomp.so.1"),
        (f"OSError('libodd.so.2: {LACKING}')", [], "libodd.so.2"),
        (
            "ImportError('/lib/libm.so.6: version `GLIBC_2.38\\' not found (required by x.so)')",
            [],
            "GLIBC_2.38, which this system lacks; take a newer system",
        ),
        (
            "ImportError('DLL load failed while importing part_a: The module was not found.')",
            [],
            "Visual C++",
        ),
        (
            f"OSError('libcudart.so.13: {LACKING}')",
            ["-m pip install --force-reinstall --no-deps --no-cache-dir part-a"],
            "libcudart.so.13",
        ),
    ],
)
def test_the_missing_library_is_named_and_nothing_that_imports_it(
    fake, parts, capsys, error, typed, said
):
    fake("part_a", f"raise {error}")
    fake("part_b", "import part_a")
    parts(Part("part_b", "0", "part-b"), Part("part_a", "0", "part-a"))
    assert cli.main(["doctor"]) == 1
    out = capsys.readouterr().out
    assert said in out
    commands = out.partition("To get what is needed, type:\n")[2].splitlines()
    assert [line.replace(sys.executable, "").strip() for line in commands] == typed


@pytest.mark.parametrize("installed", [["opencv-python"], ["opencv-contrib-python"], []])
def test_opencv_without_the_libraries_of_a_screen(fake, parts, monkeypatch, capsys, installed):
    monkeypatch.delitem(sys.modules, "cv2")
    fake("cv2", f"raise ImportError('libGL.so.1: {LACKING}')")
    fake("part_b", "import cv2")
    monkeypatch.setattr(Part, "distributions", lambda self: installed * (self.module == "cv2"))
    parts(Part("cv2", "4.5", "opencv-python>=4.5"), Part("part_b", "0", "part-b"))
    assert cli.main(["doctor"]) == 1
    out = capsys.readouterr().out
    assert "apt-get install libgl1;" in out
    headless = f"{(installed or ['opencv-python'])[0]}-headless"
    typed = [line.strip() for line in out.splitlines() if " -m pip " in line]
    assert typed == [
        *(f"{sys.executable} -m pip uninstall -y {name}" for name in installed),
        f"{sys.executable} -m pip install '{headless}>=4.5'",
    ]


@pytest.mark.parametrize(
    ("installed", "kept"),
    [
        (["opencv-python", "opencv-python-headless"], "opencv-python-headless"),
        (["opencv-python", "opencv-contrib-python"], "opencv-contrib-python"),
        (["opencv-contrib-python", "opencv-python-headless"], "opencv-contrib-python-headless"),
    ],
)
def test_two_opencvs_are_warned_of_with_the_command(monkeypatch, parts, capsys, installed, kept):
    monkeypatch.setattr(Part, "distributions", lambda self: installed * (self.module == "cv2"))
    parts(Part("cv2", "4.5", "opencv-python>=4.5"))
    assert cli.main(["doctor"]) == 0
    out = capsys.readouterr().out
    assert f"cv2 comes from 2 distributions ({', '.join(installed)})" in out
    assert f"-m pip uninstall -y {' '.join(installed)}\n" in out
    assert f"-m pip install '{kept}>=4.5'\n" in out


def test_a_package_whose_files_are_gone_is_installed_again(monkeypatch, parts):
    monkeypatch.setattr(Part, "distributions", lambda self: ["part-a"] * (self.module == "part_a"))
    parts(Part("part_a", "0", "part-a"))
    assert diagnosis.diagnose().needed_commands == [
        f"{sys.executable} -m pip install --force-reinstall --no-deps --no-cache-dir part-a"
    ]


def test_what_is_left_of_a_package_is_not_taken_for_it(monkeypatch, tmp_path, parts, capsys):
    (tmp_path / "part_a" / "data").mkdir(parents=True)
    monkeypatch.syspath_prepend(tmp_path)
    parts(Part("part_a", "0", "part-a"))
    assert cli.main(["doctor"]) == 1
    sys.modules.pop("part_a")
    out = capsys.readouterr().out
    assert "BROKEN   part_a" in out
    assert "--force-reinstall --no-deps --no-cache-dir part-a" in out


def test_what_is_optional_is_said_to_be_and_does_not_fail(parts, capsys):
    parts(
        Part("part_a", "0", "part-a", needed=False),
        Part("part_b", "0", "part-b", needed=False, without_dependencies=True),
    )
    assert cli.main(["doctor"]) == 0
    out = capsys.readouterr().out
    optional = out.partition("\noptional")[2]
    assert "MMOCR" in optional.splitlines()[0]
    assert "missing  part_a" in optional
    assert optional.index("-m pip install part-a") < optional.index("install --no-deps part-b")
    assert "Everything needed is here." in out


def test_upstream_users_are_offered_upstream_packages(monkeypatch, parts):
    providers = {"mmengine": ["mmengine"], "mmcv": ["mmcv"]}
    monkeypatch.setattr(Part, "distributions", lambda self: providers.get(self.module, []))
    parts(Part("part_a", "0", "onedl-part-a", upstream="part-a"))
    assert diagnosis.diagnose().needed_commands == [f"{sys.executable} -m pip install part-a"]
    providers["mmcv"] = ["onedl-mmcv"]
    assert diagnosis.diagnose().needed_commands == [f"{sys.executable} -m pip install onedl-part-a"]


def test_two_builds_of_one_module_are_warned_of(monkeypatch, capsys):
    providers = {"mmcv": ["mmcv", "onedl-mmcv"]}
    monkeypatch.setattr(Part, "distributions", lambda self: providers.get(self.module, []))
    cli.main(["doctor"])
    assert "mmcv comes from 2 distributions (mmcv, onedl-mmcv)" in capsys.readouterr().out


def test_json_tells_the_same(capsys):
    status = cli.main(["doctor", "--json"])
    told = json.loads(capsys.readouterr().out)
    assert told["healthy"] == (status == 0)
    assert told["python"] == ".".join(map(str, sys.version_info[:3]))
    assert {finding["module"] for finding in told["findings"]} == {
        part.module for part in diagnosis.PARTS
    }
    assert any(device.startswith("cpu: ") for device in told["devices"])


def test_a_fresh_process_names_the_shims_and_prints_nothing_else(repository):
    code = "import sys; from mms_ocr.apis import cli; sys.exit(cli.main(['doctor']))"
    done = subprocess.run(
        [sys.executable, "-c", code],
        env={**os.environ, "PYTHONPATH": str(repository)},
        capture_output=True,
        text=True,
        check=False,
    )
    assert done.returncode == 0, done.stdout + done.stderr
    assert done.stderr == ""
    assert done.stdout.startswith("mms_ocr ")
    assert "compatibility shim " not in done.stdout  # log lines
    shims, operators = done.stdout.partition("shims that act here\n")[2].split("\n\n")[:2]
    assert ("mmcv-ops" in shims) == ("mmcv: no;" in operators)
