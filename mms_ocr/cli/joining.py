"""How the processes of a job find one another, and leave together."""

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
from typing import NoReturn

import torch
from mmengine import dist

# What launchers call the variables of torchrun; of several MPIs, the one whose rank is set counts.
_VARIABLES = {
    "slurm": [dict(RANK="SLURM_PROCID", WORLD_SIZE="SLURM_NTASKS", LOCAL_RANK="SLURM_LOCALID")],
    "mpi": [
        dict(
            RANK="OMPI_COMM_WORLD_RANK",
            WORLD_SIZE="OMPI_COMM_WORLD_SIZE",
            LOCAL_RANK="OMPI_COMM_WORLD_LOCAL_RANK",
        ),
        dict(
            RANK="MV2_COMM_WORLD_RANK",
            WORLD_SIZE="MV2_COMM_WORLD_SIZE",
            LOCAL_RANK="MV2_COMM_WORLD_LOCAL_RANK",
        ),
        # MPICH and Intel MPI.
        dict(RANK="PMI_RANK", WORLD_SIZE="PMI_SIZE", LOCAL_RANK="MPI_LOCALRANKID"),
    ],
}
# Where MPIs say how many processes they started on this machine.
MPI_LOCAL_SIZES = ("OMPI_COMM_WORLD_LOCAL_SIZE", "MV2_COMM_WORLD_LOCAL_SIZE", "MPI_LOCALNRANKS")
_STARTED_BY = {
    "slurm": ("srun", "tools/slurm_train.sh"),
    "mpi": ("Open MPI", "mpirun -n PROCESSES python tools/train.py CONFIG --launcher mpi"),
}


def join_processes(launcher: str, backend: str = "nccl", timeout: float | None = None) -> None:
    """Take a GPU, where there are any, and join the processes of a job.

    MMEngine's own way asks for a GPU, and for the one of the process's number on its machine also
    where the cluster shows each process no GPU but its own.

    Args:
        launcher: ``'pytorch'`` (torchrun), ``'slurm'``, or ``'mpi'`` (Open MPI, MVAPICH2, MPICH,
            Intel MPI).
        backend: Of torch.distributed: ``'nccl'``, or ``'gloo'`` without GPUs.
        timeout: Seconds after which a process that waits for another gives up.

    Raises:
        ValueError: The environment variables of the launcher are missing, the first machine is not
            known, or there are fewer GPUs than processes.
    """
    if launcher in _VARIABLES:
        _take_over_from(launcher)
        _find_first_machine(launcher)
    needed = ("RANK", "WORLD_SIZE", "LOCAL_RANK", "MASTER_ADDR", "MASTER_PORT")
    missing = [name for name in needed if name not in os.environ]
    if missing:
        raise ValueError(
            f"--launcher {launcher} needs the variables {', '.join(missing)}; start the job with "
            "tools/dist_train.sh"
        )
    address = os.environ["MASTER_ADDR"]
    try:
        socket.getaddrinfo(address, None)
    except OSError:
        # Otherwise the processes would try to reach it for as long as they wait for one another.
        raise ValueError(
            f"no machine is known by the name {address!r}, the first of the job; set MASTER_ADDR "
            "to its address in the network"
        )
    if torch.cuda.is_available():
        number = gpu_of_process(int(os.environ["LOCAL_RANK"]), torch.cuda.device_count())
        torch.cuda.set_device(number)
        # MMEngine takes it for the number of the GPU.
        os.environ["LOCAL_RANK"] = str(number)
    wait = None if timeout is None else datetime.timedelta(seconds=timeout)
    torch.distributed.init_process_group(backend, timeout=wait)


def gpu_of_process(local_rank: int, gpus: int) -> int:
    """The number of the GPU that a process takes, of those that it sees.

    Args:
        local_rank: Number of the process on its machine.
        gpus: How many GPUs the process sees: those of the machine, or its own one.

    Raises:
        ValueError: There are fewer GPUs than processes.
    """
    if gpus == 1:
        # Its own; where it is not, NCCL says that two processes have the same.
        return 0
    if local_rank >= gpus:
        raise ValueError(
            f"process {local_rank} of this machine (from 0) finds no GPU for itself: there are "
            f"{gpus}; start as many processes as GPUs"
        )
    return local_rank


def _take_over_from(launcher: str) -> None:
    known = _VARIABLES[launcher]
    sources = next((names for names in known if names["RANK"] in os.environ), known[0])
    missing = [name for name in sources.values() if name not in os.environ]
    if missing:
        who, command = _STARTED_BY[launcher]
        raise ValueError(
            f"--launcher {launcher} needs {', '.join(missing)}, which {who} sets; start the job "
            f"with {command}"
        )
    os.environ.update({name: os.environ[source] for name, source in sources.items()})


def _find_first_machine(launcher: str) -> None:
    if "MASTER_ADDR" not in os.environ and launcher == "mpi":
        here = next((os.environ[name] for name in MPI_LOCAL_SIZES if name in os.environ), None)
        if here != os.environ["WORLD_SIZE"]:
            raise ValueError(
                "--launcher mpi over several machines needs the address of the first one; add "
                "-x MASTER_ADDR=ADDRESS to mpirun"
            )
        os.environ["MASTER_ADDR"] = "127.0.0.1"
    elif "MASTER_ADDR" not in os.environ:
        nodes = ["scontrol", "show", "hostnames", os.environ.get("SLURM_NODELIST", "")]
        try:
            hosts = subprocess.run(nodes, check=True, capture_output=True, text=True).stdout.split()
            if not hosts:
                raise OSError("it names no machine")
        except (OSError, subprocess.CalledProcessError) as error:
            raise ValueError(
                "--launcher slurm needs the address of the first machine, and scontrol, which "
                f"tells it, cannot be used here ({error}); set MASTER_ADDR"
            ) from error
        os.environ["MASTER_ADDR"] = hosts[0]
    os.environ.setdefault("MASTER_PORT", str(_port()))


def _port() -> int:
    """As torchrun's; within Open MPI one of the job's own, as several may share a machine."""
    job = os.environ.get("PMIX_NAMESPACE")  # the same for all processes of one mpirun
    return 12000 + zlib.crc32(job.encode()) % 20000 if job else 29500


def leave_together(stopped: bool = False) -> None:
    """Wait until all processes of the job are done.

    A process that exits while another still communicates closes that one's connections, and may
    make it fail after all its work is done. Call it last, and not after an error.

    Args:
        stopped: The processes exit with another status than 0. A launcher treats the first of them
            as a failure and terminates the others; SIGTERM is ignored from here on.
    """
    if dist.get_world_size() == 1:
        return
    if stopped:
        signal.signal(signal.SIGTERM, signal.SIG_IGN)
    # Another process may have failed, and reports why; this one is done.
    with contextlib.suppress(RuntimeError):
        dist.barrier()


def exit_process(status: int) -> NoReturn:
    """End a program, which a launcher may have started as one of several processes.

    As one of several it ends without Python's finalization: a thread of torch.distributed that
    still releases a tensor then would abort the process ("terminate called without an active
    exception") after all its work is done. What is registered with ``atexit`` runs before.

    Args:
        status: Exit status.
    """
    if not dist.is_distributed() or dist.get_world_size() == 1:
        sys.exit(status)
    atexit._run_exitfuncs()
    for stream in (sys.stdout, sys.stderr):
        stream.flush()
    os._exit(status)
