"""The ``mms-ocr`` command.

The module of a sub-command has ``HELP``, one line that says what the command does;
``add_arguments(parser)``; and ``run(args)``, which returns the exit status. Heavy packages are
imported inside ``run``, so that help is quick.
"""

from __future__ import annotations

import argparse
import sys
from collections.abc import Sequence
from importlib import import_module

import mms_ocr
from mms_ocr.utils.errors import run_command
from mms_ocr.utils.escaping import escape_output

_COMMANDS = (
    "adapt", "convert", "decontaminate", "doctor", "export", "inspect", "labels", "read",
    "reconstruct", "render", "segment", "upscale", "web", "zoo",
)  # fmt: skip
COMMANDS = {name: import_module(f"mms_ocr.cli.{name}") for name in _COMMANDS}
_TRACEBACK_HELP = "show the traceback of an error"


def build_parser() -> argparse.ArgumentParser:
    """Build the parser of the command and of all sub-commands."""
    parser = argparse.ArgumentParser(
        prog="mms-ocr", description="Masked pretraining of text encoders, and its tools."
    )
    parser.add_argument("--version", action="version", version=f"mms-ocr {mms_ocr.__version__}")
    parser.add_argument("--traceback", action="store_true", help=_TRACEBACK_HELP)
    commands = parser.add_subparsers(dest="command", metavar="COMMAND", title="commands")
    for name, module in COMMANDS.items():
        command = commands.add_parser(name, help=module.HELP, description=module.HELP)
        # Without a default, which would replace the value of --traceback before the command.
        command.add_argument(
            "--traceback", action="store_true", default=argparse.SUPPRESS, help=_TRACEBACK_HELP
        )
        module.add_arguments(command)
        command.set_defaults(run=module.run)
    return parser


def main(argv: Sequence[str] | None = None) -> int:
    """Run the command line ``argv`` (default: this process's) and return its exit status."""
    escape_output()
    parser = build_parser()
    args = parser.parse_args(argv)
    if args.command is None:
        parser.print_help()
        return 2
    return run_command(f"mms-ocr {args.command}", lambda: args.run(args), traceback=args.traceback)


if __name__ == "__main__":
    sys.exit(main())
