"""Errors, warnings, and how a program reports them.

What the user can correct is reported as one line on standard error, with exit status 2. Any other
exception is a fault of the program and keeps its traceback.
"""

from __future__ import annotations

import argparse
import logging
import os
import re
import sys
from collections.abc import Callable
from functools import cache
from traceback import walk_tb

from mms_ocr.compat import MissingOperatorError
from mms_ocr.utils.escaping import escape_output, printable

EXIT_USER_ERROR = 2
EXIT_INTERRUPTED = 130  # 128 + SIGINT
EXIT_PIPE_CLOSED = 141  # 128 + SIGPIPE
# How torch starts the messages of errors that its loaders raise.
_IN_WORKER = re.compile(r"Caught (?P<name>\w+) in (DataLoader worker process|pin memory thread)")
_LOST_WORKER = "DataLoader worker (pid"
_FETCHING = "_try_get_data"  # function of torch's loader that waits for a batch
# Packages that the bundled models in ONNX run without.
_OPTIONAL_PACKAGES = ("torch", "torchvision", "mmengine", "mmcv", "mmpretrain", "mmocr", "mmdet")
_UNKNOWN_ARGUMENT = "__init__() got an unexpected keyword"


class BrokenImageError(ValueError):
    """One image of a source cannot be used; its neighbors can."""


class TrainingError(RuntimeError):
    """Training cannot continue; the message says why, for the user."""


@cache
def warn(message: str) -> None:
    """Warn once per message: in the log of a run if there is one, else on standard error."""
    message = printable(message)
    if "mmengine" not in sys.modules:  # then there is no run
        logging.getLogger("mms_ocr").warning("warning: %s", message)
        return
    from mmengine.dist import is_main_process
    from mmengine.logging import MMLogger, print_log

    loggers = MMLogger._instance_dict.values()
    if any(isinstance(handler, logging.FileHandler) for log in loggers for handler in log.handlers):
        print_log(message, logger="current", level=logging.WARNING)
    elif is_main_process():  # of a command, which prints its results on standard output
        logging.getLogger("mms_ocr").warning("warning: %s", message)


def run_program(
    name: str,
    parse_args: Callable[[], argparse.Namespace],
    program: Callable[[argparse.Namespace], int | None],
) -> int:
    """Parse options, of which ``--traceback`` is one, and run a program by :func:`run_command`."""
    escape_output()
    args = parse_args()
    return run_command(name, lambda: program(args), traceback=args.traceback)


def run_command(name: str, command: Callable[[], int | None], *, traceback: bool) -> int:
    """Run a command and report an error that the user can correct as one line.

    Returns the command's exit status, 0 for None; 2 after a user's error, 130 after an interrupt,
    141 if the reader of standard output has closed it. With ``traceback``, errors are raised.
    """
    escape_output()
    try:
        return int(command() or 0)
    except KeyboardInterrupt as error:
        report_error(name, "; ".join(["interrupted", *map(str, error.args)]))
        return EXIT_INTERRUPTED
    except BrokenPipeError:
        # As in `… | head`. Python's own flush at exit would complain.
        os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())
        return EXIT_PIPE_CLOSED
    except Exception as error:
        message = user_message(error)
        if traceback or message is None:
            raise
        report_error(name, message)
        return EXIT_USER_ERROR


def user_message(error: Exception) -> str | None:
    """Return the message of an error that the user can correct; None for a fault of the program."""
    functions = {frame.f_code.co_name for frame, _ in walk_tb(error.__traceback__)}
    if isinstance(error, (ConnectionError, EOFError)) and _FETCHING in functions:
        return f"a loader worker ended ({error!r}); it may have reported why before this line"
    if isinstance(error, ModuleNotFoundError) and error.name in _OPTIONAL_PACKAGES:
        return f"{error.name} is needed and not installed; mms-ocr doctor lists what to install"
    if isinstance(error, (ValueError, OSError, ImportError, MissingOperatorError, TrainingError)):
        return _original_message(error) or type(error).__name__
    if isinstance(error, RuntimeError) and str(error).startswith(_LOST_WORKER):
        # The signal that ended the worker may be in the cause alone.
        return str(error.__cause__ or error)
    if isinstance(error, KeyError) and "registry" in str(error):
        return str(error.args[0])  # MMEngine knows no type of this name
    is_building = not functions.isdisjoint({"build_from_cfg", "build_dataloader"})  # MMEngine's
    if isinstance(error, TypeError) and is_building and _UNKNOWN_ARGUMENT in str(error):
        return f"the config has a setting that its type does not know: {error}"
    return None


def report_error(name: str, message: str) -> None:
    """Write ``name: message`` as one line to standard error."""
    line = " ".join(part.strip() for part in message.splitlines())
    # In one call, since the processes of a job share standard error.
    sys.stderr.write(f"{name}: {printable(line)}\n")
    sys.stderr.flush()


def _original_message(error: Exception) -> str:
    """Return the message without the traceback that torch adds to errors of loader workers."""
    message = str(error)
    if in_worker := _IN_WORKER.match(message):
        # The traceback ends with the name of the error, its module before it, and the message.
        last_lines = rf"^(?:\w+\.)*{in_worker['name']}(?:: |$)"
        if ends := list(re.finditer(last_lines, message, re.MULTILINE)):
            return message[ends[-1].end() :].strip() or in_worker["name"]
    return message
