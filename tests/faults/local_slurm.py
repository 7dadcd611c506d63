"""A slurm cluster on this one machine: a controller and nodes of their own names and ports.

    python tests/faults/local_slurm.py          what this machine lacks for it, if anything
    python tests/faults/local_slurm.py --install     let apt install it

Everything lies in one folder, and the daemons listen on ports of their own, beside any slurm that
the machine may belong to. Jobs of the partition ``low`` are preempted by those of ``high``, and are
queued again.
"""

from __future__ import annotations

import argparse
import contextlib
import getpass
import os
import platform
import re
import shutil
import socket
import subprocess
import sys
import time
from collections.abc import Callable
from pathlib import Path

PROGRAMS = ("munged", "slurmctld", "slurmd", "srun", "sbatch", "scontrol", "scancel", "sinfo")
PACKAGES = ("slurm-wlm", "munge")
SYSTEM = "/usr/sbin:/sbin"

CONFIG = """
ClusterName=local
SlurmctldHost={host}(127.0.0.1)
SlurmctldPort={ports[0]}
SlurmUser={user}
SlurmdUser={user}
AuthType=auth/munge
AuthInfo=socket={folder}/munge.socket,cred_expire=5
CredType=cred/munge
StateSaveLocation={folder}/state
SlurmdSpoolDir={folder}/spool-%n
SlurmctldPidFile={folder}/slurmctld.pid
SlurmdPidFile={folder}/slurmd-%n.pid
SlurmctldLogFile={folder}/slurmctld.log
SlurmdLogFile={folder}/slurmd-%n.log
ProctrackType=proctrack/linuxproc
TaskPlugin=task/none
MpiDefault=none
JobAcctGatherType=jobacct_gather/none
AccountingStorageType=accounting_storage/none
SelectType=select/cons_tres
SelectTypeParameters=CR_CPU
SchedulerType=sched/backfill
SchedulerParameters=sched_interval=2,bf_interval=2
PreemptType=preempt/partition_prio
PreemptMode=REQUEUE
KillWait=5
ReturnToService=2
SlurmdParameters=config_overrides
{nodes}
PartitionName=low Nodes=ALL Default=YES MaxTime=INFINITE State=UP PriorityTier=1 GraceTime={grace}
PartitionName=high Nodes=ALL MaxTime=INFINITE State=UP PriorityTier=2 PreemptMode=OFF
"""


def missing_programs() -> list[str]:
    """List the programs of slurm and munge that are not installed."""
    path = f"{os.environ.get('PATH', '')}:{SYSTEM}"
    return [name for name in PROGRAMS if shutil.which(name, path=path) is None]


def install() -> str | None:
    """Let apt install what is missing; returns why it could not."""
    if not missing_programs():
        return None
    if shutil.which("apt-get") is None:
        return f"no {', '.join(missing_programs())} here, and no apt-get to install them with"
    if os.geteuid() != 0:
        return f"installing {' and '.join(PACKAGES)} takes root"
    command = ["apt-get", "install", "-y", "--no-install-recommends", *PACKAGES]
    quiet = {**os.environ, "DEBIAN_FRONTEND": "noninteractive"}
    for step in (["apt-get", "update"], command):
        done = subprocess.run(step, env=quiet, capture_output=True, text=True, check=False)
        if done.returncode:
            reason = (done.stderr.strip().splitlines() or ["no reason given"])[-1]
            return f"{' '.join(step)} failed: {reason}"
    still = missing_programs()
    return f"{', '.join(PACKAGES)} came without {', '.join(still)}" if still else None


