"""MMEngine's runner, which overwrites no config and logs any file name."""

from __future__ import annotations

import logging
import os
from pathlib import Path
from types import FrameType
from typing import Any

from mmengine.logging import MMLogger
from mmengine.runner import Runner

_RUNS = {method.__code__ for method in (Runner.train, Runner.val, Runner.test)}


class ConfigKeepingRunner(Runner):
    """A runner that does not overwrite the config that it was started with."""

    def dump_config(self) -> None:
        """Write the config to the work folder, unless it was read from there."""
        path = Path(self.work_dir, os.path.basename(self.cfg.filename or ""))
        if not (path.is_file() and _is_config_of(path, self.cfg)):
            super().dump_config()

    def build_logger(self, *args: Any, **kwargs: Any) -> MMLogger:
        """Build the logger as MMEngine does; escape what a text file cannot hold."""
        logger = super().build_logger(*args, **kwargs)
        for handler in logger.handlers:
            if isinstance(handler, logging.FileHandler) and handler.stream is not None:
                handler.stream.reconfigure(encoding="utf-8", errors="backslashreplace")
        return logger


def _is_config_of(path: Path, cfg: Any) -> bool:
    """Return whether a file is that of a config, or of one that it inherits from."""
    # MMEngine keeps the text of all of them, each after a line with its path.
    files = [cfg.filename, *(line for line in cfg.text.splitlines() if line.endswith(path.suffix))]
    return any(os.path.isfile(file) and path.samefile(file) for file in files)


def is_running(frame: FrameType | None) -> bool:
    """Return whether a thread is in a run of MMEngine's runner.

    A run that ends by an error calls no hook, and the process may continue without it.

    Args:
        frame: Innermost frame of the thread.
    """
    while frame is not None:
        if frame.f_code in _RUNS:
            return True
        frame = frame.f_back
    return False
