"""The ``mms-ocr`` command: finds the sub-commands, runs one, and words what went wrong."""

from __future__ import annotations

import argparse
import ast
import importlib.util
import sys
from collections.abc import Sequence
from pathlib import Path
from types import ModuleType

import mms_ocr
from mms_ocr import cli as commands
from mms_ocr.cli.errors import run_command
from mms_ocr.utils.escaping import escape_output


def main(argv: Sequence[str] | None = None) -> int:
    """Run the command line ``argv`` (default: this process's) and return its exit status."""
    escape_output()
    argv = list(sys.argv[1:] if argv is None else argv)
    parser = _overview_parser()
    # Only the command that is asked for is imported; the others stay a line in the overview.
    command = next((word for word in argv if not word.startswith("-")), None)
    before = argv[: argv.index(command)] if command else argv
    options = parser.parse_args(before + ([command] if command else []))
    if command is None:
        parser.print_help()
        return 2
    module = _load(command)
    subparser = argparse.ArgumentParser(prog=f"mms-ocr {command}", description=module.HELP)
    subparser.add_argument(
        "--traceback", action="store_true", help="show where in the code an error arose"
    )
    module.add_arguments(subparser)
    args = subparser.parse_args(argv[len(before) + 1 :])
    args.traceback = args.traceback or options.traceback
    return run_command(f"mms-ocr {command}", lambda: module.run(args), traceback=args.traceback)


def _overview_parser() -> argparse.ArgumentParser:
    lines = [f"  {name:<16}{_help_line(name)}" for name in commands.names()]
    parser = argparse.ArgumentParser(
        prog="mms-ocr",
        description="Masked pretraining of text encoders, and what belongs to it.",
        epilog="\n".join(["commands:", *lines, "", "mms-ocr COMMAND --help tells more of each."]),
        formatter_class=argparse.RawDescriptionHelpFormatter,
    )
    parser.add_argument("--version", action="version", version=f"mms-ocr {mms_ocr.__version__}")
    parser.add_argument(
        "--traceback", action="store_true", help="show where in the code an error arose"
    )
    parser.add_argument(
        "command",
        nargs="?",
        choices=commands.names(),
        metavar="COMMAND",
        help="one of the list below",
    )
    return parser


def _module_name(command: str) -> str:
    return f"{commands.__name__}.{command.replace('-', '_')}"


def _load(command: str) -> ModuleType:
    return importlib.import_module(_module_name(command))


def _help_line(command: str) -> str:
    """A command's ``HELP``, read without importing its module where it is a plain string."""
    spec = importlib.util.find_spec(_module_name(command))
    source = Path(spec.origin).read_text(encoding="utf-8") if spec and spec.origin else ""
    for node in ast.parse(source).body:
        match node:
            case (
                ast.Assign(targets=[ast.Name(id="HELP")], value=ast.Constant(value=str(text)))
                | ast.AnnAssign(target=ast.Name(id="HELP"), value=ast.Constant(value=str(text)))
            ):
                return text
    return str(_load(command).HELP)


if __name__ == "__main__":
    sys.exit(main())
