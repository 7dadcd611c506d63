"""``mms-ocr web`` in a process of its own, with the addresses that it connects to."""

from __future__ import annotations

import os
import signal
import subprocess
import sys
import time
from pathlib import Path

# Runs the command, and lists every address that Python code connects to or looks up.
_COMMAND = """
import socket, sys
log = open(sys.argv[1], "a")
connect, look_up = socket.socket.connect, socket.getaddrinfo
def logged_connect(self, address):
    print("connect", address[0] if isinstance(address, tuple) else address, file=log, flush=True)
    return connect(self, address)
def logged_look_up(host, *args, **kwargs):
    print("look up", host, file=log, flush=True)
    return look_up(host, *args, **kwargs)
socket.socket.connect, socket.getaddrinfo = logged_connect, logged_look_up
from mms_ocr.cli.main import main
sys.exit(main(["web", "--port", "0", "--no-browser", *sys.argv[2:]]))
"""


class ServedPage:
    """The command in a folder of its own, which also holds its temporary files."""

    def __init__(self, folder: Path, *options: str) -> None:
        self.folder, self.temporary = folder, folder / "temporary"
        self.temporary.mkdir(parents=True)
        repository = str(Path(__file__).resolve().parents[2])
        path = os.pathsep.join(filter(None, [repository, os.environ.get("PYTHONPATH")]))
        changed = dict(PYTHONPATH=path, TMPDIR=str(self.temporary), HOME=str(folder / "home"))
        self.connections = folder / "connections.txt"
        command = [sys.executable, "-c", _COMMAND, str(self.connections), *options]
        with open(folder / "errors.txt", "w") as errors:
            self.process = subprocess.Popen(
                command, cwd=folder, env={**os.environ, **changed}, text=True,
                stdout=subprocess.PIPE, stderr=errors
            )  # fmt: skip
        line = self.process.stdout.readline() if self.process.stdout else ""
        if "http://" not in line:
            self.end(signal.SIGKILL)
            raise RuntimeError(f"no page: {line!r}; {(folder / 'errors.txt').read_text()[-2000:]}")
        self.url = line.split()[2]

    def end(self, number: int = signal.SIGTERM, patience: float = 60) -> tuple[int, str]:
        """End it by a signal; returns the exit status and the rest of its standard output."""
        self.process.send_signal(number)
        started = time.monotonic()
        output, _ = self.process.communicate(timeout=patience)
        self.seconds_to_end = time.monotonic() - started
        return self.process.returncode, output

    def files(self) -> list[Path]:
        """List the files that it has written, in temporary, home or current folder."""
        known = {self.connections, self.folder / "errors.txt"}
        files = [path for path in self.folder.rglob("*") if path.is_file() and path not in known]
        return [path for path in files if "matplotlib" not in path.parts]  # its list of fonts
