"""Joining the processes of a job, with and without GPUs; GPUs are stand-ins here."""

import datetime
import os

import pytest
import torch
from mmengine.config import Config

from mms_ocr.cli import joining, launching

RANKS = ("RANK", "WORLD_SIZE", "LOCAL_RANK")
RANK_5_OF_8 = dict(RANK="5", SIZE="8", LOCAL_RANK="1", LOCAL_SIZE="4")
# Open MPI; MVAPICH2; MPICH and Intel MPI.
MPIS = [
    *(
        {f"{mpi}_COMM_WORLD_{name}": value for name, value in RANK_5_OF_8.items()}
        for mpi in ("OMPI", "MV2")
    ),
    {"PMI_RANK": "5", "PMI_SIZE": "8", "MPI_LOCALRANKID": "1", "MPI_LOCALNRANKS": "4"},
]
SLURM = {"SLURM_PROCID": "5", "SLURM_NTASKS": "8", "SLURM_LOCALID": "1", "SLURM_NODELIST": "n[1-2]"}


@pytest.fixture
def job(monkeypatch):
    """A process of a job: gives a function that joins, and what it asked torch for."""
    calls = {}
    for name in list(os.environ):
        if name.startswith(("SLURM", "MASTER", "OMPI", "MV2", "PMI", "MPI_")) or name in RANKS:
            monkeypatch.delenv(name)

    def start(gpus=0, launcher="slurm", **environment):
        given = {"MASTER_ADDR": "localhost", "MASTER_PORT": "1"} | environment
        given = {name: value for name, value in given.items() if value is not None}
        with monkeypatch.context() as patch:
            # Also undone: what joining itself puts there.
            ours = (*RANKS, "MASTER_ADDR", "MASTER_PORT")
            for name in (*ours, *given):
                patch.setenv(name, given.get(name, ""))
            for name in ours:
                if name not in given:
                    patch.delenv(name)
            patch.setattr(torch.cuda, "is_available", lambda: gpus > 0)
            patch.setattr(torch.cuda, "device_count", lambda: gpus)
            patch.setattr(torch.cuda, "set_device", lambda number: calls.update(gpu=number))
            patch.setattr(
                torch.distributed,
                "init_process_group",
                lambda backend, timeout: calls.update(backend=backend, timeout=timeout),
            )
            joining.join_processes(launcher, "nccl" if gpus else "gloo", 90)
            address = os.environ["MASTER_ADDR"]
            return {**calls, **{name: os.environ[name] for name in RANKS}, "address": address}

    return start


@pytest.mark.parametrize(
    ("launcher", "variables"), [("slurm", SLURM), *(("mpi", variables) for variables in MPIS)]
)
def test_without_gpus(job, launcher, variables):
    state = job(launcher=launcher, **variables)
    assert state == {
        "address": "localhost",
        "backend": "gloo",
        "timeout": datetime.timedelta(seconds=90),
        "RANK": "5",
        "WORLD_SIZE": "8",
        "LOCAL_RANK": "1",
    }


@pytest.mark.parametrize(("gpus", "number"), [(4, 1), (2, 1), (1, 0)])
def test_gpu_of_a_slurm_task(job, gpus, number):
    state = job(gpus, **SLURM)
    assert (state["backend"], state["gpu"], state["LOCAL_RANK"]) == ("nccl", number, str(number))
    assert state["RANK"] == "5"


def test_gpu_of_a_torchrun_process(job):
    ranks = dict(RANK="3", WORLD_SIZE="4", LOCAL_RANK="3")
    assert job(4, "pytorch", **ranks)["gpu"] == 3
    with pytest.raises(ValueError, match=r"process 3 of this machine .* there are 2"):
        job(2, "pytorch", **ranks)


@pytest.mark.parametrize(
    ("launcher", "message"),
    [
        ("mpi", r"OMPI_COMM_WORLD_RANK, .* mpirun -n"),
        ("slurm", "SLURM_PROCID, SLURM_NTASKS, SLURM_LOCALID; .*slurm_train.sh"),
        ("pytorch", "RANK, WORLD_SIZE, LOCAL_RANK; .*dist_train.sh"),
    ],
)
def test_missing_variables_are_named(job, launcher, message):
    with pytest.raises(ValueError, match=message):
        job(launcher=launcher)


