import os
import signal
import subprocess
import sys
import textwrap
from types import SimpleNamespace

import pytest

from mms_ocr.cli import main as cli
from mms_ocr.compat import MissingOperatorError
from mms_ocr.utils.errors import TrainingError


@pytest.fixture
def command(monkeypatch):
    """Add a command ``try-it`` with the given ``run``."""

    def add(run) -> None:
        def add_arguments(parser):
            parser.add_argument("--count", type=int)

        module = SimpleNamespace(HELP="try it", add_arguments=add_arguments, run=run)
        monkeypatch.setitem(cli.COMMANDS, "try-it", module)

    return add


def raising(error: BaseException):
    def run(args):
        raise error

    return run


def test_a_command_gets_its_arguments_and_gives_the_exit_status(command, capsys):
    command(lambda args: print(args.count) or 7)
    assert cli.main(["try-it", "--count", "3"]) == 7
    assert capsys.readouterr().out == "3\n"
    command(lambda args: None)
    assert cli.main(["try-it"]) == 0


@pytest.mark.parametrize(
    ("error", "message"),
    [
        (ValueError("a.lmdb: no num-samples"), "a.lmdb: no num-samples"),
        (FileNotFoundError("no such folder: x"), "no such folder: x"),
        (FileNotFoundError(2, "No such file", "x"), "[Errno 2] No such file: 'x'"),
        (ModuleNotFoundError("install mmocr"), "install mmocr"),
        (TrainingError("the disk is full"), "the disk is full"),
        (ValueError("two\n  lines"), "two lines"),
        (ValueError(), "ValueError"),
    ],
)
def test_user_errors_give_one_line_and_status_2(command, capsys, error, message):
    command(raising(error))
    assert cli.main(["try-it"]) == 2
    assert capsys.readouterr().err == f"mms-ocr try-it: {message}\n"


def test_missing_operator_is_a_user_error(command, capsys):
    _ext = pytest.importorskip("mmcv._ext")
    if _ext.__spec__.origin != "mms_ocr.compat":
        pytest.skip("mmcv has compiled operators")
    command(lambda args: _ext.nms())
    with pytest.raises(MissingOperatorError):
        cli.main(["try-it", "--traceback"])
    assert cli.main(["try-it"]) == 2
    assert "'nms'" in capsys.readouterr().err


@pytest.mark.parametrize("argv", [["--traceback", "try-it"], ["try-it", "--traceback"]])
def test_traceback_lets_the_error_through(command, argv):
    command(raising(ValueError("x")))
    with pytest.raises(ValueError, match="x"):
        cli.main(argv)


def test_a_fault_of_the_program_keeps_its_traceback(command):
    command(raising(KeyError("key")))
    with pytest.raises(KeyError):
        cli.main(["try-it"])


def test_an_interrupt_gives_130(command, capsys):
    command(raising(KeyboardInterrupt()))
    assert cli.main(["try-it"]) == 128 + signal.SIGINT
    assert capsys.readouterr().err == "mms-ocr try-it: interrupted\n"


def test_no_command_prints_the_help(capsys):
    assert cli.main([]) == 2
    out = capsys.readouterr().out
    for name in cli.COMMANDS:
        assert f"\n    {name}" in out


@pytest.mark.parametrize("argv", [["nix"], ["--nix"], ["doctor", "--nix"]])
def test_unknown_arguments_exit_with_status_2(argv, capsys):
    with pytest.raises(SystemExit) as stopped:
        cli.main(argv)
    assert stopped.value.code == 2
    assert "nix" in capsys.readouterr().err


@pytest.mark.parametrize("name", cli.COMMANDS)
def test_every_command_prints_its_help(name, capsys):
    with pytest.raises(SystemExit) as stopped:
        cli.main([name, "--help"])
    assert stopped.value.code == 0
    assert cli.COMMANDS[name].HELP.split()[0] in capsys.readouterr().out


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


def test_closed_pipe_is_not_reported(repository):
    code = """
    import sys
    from types import SimpleNamespace
    from mms_ocr.cli import main as cli
    def run(args):
        for number in range(10**6):
            print(number)
    cli.COMMANDS["count"] = SimpleNamespace(HELP="", add_arguments=lambda parser: None, run=run)
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
