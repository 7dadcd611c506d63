"""The ``mms-ocr`` command: finds the sub-commands, runs one, and words what went wrong."""

from __future__ import annotations

import argparse
import ast
import importlib.util
import os
import sys
from collections.abc import Sequence
from pathlib import Path
from types import ModuleType

import mms_ocr
from mms_ocr.apis import commands
from mms_ocr.compat import MissingOperatorError

__all__ = ["main"]

# Exit statuses of a shell's world: 128 + SIGINT, 128 + SIGPIPE.
_INTERRUPTED = 130
_PIPE_CLOSED = 141
# What commands raise about the user's input or machine, worded for the user. Everything else is a
# fault of ours and keeps its traceback.
_USER_ERRORS = (ValueError, OSError, ImportError, MissingOperatorError)


def main(argv: Sequence[str] | None = None) -> int:
    """Run the command line ``argv`` (default: this process's) and return its exit status."""
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
    return _run(command, module, args)


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
        "command", nargs="?", choices=commands.names(), metavar="COMMAND", help="one of these:"
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


def _run(command: str, module: ModuleType, args: argparse.Namespace) -> int:
    try:
        return int(module.run(args) or 0)
    except KeyboardInterrupt:
        print(f"mms-ocr {command}: interrupted", file=sys.stderr)
        return _INTERRUPTED
    except BrokenPipeError:
        # The reader of our output has gone (`… | head`). Nothing more can be written there, and
        # Python's own flush at exit would complain.
        os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())
        return _PIPE_CLOSED
    except _USER_ERRORS as error:
        if args.traceback:
            raise
        print(f"mms-ocr {command}: {_one_line(error)}", file=sys.stderr)
        return 2


def _one_line(error: BaseException) -> str:
    return " ".join(str(error).split()) or type(error).__name__


if __name__ == "__main__":
    sys.exit(main())
