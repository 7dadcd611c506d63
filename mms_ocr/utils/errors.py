"""Errors and warnings of word images and their files."""

from __future__ import annotations

import logging
from functools import cache

from mmengine.dist import is_main_process
from mmengine.logging import MMLogger, print_log

from mms_ocr.utils.escaping import printable


@cache
def warn(message: str) -> None:
    """Report what a source leaves out, once: in the log of a run, else on standard error."""
    message = printable(message)
    loggers = MMLogger._instance_dict.values()
    if any(isinstance(handler, logging.FileHandler) for log in loggers for handler in log.handlers):
        print_log(message, logger="current", level=logging.WARNING)
    elif is_main_process():  # of a command, which prints its results on standard output
        logging.getLogger("mms_ocr").warning("warning: %s", message)


class BrokenImageError(ValueError):
    """One image of a source cannot be used; its neighbours can."""