class LocalSlurm:
    """Start with ``with LocalSlurm(folder) as slurm:``; everything it started ends with the block.

    ``folder`` gets keys, state and logs; ``cpus`` are of every node, whatever the machine has; a
    preempted job has ``grace`` seconds to save and stop.
    """

    def __init__(self, folder: Path, nodes: int = 2, cpus: int = 2, grace: int = 60) -> None:
        self.folder = folder
        self.names = [f"node{number}" for number in range(1, nodes + 1)]
        self._cpus, self._grace = cpus, grace
        self._daemons: list[subprocess.Popen] = []
        self.environment = {
            **{name: value for name, value in os.environ.items() if not name.startswith("SLURM_")},
            "SLURM_CONF": str(folder / "slurm.conf"),
            "PATH": f"{os.environ.get('PATH', '')}:{SYSTEM}",
        }

    def __exit__(self, *exception: object) -> None:
        self.stop()

    def start(self) -> LocalSlurm:
        """Start all daemons; raises TimeoutError, with the ends of their logs, if they do not."""
        try:
            self._configure()
            files = ("key", "pid", "seed", "log")
            options = [f"--{name}-file={self.folder}/munge.{name}" for name in files]
            socket_option = f"--socket={self.folder}/munge.socket"
            self._start("munged", "--foreground", "--force", socket_option, *options)
            self.wait_until(lambda: (self.folder / "munge.socket").exists(), 20, "munged")
            self._start("slurmctld", "-D", "-c")
            for name in self.names:
                self._start("slurmd", "-D", "-c", "-N", name)
            self.wait_until(self._all_idle, 60, "all nodes idle")
        except BaseException:
            self.stop()
            raise
        return self

    __enter__ = start

    def stop(self) -> None:
        """Cancel all jobs, and end what was started."""
        if len(self._daemons) > 1:
            self.run("scancel", "--user", getpass.getuser())
            with contextlib.suppress(TimeoutError):
                self.wait_until(lambda: not self.run("squeue", "-h").stdout.strip(), 20, "no jobs")
        for daemon in reversed(self._daemons):
            daemon.terminate()
            try:
                daemon.wait(timeout=15)
            except subprocess.TimeoutExpired:
                daemon.kill()
                daemon.wait()
        self._daemons.clear()

    def run(self, *command: object, **options: object) -> subprocess.CompletedProcess[str]:
        """Run a command as a user of the cluster; further options are those of subprocess.run."""
        environment = {**self.environment, **options.pop("env", {})}
        return subprocess.run(
            [str(part) for part in command],
            env=environment,
            capture_output=True,
            text=True,
            check=False,
            **options,
        )

    def job(self, number: str) -> dict[str, str]:
        """Facts of ``scontrol show job`` by name; empty for a job that slurm has forgotten."""
        shown = self.run("scontrol", "show", "job", number, "--oneliner").stdout
        return dict(re.findall(r"(\S+?)=(\S*)", shown))

    def wait_until(self, holds: Callable[[], object], seconds: float, what: str) -> None:
        """Wait; raises TimeoutError, with the ends of the logs, if it does not come about."""
        until = time.monotonic() + seconds
        while not holds():
            if time.monotonic() > until:
                logs = [
                    f"{log.name}: {line}"
                    for log in sorted(self.folder.glob("*.log"))
                    for line in log.read_text(errors="replace").splitlines()[-4:]
                ]
                raise TimeoutError("\n".join([f"{what}: not within {seconds} s", *logs]))
            time.sleep(0.2)

    def _configure(self) -> None:
        self.folder.mkdir(parents=True, exist_ok=True)
        self.folder.chmod(0o755)
        (self.folder / "state").mkdir(exist_ok=True)
        key = self.folder / "munge.key"
        key.write_bytes(os.urandom(1024))
        key.chmod(0o400)
        host = platform.node().split(".")[0]
        ports = free_ports(1 + len(self.names))
        nodes = "\n".join(
            f"NodeName={name} NodeHostname={host} NodeAddr=127.0.0.1 Port={port} CPUs={self._cpus}"
            for name, port in zip(self.names, ports[1:])
        )
        settings = CONFIG.format(
            host=host,
            ports=ports,
            user=getpass.getuser(),
            folder=self.folder,
            nodes=nodes,
            grace=self._grace,
        )
        (self.folder / "slurm.conf").write_text(settings)

    def _start(self, name: str, *options: str) -> None:
        with (self.folder / f"{name}{len(self._daemons)}.out").open("w") as output:
            program = shutil.which(name, path=self.environment["PATH"])
            self._daemons.append(
                subprocess.Popen(
                    [program, *options],
                    env=self.environment,
                    stdin=subprocess.DEVNULL,
                    stdout=output,
                    stderr=output,
                )
            )

    def _all_idle(self) -> bool:
        states = self.run("sinfo", "-h", "-N", "-o", "%N %T", "-p", "low").stdout.split()
        return states[::2] == self.names and set(states[1::2]) == {"idle"}


def free_ports(count: int) -> list[int]:
    """Find ports on which nothing listens."""
    with contextlib.ExitStack() as stack:
        sockets = [stack.enter_context(socket.socket()) for _ in range(count)]
        for probe in sockets:
            probe.bind(("127.0.0.1", 0))
        return [probe.getsockname()[1] for probe in sockets]


def main() -> int:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--install", action="store_true", help="let apt install what is missing")
    args = parser.parse_args()
    reason = install() if args.install else None
    if reason is None and missing_programs():
        reason = f"no {', '.join(missing_programs())} here; --install lets apt install them"
    print(f"no slurm on this machine: {reason}" if reason else "slurm and munge are installed")
    return 1 if reason else 0


if __name__ == "__main__":
    sys.exit(main())
