"""How every command words what went wrong."""

from __future__ import annotations

import argparse
import os
import sys
from collections.abc import Callable
from traceback import walk_tb

from mms_ocr.cli.worker_errors import lost_worker, original_message
from mms_ocr.compat import MissingOperatorError
from mms_ocr.utils.escaping import escape_output, printable

# Exit statuses of a shell's world: a wrong call, 128 + SIGINT, 128 + SIGPIPE.
_WRONG_CALL = 2
_INTERRUPTED = 130
_PIPE_CLOSED = 141
# What is raised about the user's input or machine, worded for the user. Everything else is a fault
# of ours and keeps its traceback.
_USER_ERRORS = (ValueError, OSError, ImportError, MissingOperatorError)


def run_program(
    name: str,
    parse_args: Callable[[], argparse.Namespace],
    program: Callable[[argparse.Namespace], int | None],
) -> int:
    """Parse options, of which ``--traceback`` is one, and run a program as :func:`run_command`."""
    escape_output()
    args = parse_args()
    return run_command(name, lambda: program(args), traceback=args.traceback)


def run_command(name: str, command: Callable[[], int | None], *, traceback: bool) -> int:
    """Run a command; what the user can fix becomes one line on standard error.

    Args:
        name: What the line starts with.
        command: Returns the exit status, or None for success.
        traceback: Let the error through instead.

    Returns:
        Exit status: the command's own, 2 after a user's error, 130 after an interrupt, 141 where
        the reader of our output has gone.
    """
    escape_output()
    try:
        return int(command() or 0)
    except KeyboardInterrupt:
        report_error(name, "interrupted")
        return _INTERRUPTED
    except BrokenPipeError:
        # As in `… | head`. Nothing more can be written there, and Python's own flush at exit would
        # complain.
        os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())
        return _PIPE_CLOSED
    except _USER_ERRORS as error:
        if traceback:
            raise
        lost = lost_worker(error) if isinstance(error, ConnectionError) else None
        return _report(name, lost or original_message(error) or type(error).__name__)
    except (RuntimeError, EOFError) as error:
        # What ends a training is worded where it arises, see mms_ocr.engine.failures.
        reason = str(error) if getattr(error, "for_user", False) else lost_worker(error)
        if traceback or reason is None:
            raise
        return _report(name, reason)
    except KeyError as error:
        # What MMEngine raises for a type in a config that no registry knows.
        message = str(error.args[0]) if error.args else ""
        if traceback or "registry" not in message:
            raise
        return _report(name, message)
    except TypeError as error:
        if traceback or not _is_unknown_setting(error):
            raise
        return _report(name, f"the config has a setting that its type does not know: {error}")


def report_error(name: str, message: str) -> None:
    """Write one line to standard error, and in one piece: the processes of a job share it.

    ``print`` writes the line and its end apart where standard error is unbuffered
    (``PYTHONUNBUFFERED``), and the lines of two processes then run into each other.

    Args:
        name: What the line starts with.
        message: The rest; its line breaks become spaces, other control characters are escaped.
    """
    line = " ".join(part.strip() for part in message.splitlines())
    sys.stderr.write(f"{name}: {printable(line)}\n")
    sys.stderr.flush()


def _is_unknown_setting(error: TypeError) -> bool:
    """Whether a constructor refused an argument while MMEngine built what a config describes."""
    building = {"build_from_cfg", "build_dataloader"}
    called = {frame.f_code.co_name for frame, _ in walk_tb(error.__traceback__)}
    return "__init__() got an unexpected keyword" in str(error) and not building.isdisjoint(called)


def _report(name: str, message: str) -> int:
    report_error(name, message)
    return _WRONG_CALL
