"""The state of an adaptation in its folder: options, time used, finished stages; and its lock."""

from __future__ import annotations

import contextlib
import json
import os
import time
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Any

from mms_ocr.utils.files import atomic_write
from mms_ocr.utils.reader_folder import STATE_FILE

try:
    import fcntl
except ImportError:  # Windows
    fcntl = None  # type: ignore[assignment]

_LOCK = ".lock"
_WRITE_INTERVAL = 5  # seconds between writes of the time used
_LOCK_SECONDS = 30  # a training that lost its parent saves and ends in this time


class State:
    """Options, time used and finished stages of an adaptation, in ``adapt.json`` of its folder.

    The clock runs while an object exists; of a process that is killed, up to 5 s are not counted.

    Raises:
        ValueError: The folder holds an adaptation with other options, or the file is damaged.
    """

    def __init__(self, folder: Path, options: Mapping[str, Any]) -> None:
        self.folder = folder
        stored = read_state(folder)
        self._data = stored or {"options": options, "seconds": 0.0, "began": {}, "stages": {}}
        for name, value in json.loads(json.dumps(options)).items():
            if stored and stored["options"].get(name) != value:
                raise ValueError(
                    f"{folder} holds an adaptation with {name}={stored['options'].get(name)}, and "
                    f"{name} is {value} now; give the same, or another --out"
                )
        self._before = float(self._data["seconds"])
        self._began = self._written = time.monotonic()

    @property
    def options(self) -> dict[str, Any]:
        """The options of the adaptation."""
        return dict(self._data["options"])

    @property
    def seconds(self) -> float:
        """Seconds used so far, in this process and those before."""
        return self._before + time.monotonic() - self._began

    def begin(self, stage: str) -> float:
        """Return the seconds that were used when a stage first began."""
        began = self._data["began"].setdefault(stage, self.seconds)
        self.write()
        return float(began)

    def get(self, stage: str) -> Any:
        """Return the result of a stage, or None if it is not finished."""
        return self._data["stages"].get(stage)

    def finish(self, stage: str, result: Any) -> Any:
        """Store the result of a stage, JSON data, and return it."""
        self._data["stages"][stage] = result
        self.write()
        return result

    def forget(self, *stages: str) -> None:
        """Forget the results of stages, and start the clock anew."""
        for stage in stages:
            self._data["stages"].pop(stage, None)
            self._data["began"].pop(stage, None)
        self._before, self._began = 0.0, time.monotonic()
        self.write()

    def write(self) -> None:
        """Write the file."""
        self._data["seconds"] = self.seconds
        self._written = time.monotonic()
        atomic_write(self.folder / STATE_FILE, json.dumps(self._data, indent=1) + "\n")

    def tick(self) -> None:
        """Write the file if that was some seconds ago."""
        if time.monotonic() - self._written > _WRITE_INTERVAL:
            self.write()


def read_state(folder: Path) -> dict[str, Any] | None:
    """Read the state of a folder; None if it has none.

    Raises:
        ValueError: The file is damaged.
    """
    path = folder / STATE_FILE
    if not path.is_file():
        return None
    try:
        state = json.loads(path.read_text(encoding="utf-8"))
        if all(isinstance(state[name], dict) for name in ("options", "began", "stages")):
            return dict(state)
    except (ValueError, KeyError, TypeError):
        pass  # as any other content
    raise ValueError(f"{path} is damaged; remove {folder}, or give another --out")


@contextlib.contextmanager
def claim(folder: Path) -> Iterator[int | None]:
    """Make a folder and lock it for one adaptation; gives the descriptor of the lock.

    Programs that inherit the descriptor keep the lock while they run. Windows has no such lock. If
    no stage was finished, what was written is removed, and the folder if it is new.

    Raises:
        BlockingIOError: Another process works in the folder.
        FileExistsError: It holds something else, or is a file.
    """
    if folder.exists() and not (folder.is_dir() and _holds_state(folder)):
        raise FileExistsError(f"{folder} exists and holds no adaptation; give a new --out")
    is_new, is_locked = not folder.exists(), False
    folder.mkdir(parents=True, exist_ok=True)
    descriptor = os.open(folder / _LOCK, os.O_RDWR | os.O_CREAT, 0o644)
    try:
        _lock(descriptor, folder)
        is_locked = True
        yield None if fcntl is None else descriptor
    finally:
        os.close(descriptor)
        if is_locked:  # else it is in use
            _remove_unused(folder, is_new)


def _holds_state(folder: Path) -> bool:
    return (folder / STATE_FILE).is_file() or not set(os.listdir(folder)) - {_LOCK}


def _remove_unused(folder: Path, is_new: bool) -> None:
    """Empty a folder in which no stage was finished and nothing is to be resumed."""
    with contextlib.suppress(OSError):
        (folder / "data").rmdir()  # if it is empty
    with contextlib.suppress(ValueError, OSError):
        stages = (read_state(folder) or {}).get("stages")
        if not stages and set(os.listdir(folder)) <= {STATE_FILE, _LOCK}:
            for name in (STATE_FILE, _LOCK):
                (folder / name).unlink(missing_ok=True)
            if is_new:
                folder.rmdir()


def _lock(descriptor: int, folder: Path) -> None:
    if fcntl is None:
        return
    deadline = time.monotonic() + _LOCK_SECONDS
    while True:
        try:
            fcntl.flock(descriptor, fcntl.LOCK_EX | fcntl.LOCK_NB)
            return
        except BlockingIOError:
            if time.monotonic() > deadline:
                raise BlockingIOError(
                    f"another process works in {folder}; wait for it, or give another --out"
                ) from None
            time.sleep(0.5)
