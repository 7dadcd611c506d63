"""How the processes of a job join at the start and leave at the end."""

from __future__ import annotations

import atexit
import contextlib
import datetime
import os
import signal
import socket
import subprocess
import sys
import zlib
from collections.abc import Iterable
from typing import NoReturn

import torch
from mmengine import dist

# Names of torchrun's variables in other launchers. Of several MPIs, the one that sets the rank is
# used: Open MPI, MVAPICH2, or MPICH and Intel MPI.
_VARIABLES = ("RANK", "WORLD_SIZE", "LOCAL_RANK")
_OTHER_NAMES = {
    "slurm": [("SLURM_PROCID", "SLURM_NTASKS", "SLURM_LOCALID")],
    "mpi": [
        ("OMPI_COMM_WORLD_RANK", "OMPI_COMM_WORLD_SIZE", "OMPI_COMM_WORLD_LOCAL_RANK"),
        ("MV2_COMM_WORLD_RANK", "MV2_COMM_WORLD_SIZE", "MV2_COMM_WORLD_LOCAL_RANK"),
        ("PMI_RANK", "PMI_SIZE", "MPI_LOCALRANKID"),
    ],
}
# Variables in which MPIs give the number of processes on this machine.
MPI_LOCAL_SIZES = ("OMPI_COMM_WORLD_LOCAL_SIZE", "MV2_COMM_WORLD_LOCAL_SIZE", "MPI_LOCALNRANKS")
_START_COMMANDS = {
    "pytorch": "tools/dist_train.sh",
    "slurm": "tools/slurm_train.sh",
    "mpi": "mpirun -n PROCESSES python tools/train.py CONFIG --launcher mpi",
}


def join_processes(launcher: str, backend: str = "nccl", timeout: float | None = None) -> None:
    """Select a GPU, if there are any, and join the processes of a job.

    MMEngine's ``init_dist`` requires a GPU, and selects it by the local rank also where a cluster
    shows each process only its own GPU.

    Args:
        launcher: ``'pytorch'`` (torchrun), ``'slurm'`` or ``'mpi'``.
        backend: ``'nccl'``, or ``'gloo'`` without GPUs.
        timeout: Seconds after which a process that waits for another fails.

    Raises:
        ValueError: The launcher's variables or the first machine's address are missing, or there
            are fewer GPUs than processes.
    """
    if launcher in _OTHER_NAMES:
        known = _OTHER_NAMES[launcher]
        names = next((names for names in known if names[0] in os.environ), known[0])
        _check_variables(launcher, names)
        os.environ.update({name: os.environ[other] for name, other in zip(_VARIABLES, names)})
        _find_first_machine(launcher)
    _check_variables(launcher, (*_VARIABLES, "MASTER_ADDR", "MASTER_PORT"))
    address = os.environ["MASTER_ADDR"]
    try:
        socket.getaddrinfo(address, None)
    except OSError as error:
        # torch would try again until the timeout.
        raise ValueError(
            f"MASTER_ADDR {address!r}, the first machine of the job, is an unknown host; set it to "
            "an address in the network"
        ) from error
    if torch.cuda.is_available():
        gpus, gpu = torch.cuda.device_count(), int(os.environ["LOCAL_RANK"])
        if gpus == 1:
            gpu = 0  # a cluster may show each process only its own; NCCL reports a shared one
        elif gpu >= gpus:
            raise ValueError(
                f"process {gpu} of this machine (from 0) has no GPU, there are {gpus}; start as "
                "many processes as GPUs"
            )
        torch.cuda.set_device(gpu)
        os.environ["LOCAL_RANK"] = str(gpu)  # MMEngine uses it as the index of the GPU
    wait = None if timeout is None else datetime.timedelta(seconds=timeout)
    torch.distributed.init_process_group(backend, timeout=wait)


def _check_variables(launcher: str, names: Iterable[str]) -> None:
    if missing := [name for name in names if name not in os.environ]:
        raise ValueError(
            f"--launcher {launcher} needs the environment variables {', '.join(missing)}; start "
            f"the job by {_START_COMMANDS[launcher]}"
        )


def _find_first_machine(launcher: str) -> None:
    if "MASTER_ADDR" not in os.environ and launcher == "mpi":
        local_size = next((os.environ[n] for n in MPI_LOCAL_SIZES if n in os.environ), None)
        if local_size != os.environ["WORLD_SIZE"]:
            what = "--launcher mpi over several machines needs the address of the first one"
            raise ValueError(f"{what}; add -x MASTER_ADDR=ADDRESS to mpirun")
        os.environ["MASTER_ADDR"] = "127.0.0.1"
    elif "MASTER_ADDR" not in os.environ:
        command = ["scontrol", "show", "hostnames", os.environ.get("SLURM_NODELIST", "")]
        try:
            done = subprocess.run(command, check=True, capture_output=True, text=True)
            if not (hosts := done.stdout.split()):
                raise OSError("it lists no hosts")
        except (OSError, subprocess.CalledProcessError) as error:
            raise ValueError(
                "--launcher slurm needs the address of the first machine, and scontrol gives none "
                f"({error}); set MASTER_ADDR"
            ) from error
        os.environ["MASTER_ADDR"] = hosts[0]
    # As torchrun's; under Open MPI one for each mpirun, since several may share a machine.
    job = os.environ.get("PMIX_NAMESPACE")
    port = 12000 + zlib.crc32(job.encode()) % 20000 if job else 29500
    os.environ.setdefault("MASTER_PORT", str(port))


def leave_together(stopped: bool = False) -> None:
    """Wait until all processes of the job are done: one that exits early may make another fail.

    Processes that ``stopped`` exit with a status other than 0, upon which a launcher terminates the
    others: SIGTERM is ignored from here on.
    """
    if dist.get_world_size() == 1:
        return
    if stopped:
        signal.signal(signal.SIGTERM, signal.SIG_IGN)
    with contextlib.suppress(RuntimeError):  # another process failed, and reports why
        dist.barrier()


def exit_process(status: int) -> NoReturn:
    """End a program that may be one of several processes of a job.

    One of several ends without Python's finalization: a thread of torch.distributed that still
    releases a tensor would abort it ("terminate called without an active exception") after its
    work is done. Functions registered with ``atexit`` run before.
    """
    if dist.get_world_size() == 1:
        sys.exit(status)
    atexit._run_exitfuncs()
    for stream in (sys.stdout, sys.stderr):
        stream.flush()
    os._exit(status)
