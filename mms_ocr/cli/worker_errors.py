"""What goes wrong in the workers of a loader, in the words of the main process."""

from __future__ import annotations

import re
import shutil
import signal
import time
from traceback import walk_tb

_WRAPPED = re.compile(r"Caught (?P<name>\w+) in (DataLoader worker process|pin memory thread)")
_LOST = re.compile(
    r"DataLoader worker \(pid(?:\(s\))? [\d, ]+\) "
    r"(?:is killed by signal: (?P<signal>[^.]+)|exited unexpectedly)"
)
_FETCHING = "_try_get_data"  # of torch's loader, in which it waits for a batch
_PATIENCE = 2.0  # seconds for a worker whose connection has gone to be gone itself
_SHARED_MEMORY = "/dev/shm"  # noqa: S108 (where loaders pass batches on)


def original_message(error: BaseException) -> str:
    """The message of an error, without the traceback that torch makes a part of it in workers."""
    message = str(error)
    wrapped = _WRAPPED.match(message)
    if wrapped:
        # The last line of a traceback: the name of the error, with its module, and its message.
        ends = list(re.finditer(rf"^(?:\w+\.)*{wrapped['name']}(?:: |$)", message, re.MULTILINE))
        if ends:
            return message[ends[-1].end() :].strip() or wrapped["name"]
    return message


def lost_worker(error: Exception) -> str | None:
    """What the death of a loader worker is about; None if the error is about something else.

    A file that shrinks between the look at it and the read of it kills the worker that reads it
    (SIGBUS, for files that are mapped into memory). So the sources of this process are looked at
    first.

    Args:
        error: What torch's loader raised.
    """
    found = _LOST.search(str(error))
    if found is None and not _cut_off(error):
        return None
    if found and not found["signal"]:
        # While the loader waits for a batch, torch tells the signal in the cause alone.
        found = _LOST.search(str(error.__cause__)) or found
    # Not at the top: most commands read no data.
    from mms_ocr.datasets.sources import SourceChangedError, check_sources

    try:
        check_sources()
    except SourceChangedError as changed:
        return str(changed)
    how = (found and found["signal"]) or _signal_of_worker(error) or "exited unexpectedly"
    return f"a process that reads data was lost ({how}): {_cause(how)}"


def _cut_off(error: Exception) -> bool:
    """Whether a worker ended while its batch was fetched: torch does not take it for lost yet."""
    called = {frame.f_code.co_name for frame, _ in walk_tb(error.__traceback__)}
    return isinstance(error, (ConnectionError, EOFError)) and _FETCHING in called


def _signal_of_worker(error: Exception) -> str | None:
    """What ended a worker of the loader that failed, where torch has not looked."""
    loaders = [
        frame.f_locals.get("self")
        for frame, _ in walk_tb(error.__traceback__)
        if frame.f_code.co_name == _FETCHING
    ]
    workers = [worker for loader in loaders for worker in getattr(loader, "_workers", ())]
    until = time.monotonic() + _PATIENCE
    while workers:
        codes = [worker.exitcode for worker in workers]
        # Those that were well are ended by SIGTERM, or by themselves.
        fatal = [-code for code in codes if code and code < 0 and code != -signal.SIGTERM]
        if fatal:
            return signal.strsignal(fatal[0])
        if None not in codes or time.monotonic() > until:
            break
        time.sleep(0.05)
    return None


def _cause(how: str) -> str:
    if how == "Bus error":
        try:
            free = f"{shutil.disk_usage(_SHARED_MEMORY).free / 1e6:,.0f} MB are free"
        except OSError:
            free = "it cannot be looked at"
        return (
            f"the shared memory at {_SHARED_MEMORY} ran out ({free}), or a data file shrank for a "
            "while; make room there, use fewer num_workers, and run again"
        )
    if how == "Killed":
        return "the machine most likely ran out of memory; use fewer num_workers or smaller batches"
    return "what it wrote before this line may say why; with num_workers=0 the error itself shows"
