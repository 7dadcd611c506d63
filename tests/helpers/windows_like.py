"""Takes from this interpreter what Python lacks on Windows, and makes its files as strict."""

from __future__ import annotations

import builtins
import enum
import os
import platform
import shutil
import signal
import sys
from pathlib import Path

_OF_OS = (
    "O_CLOEXEC", "O_DIRECTORY", "O_NOFOLLOW", "O_NONBLOCK", "chown", "fchmod", "fchown", "fork",
    "forkpty", "getegid", "geteuid", "getgid", "getloadavg", "getpgid", "getpriority", "getsid",
    "getuid", "killpg", "mkfifo", "nice", "posix_fadvise", "posix_fallocate", "pread", "preadv",
    "pwrite", "register_at_fork", "sched_getaffinity", "sched_setaffinity", "sendfile", "setpgid",
    "setsid", "statvfs", "sync", "sysconf", "tcgetpgrp", "wait3", "wait4",
)  # fmt: skip
_OF_SIGNAL = (
    "SIGALRM", "SIGBUS", "SIGCHLD", "SIGCONT", "SIGHUP", "SIGKILL", "SIGPIPE", "SIGQUIT",
    "SIGSTOP", "SIGTSTP", "SIGUSR1", "SIGUSR2", "SIG_BLOCK", "alarm", "pause", "pthread_kill",
    "pthread_sigmask", "setitimer", "sigwait",
)  # fmt: skip
_MODULES = ("fcntl", "grp", "pty", "pwd", "resource", "syslog", "termios", "tty")


def take_away() -> None:
    """Start; this process cannot return to normal."""
    for module, names in ((os, _OF_OS), (signal, _OF_SIGNAL)):
        for name in names:
            if hasattr(module, name):
                delattr(module, name)
    kept = {s.name: s.value for s in signal.Signals if s.name not in _OF_SIGNAL}
    signal.Signals = enum.IntEnum("Signals", kept)
    for name in _MODULES:
        sys.modules[name] = None
    for name in ("rename", "replace", "unlink", "remove", "rmdir"):
        setattr(os, name, _refuse_open_files(getattr(os, name)))
    os.rename = _refuse_existing(os.rename)
    os.open = _refuse_folders(os.open)
    shutil._use_fd_functions = False  # which open folders
    platform.system = lambda: "Windows"


def _refuse_open_files(change):
    def changed(path, *args, **kwargs):
        used = _in_use(os.path.abspath(os.fspath(path)))
        if used:
            raise PermissionError(13, "The process cannot access the file, it is in use", used)
        if change.__name__ in ("rename", "replace") and _in_use(os.path.abspath(args[0])):
            raise PermissionError(13, "The process cannot access the file", os.fspath(args[0]))
        return change(path, *args, **kwargs)

    changed.__name__ = change.__name__
    return changed


def _in_use(path: str) -> str | None:
    """Find a file at or below a path that this process has open or mapped into its memory."""
    held = [os.path.realpath(file) for file in Path("/proc/self/fd").iterdir()]
    with builtins.open("/proc/self/maps") as maps:
        held += [line.split(None, 5)[5].strip() for line in maps if line.count("/")]
    real = os.path.realpath(path)
    return next((file for file in held if file == real or file.startswith(real + os.sep)), None)


def _refuse_existing(rename):
    def renamed(source, target, **kwargs):
        if os.path.lexists(target):
            raise FileExistsError(17, "Cannot create a file when that file exists", target)
        return rename(source, target, **kwargs)

    return renamed


def _refuse_folders(opened):
    def open_file(path, *args, **kwargs):
        if isinstance(path, (str, os.PathLike)) and os.path.isdir(path):
            raise PermissionError(13, "Permission denied", os.fspath(path))
        return opened(path, *args, **kwargs)

    return open_file