@pytest.mark.parametrize("variables", MPIS)
def test_mpis_on_one_machine_and_on_several(job, variables):
    unset = variables | {"MASTER_ADDR": None, "MASTER_PORT": None}
    with pytest.raises(ValueError, match=r"several machines .* -x MASTER_ADDR"):
        job(launcher="mpi", **unset)
    local_size = list(variables)[-1]
    assert job(launcher="mpi", **unset | {local_size: "8"})["address"] == "127.0.0.1"


def test_two_jobs_of_open_mpi_have_different_ports(monkeypatch):
    ports = []
    for job in ("prterun-host-71@1", "prterun-host-71@1", "prterun-host-72@1", "2841509889", None):
        with monkeypatch.context() as patch:
            for name in ("MASTER_ADDR", "MASTER_PORT", "PMIX_NAMESPACE"):
                patch.setenv(name, "")  # also undone: what joining itself puts there
                patch.delenv(name)
            patch.setenv("WORLD_SIZE", "2")
            patch.setenv("OMPI_COMM_WORLD_LOCAL_SIZE", "2")
            if job:
                patch.setenv("PMIX_NAMESPACE", job)
            joining._find_first_machine("mpi")
            ports.append(int(os.environ["MASTER_PORT"]))
            patch.setenv("MASTER_PORT", "7")
            joining._find_first_machine("mpi")
            assert os.environ["MASTER_PORT"] == "7"
    assert ports[0] == ports[1]
    assert len(set(ports)) == 4
    assert all(12000 <= port < 32000 for port in ports)


@pytest.mark.parametrize(
    ("command", "reason"),
    [
        (None, "No such file or directory: 'scontrol'"),
        ("exit 3", "returned non-zero exit status 3"),
        ("true", "it lists no hosts"),
    ],
)
def test_slurm_without_scontrol(job, tmp_path, command, reason):
    if command is not None:
        (tmp_path / "scontrol").write_text(f"#!/bin/sh\n{command}\n")
        (tmp_path / "scontrol").chmod(0o755)
    with pytest.raises(ValueError, match=f"{reason}.*; set MASTER_ADDR"):
        job(**SLURM, MASTER_ADDR=None, PATH=str(tmp_path))


@pytest.mark.parametrize(
    ("launcher", "environment", "workers"),
    [
        ("none", {}, 6),
        ("pytorch", {"LOCAL_WORLD_SIZE": "4"}, 2),
        ("pytorch", {"LOCAL_WORLD_SIZE": "16"}, 1),
        ("mpi", {"OMPI_COMM_WORLD_LOCAL_SIZE": "4"}, 2),
        ("mpi", {"MPI_LOCALNRANKS": "4"}, 2),
        # Bound to its cores, or seeing all of the machine's, a task of slurm has as many.
        ("slurm", {"SLURM_NTASKS_PER_NODE": "4", "SLURM_CPUS_PER_TASK": "5"}, 5),
        ("slurm", {"SLURM_NTASKS_PER_NODE": "4", "SLURM_CPUS_PER_TASK": "20"}, 6),
        ("slurm", {"SLURM_NTASKS_PER_NODE": "4"}, 2),
    ],
)
def test_workers_are_as_many_as_the_cores_of_a_process(monkeypatch, launcher, environment, workers):
    for name in (*launching._LOCAL_SIZES, "SLURM_CPUS_PER_TASK"):
        monkeypatch.delenv(name, raising=False)
    for name, value in environment.items():
        monkeypatch.setenv(name, value)
    monkeypatch.setattr(os, "sched_getaffinity", lambda process: set(range(8)), raising=False)
    cfg = Config(dict(launcher=launcher, train_dataloader=dict(num_workers=6)))
    launching.fit_to_machine(cfg)
    assert cfg.train_dataloader.num_workers == workers
