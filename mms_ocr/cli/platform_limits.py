"""What does not work on Windows and macOS."""

from __future__ import annotations

import importlib.util
import os
import signal
import sys

from mms_ocr import compat


def describe_limits() -> list[str]:
    """List what does not work on this system, a line each; nothing on Linux.

    Depends on what Python has here, and not only on the name of the system.
    """
    lines = []
    # macOS has fork, and Python does not use it there by itself.
    forks = hasattr(os, "fork") and "no-fork" not in {shim.name for shim in compat.active()}
    if not forks or sys.platform in ("win32", "darwin"):
        lines.append(
            "loader workers are not forked: each starts anew, and scripts of your own need "
            "if __name__ == '__main__':"
        )
    if not _importable("fcntl"):
        lines.append("no locks on files: do not let two commands write the same output")
    if not hasattr(signal, "SIGUSR1"):
        lines.append(
            "no signal makes a training save and stop: --resume continues from its last checkpoint"
        )
    if lines:
        lines.append("tools/slurm_*.sh, tools/dist_*.sh and NCCL need Linux")
        system = "macOS" if sys.platform == "darwin" else "Windows"
        works = f"On {system}, reading, converting, rendering, inference and training work, but:"
        lines = [works, *lines]
    return "\n  ".join(lines).splitlines()


def _importable(module: str) -> bool:
    try:
        return importlib.util.find_spec(module) is not None
    except ValueError:  # set to None in sys.modules
        return False
