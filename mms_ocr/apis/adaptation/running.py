"""Running the programs of an adaptation: their progress, time limits, and stopping."""

from __future__ import annotations

import contextlib
import ctypes
import os
import re
import shlex
import signal
import subprocess
import sys
import threading
import time
from collections.abc import Callable, Iterable, Iterator, Sequence
from pathlib import Path

from tqdm import tqdm

from mms_ocr.apis.adaptation.state import State
from mms_ocr.apis.bundled_configs import config_folder

#: Exit status of a training that saved and stopped: the same command resumes it.
EXIT_AGAIN = 75
_TAIL = 1 << 14  # bytes of a log that are searched for the last iteration
_PATIENCE = 120  # seconds that a program has to save and end
_PR_SET_PDEATHSIG = 1  # of prctl(2)
_ITERATION = re.compile(rb"Iter\((?:train|test)\) *\[ *(\d+)/(\d+)\]")


class StoppedError(RuntimeError):
    """A signal stopped an adaptation; the same command resumes it."""


class Bar:
    """Progress bar of all stages: the share of the time that is used, the stage, the time left."""

    def __init__(self, state: State, total: float, is_shown: bool) -> None:
        self._state, self._total = state, total
        self._bar = tqdm(
            total=round(total),
            disable=not is_shown,
            delay=1,  # not before an error in the options
            mininterval=0.5 if sys.stderr.isatty() else 30,
            bar_format="{desc} |{bar}| {percentage:3.0f}%{postfix}",
            dynamic_ncols=True,
        )

    def show(self, stage: str, detail: str = "") -> None:
        """Show a stage, its progress such as ``'100/1500'``, and the time left of the whole."""
        used = round(self._state.seconds)
        left = max(0, round(self._total) - used)
        clock = f"{left // 3600}:{left // 60 % 60:02}:{left % 60:02} left"
        self._bar.set_description_str(stage, refresh=False)
        self._bar.set_postfix_str(", ".join(filter(None, [detail, clock])), refresh=False)
        self._bar.update(min(used, round(self._total)) - self._bar.n)

    def write(self, line: str) -> None:
        """Print a line on standard error, above the bar."""
        if not self._bar.disable:
            self._bar.write(line, file=sys.stderr)

    def wrap(self, indices: Iterable[int], title: str, total: int) -> Iterator[int]:
        """Show the progress of a loop; a :data:`~mms_ocr.utils.progress.Progress`."""
        for number, index in enumerate(indices):
            self.show(title, f"{number}/{total}")
            self._state.tick()
            yield index

    def close(self) -> None:
        """Leave the last state on the screen."""
        self._bar.close()


def tool(name: str) -> str:
    """Return the path of a program of ``tools/``, of the checkout or the installed package."""
    return str(config_folder().parent / "tools" / name)


def shell_line(command: Sequence[str]) -> str:
    """Return a command as it is typed in a shell."""
    return shlex.join("python" if word == sys.executable else word for word in command)


def run(
    command: Sequence[str],
    state: State,
    log: Path,
    show: Callable[[str], None],
    limit: float | None = None,
    lock: int | None = None,
) -> None:
    """Run a program in the folder of an adaptation, and append its output to a log.

    Args:
        command: Program and arguments.
        state: Its folder is the current one of the program.
        log: File of the output.
        show: Is called every half second with the progress, such as ``'100/1500'``.
        limit: Seconds after which the program is asked to save and stop; None for no limit.
        lock: Descriptor that the program inherits, so that a lock lasts as long as it runs.

    Raises:
        StoppedError: A signal stopped the program, or this process.
        ValueError: The program failed; the message is its own.
    """
    log.parent.mkdir(parents=True, exist_ok=True)
    began, start = time.monotonic(), log.stat().st_size if log.exists() else 0
    is_late = False
    with open(log, "ab") as output, _signals() as received:
        process = subprocess.Popen(
            list(command),
            cwd=state.folder,
            stdin=subprocess.DEVNULL,
            stdout=output,
            stderr=subprocess.STDOUT,
            start_new_session=True,  # Ctrl-C reaches this process alone, which ends the program
            pass_fds=() if lock is None else (lock,),
            preexec_fn=_end_with_parent if sys.platform == "linux" else None,
        )
        try:
            while process.poll() is None and not received and not is_late:
                with contextlib.suppress(subprocess.TimeoutExpired):
                    process.wait(0.5)
                show(_progress(log, start))
                state.tick()
                is_late = limit is not None and time.monotonic() - began > limit
        finally:
            if process.poll() is None:
                _terminate(process)
    if received:
        raise StoppedError(f"stopped by {received[0]}; the same command resumes")
    if is_late:
        return
    if process.returncode == EXIT_AGAIN:
        raise StoppedError(f"{Path(command[1]).name} was stopped; the same command resumes")
    if process.returncode < 0:
        reason = signal.strsignal(-process.returncode) or f"signal {-process.returncode}"
        raise ValueError(
            f"{Path(command[1]).name} was ended by the system ({reason}), maybe for lack of "
            f"memory; the same command resumes (all output: {log})"
        )
    if process.returncode:
        lines = log.read_bytes()[start:].decode("utf-8", "replace").strip().splitlines()
        raise ValueError(f"{lines[-1] if lines else 'no output'} (all output: {log})")


def _progress(log: Path, start: int) -> str:
    """Return the last iteration in the new part of a log, such as ``'100/1500'``."""
    with open(log, "rb") as file:
        file.seek(max(start, log.stat().st_size - _TAIL))
        found = _ITERATION.findall(file.read())
    return b"/".join(found[-1]).decode() if found else ""


@contextlib.contextmanager
def _signals() -> Iterator[list[str]]:
    """Collect the names of signals that would end this process."""
    received: list[str] = []
    previous = {}
    if threading.current_thread() is threading.main_thread():
        for number in (signal.SIGTERM, signal.SIGINT):
            previous[number] = signal.signal(
                number, lambda number, _: received.append(signal.Signals(number).name)
            )
    try:
        yield received
    finally:
        for number, handler in previous.items():
            signal.signal(number, handler)


def _terminate(process: subprocess.Popen) -> None:
    """Ask a program to save and end; kill it and what it started if it does not."""
    process.terminate()
    try:
        process.wait(_PATIENCE)
    except subprocess.TimeoutExpired:
        if hasattr(os, "killpg"):
            os.killpg(process.pid, signal.SIGKILL)
        process.kill()
        process.wait()


def _end_with_parent() -> None:
    """Have Linux send SIGTERM to this process when its parent dies, even by SIGKILL."""
    ctypes.CDLL(None).prctl(_PR_SET_PDEATHSIG, signal.SIGTERM)
