import ast
import os
import signal
import subprocess
import sys
import textwrap
from pathlib import Path

import pytest

from mms_ocr import cli as commands
from mms_ocr.cli import main as cli
from mms_ocr.compat import MissingOperatorError


@pytest.fixture
def command(tmp_path, monkeypatch):
    """Add a command ``try-it`` whose ``run`` has the given body."""

    def add(body: str, help_line: str = "'try it'") -> None:
        text = f"HELP = {help_line}\n\ndef add_arguments(parser):\n"
        text += "    parser.add_argument('--count', type=int)\n\ndef run(args):\n"
        (tmp_path / "try_it.py").write_text(text + textwrap.indent(textwrap.dedent(body), "    "))
        monkeypatch.setattr(commands, "__path__", [*commands.__path__, str(tmp_path)])
        monkeypatch.delitem(sys.modules, "mms_ocr.cli.try_it", raising=False)

    yield add
    sys.modules.pop("mms_ocr.cli.try_it", None)


def test_a_command_gets_its_arguments_and_gives_the_exit_status(command, capsys):
    command("print(args.count); return 7")
    assert cli.main(["try-it", "--count", "3"]) == 7
    assert capsys.readouterr().out == "3\n"


def test_no_status_means_success(command):
    command("pass")
    assert cli.main(["try-it"]) == 0


@pytest.mark.parametrize(
    ("raised", "said"),
    [
        ("ValueError('a.lmdb: no num-samples')", "a.lmdb: no num-samples"),
        ("FileNotFoundError('no such folder: x')", "no such folder: x"),
        ("FileNotFoundError(2, 'No such file', 'x')", "[Errno 2] No such file: 'x'"),
        ("ModuleNotFoundError('install mmocr')", "install mmocr"),
        ("ValueError('two\\n  lines')", "two lines"),
        ("ValueError()", "ValueError"),
    ],
)
def test_what_the_user_did_is_told_in_one_line(command, capsys, raised, said):
    command(f"raise {raised}")
    assert cli.main(["try-it"]) == 2
    assert capsys.readouterr().err == f"mms-ocr try-it: {said}\n"


def test_a_missing_operator_is_told_in_one_line(command, capsys):
    command("from mmcv import _ext; _ext.nms()")
    try:
        from mmcv import _ext
    except ImportError:
        pytest.skip("mmcv is not installed")
    if _ext.__spec__.origin != "mms_ocr.compat":
        pytest.skip("mmcv has compiled operators")
    with pytest.raises(MissingOperatorError):
        cli.main(["try-it", "--traceback"])
    assert cli.main(["try-it"]) == 2
    assert "'nms'" in capsys.readouterr().err


@pytest.mark.parametrize("argv", [["--traceback", "try-it"], ["try-it", "--traceback"]])
def test_the_traceback_is_there_when_asked_for(command, argv):
    command("raise ValueError('x')")
    with pytest.raises(ValueError, match="x"):
        cli.main(argv)


def test_a_fault_of_the_program_keeps_its_traceback(command):
    command("return {}['key']")
    with pytest.raises(KeyError):
        cli.main(["try-it"])


def test_an_interrupt_gives_130(command, capsys):
    command("raise KeyboardInterrupt")
    assert cli.main(["try-it"]) == 128 + signal.SIGINT
    assert capsys.readouterr().err == "mms-ocr try-it: interrupted\n"


def test_the_overview_lists_every_command_without_importing_it(command, capsys):
    command("pass", "'sees a thing'")
    with pytest.raises(SystemExit) as stopped:
        cli.main(["--help"])
    assert stopped.value.code == 0
    out = capsys.readouterr().out
    for name in commands.names():
        assert f"\n  {name} " in out
    assert "sees a thing" in out
    assert "mms_ocr.cli.try_it" not in sys.modules


def test_a_help_line_that_is_not_plain_is_imported(command, capsys):
    command("pass", "'a' + 'b'")
    with pytest.raises(SystemExit):
        cli.main(["--help"])
    assert " ab\n" in capsys.readouterr().out


def test_nothing_typed_shows_the_overview(capsys):
    assert cli.main([]) == 2
    assert "doctor" in capsys.readouterr().out


@pytest.mark.parametrize("argv", [["nix"], ["--nix"], ["doctor", "--nix"]])
def test_unknown_words_are_refused(argv, capsys):
    with pytest.raises(SystemExit) as stopped:
        cli.main(argv)
    assert stopped.value.code == 2
    assert "nix" in capsys.readouterr().err


@pytest.mark.parametrize("name", commands.names())
def test_every_command_keeps_to_the_contract(name, capsys):
    module = cli._load(name)
    assert cli._help_line(name) == module.HELP
    assert "\n" not in module.HELP
    with pytest.raises(SystemExit) as stopped:
        cli.main([name, "--help"])
    assert stopped.value.code == 0
    assert module.HELP.split()[0] in capsys.readouterr().out


def test_starting_up_imports_nothing_heavy(repository):
    code = """
    import sys
    from mms_ocr.cli import main as cli
    try:
        cli.main(["--help"])
    except SystemExit:
        heavy = {"torch", "numpy", "cv2", "mmengine", "mmcv", "lmdb", "matplotlib"}
        print(sorted(heavy & set(sys.modules)))
    """
    environment = {**os.environ, "PYTHONPATH": str(repository)}
    done = subprocess.run(
        [sys.executable, "-c", textwrap.dedent(code)],
        env=environment,
        capture_output=True,
        text=True,
        check=True,
    )
    assert done.stdout.splitlines()[-1] == "[]"


def test_heavy_packages_are_imported_only_when_a_command_runs():
    heavy = {"torch", "cv2", "mmengine", "mmcv", "mmocr", "mmpretrain", "matplotlib", "scipy"}
    for path in Path(commands.__path__[0]).glob("*.py"):
        for node in ast.parse(path.read_text()).body:
            names = [alias.name for alias in node.names] if isinstance(node, ast.Import) else []
            names += [str(node.module)] if isinstance(node, ast.ImportFrom) else []
            assert not heavy & {name.partition(".")[0] for name in names}, path


def test_a_reader_that_goes_away_is_no_error(repository, tmp_path):
    (tmp_path / "count.py").write_text(
        "HELP = 'count'\ndef add_arguments(parser): pass\n"
        "def run(args):\n    for i in range(10**6): print(i)\n"
    )
    code = f"""
    import sys
    from mms_ocr.cli import main as cli
    from mms_ocr import cli as commands
    commands.__path__.append({str(tmp_path)!r})
    sys.exit(cli.main(["count"]))
    """
    script = '"$0" -c "$1" | head -n 1; exit "${PIPESTATUS[0]}"'
    done = subprocess.run(
        ["bash", "-c", script, sys.executable, textwrap.dedent(code)],
        env={**os.environ, "PYTHONPATH": str(repository)},
        capture_output=True,
        text=True,
        check=False,
    )
    assert (done.returncode, done.stdout, done.stderr) == (128 + signal.SIGPIPE, "0\n", "")
