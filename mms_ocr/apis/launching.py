"""What training and testing share: options, the config, and the runner."""

from __future__ import annotations

import argparse
import datetime
import logging
import os
import signal
import socket
import subprocess
from collections.abc import Mapping, Sequence
from pathlib import Path

import torch
from mmengine import dist
from mmengine.config import Config, DictAction
from mmengine.hooks import LoggerHook
from mmengine.runner import Runner

import mms_ocr.registry  # noqa: F401  (makes the scope known before any config is read)
from mms_ocr.engine.fully_sharded import build_sharded_runner
from mms_ocr.engine.resuming import find_resume_point, use_checked_reading

__all__ = ["add_shared_options", "build_runner", "leave_together", "read_config"]

# What running the user's config, and merging it with those that it inherits from, may raise.
_CONFIG_ERRORS = (AttributeError, KeyError, NameError, SyntaxError, TypeError)
LAUNCHERS = ("none", "pytorch", "slurm", "mpi")


def add_shared_options(parser: argparse.ArgumentParser) -> None:
    """Options of every program that builds a runner from a config."""
    parser.add_argument("config", help="config file")
    parser.add_argument(
        "--work-dir",
        help="folder of logs and checkpoints (default: work_dirs/<name of the config>)",
    )
    parser.add_argument(
        "--data",
        nargs="+",
        metavar="PATH",
        help="word images to use: folders, LMDBs or JSON-lines files",
    )
    parser.add_argument(
        "--cfg-options",
        nargs="+",
        action=DictAction,
        metavar="KEY=VALUE",
        help="change any setting of the config, such as train_dataloader.batch_size=64",
    )
    parser.add_argument("--launcher", choices=LAUNCHERS, default="none", help="job launcher")
    # torchrun before 2.0 passes it; it is told by the environment too.
    parser.add_argument("--local_rank", "--local-rank", type=int, default=0, help=argparse.SUPPRESS)
    parser.add_argument(
        "--traceback", action="store_true", help="show where in the code an error arose"
    )


def read_config(args: argparse.Namespace) -> Config:
    """The config of the command line, with the command line's changes.

    Raises:
        FileNotFoundError: There is no such config.
        ImportError: A module that the config imports is not here.
        ValueError: The config is wrong, or reads no files where ``--data`` is given.
    """
    if not Path(args.config).is_file():
        raise FileNotFoundError(f"no config file {args.config}; those that ship stand in configs/")
    try:
        cfg = Config.fromfile(args.config)
    except ImportError as error:
        raise ImportError(f"{args.config} cannot be used here: {_first_cause(error)}") from error
    except _CONFIG_ERRORS as error:
        told = error.args[0] if isinstance(error, KeyError) and error.args else error
        raise ValueError(f"{args.config} cannot be read: {told}") from error
    cfg.launcher = args.launcher
    if args.data:
        set_data(cfg, args.data)
    if args.cfg_options:
        cfg.merge_from_dict(args.cfg_options)
    if args.work_dir:
        cfg.work_dir = args.work_dir
    elif not cfg.get("work_dir"):
        cfg.work_dir = str(Path("work_dirs", Path(args.config).stem))
    fit_to_machine(cfg)
    return cfg


def _first_cause(error: BaseException) -> BaseException:
    """What an error began with: MMEngine tells its search path in place of the missing module."""
    while earlier := error.__cause__ or error.__context__:
        error = earlier
    return error


def set_data(cfg: Config, paths: Sequence[str]) -> None:
    """Let every data set of a config that reads files read ``paths``.

    Raises:
        ValueError: None does.
    """
    changed = 0
    for part in ("train_dataloader", "val_dataloader", "test_dataloader"):
        dataset = (cfg.get(part) or {}).get("dataset") or {}
        if "path" in dataset:
            dataset["path"] = list(paths)
            changed += 1
    if not changed:
        raise ValueError(
            f"--data was given, and {cfg.filename} reads no files; use a config of your own data, "
            "such as configs/mms/pretrain_vit_s_words.py"
        )


def fit_to_machine(cfg: Config) -> None:
    """No more loader workers than cores, which outlive a signal to stop; gloo without a GPU."""
    cores = len(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else os.cpu_count()
    processes = int(os.environ.get("LOCAL_WORLD_SIZE", os.environ.get("SLURM_NTASKS_PER_NODE", 1)))
    most = max(1, (cores or 1) // processes)
    for part in ("train_dataloader", "val_dataloader", "test_dataloader"):
        loader = cfg.get(part)
        if loader and loader.get("num_workers", 0) > most:
            loader["num_workers"] = most
        if loader:
            loader.setdefault("worker_init_fn", dict(type="mms_ocr.start_worker"))
        if loader and not torch.cuda.is_available():
            loader["pin_memory"] = False
    if not torch.cuda.is_available():
        env = cfg.setdefault("env_cfg", {})
        env.setdefault("dist_cfg", {})["backend"] = "gloo"


def build_runner(cfg: Config) -> Runner:
    """The runner of a config; processes without a GPU are joined here.

    ``compile`` of the config compiles the layers of the model, see
    :class:`~mms_ocr.engine.CompileHook`; ``strategy`` parts it among processes, see
    :class:`~mms_ocr.engine.FullyShardedStrategy`. Where it is to resume and no checkpoint is
    named, the newest whole one is found. Checkpoints are read without running anything in them.

    Raises:
        ValueError: A setting cannot be used on this machine.
    """
    use_checked_reading()
    compiled = cfg.pop("compile", None)
    if compiled:
        options = compiled if isinstance(compiled, Mapping) else {}
        hook = {"type": "mms_ocr.CompileHook", **options}
        cfg.custom_hooks = [*(cfg.get("custom_hooks") or []), hook]
    if cfg.launcher in ("pytorch", "slurm") and not torch.cuda.is_available():
        join_processes(cfg.launcher, (cfg.get("env_cfg") or {}).get("dist_cfg", {}).get("timeout"))
        # MMEngine would hand the wrapper a GPU's number.
        cfg.model_wrapper_cfg = {
            "type": "MMDistributedDataParallel",
            "broadcast_buffers": False,
            **(cfg.get("model_wrapper_cfg") or {}),
            "device_ids": None,
        }
    runner = build_sharded_runner(cfg) if cfg.get("strategy") else Runner.from_cfg(cfg)
    runner.logger.addFilter(_is_of_interest)
    if not dist.is_main_process():
        for hook in runner.hooks:
            if isinstance(hook, LoggerHook):
                # By MMEngine all processes write the results of a test to one file at one time.
                hook.after_test_epoch = _write_nothing
    find_resume_point(runner)
    return runner


def _write_nothing(runner: Runner, metrics: dict[str, float] | None = None) -> None:
    """In place of writing the results of a test."""


def join_processes(launcher: str, timeout: float | None = None) -> None:
    """Join the processes of a job by gloo; MMEngine's own way asks for a GPU.

    Args:
        launcher: ``'pytorch'`` (torchrun) or ``'slurm'``.
        timeout: Seconds after which a process that waits for another gives up.

    Raises:
        ValueError: The environment variables of the launcher are missing.
    """
    if launcher == "slurm":
        needed = {
            "RANK": "SLURM_PROCID",
            "WORLD_SIZE": "SLURM_NTASKS",
            "LOCAL_RANK": "SLURM_LOCALID",
        }
        missing = [name for name in needed.values() if name not in os.environ]
        if missing:
            raise ValueError(
                f"--launcher slurm needs {', '.join(missing)}, which srun sets; start the job with "
                "tools/slurm_train.sh"
            )
        os.environ.update({name: os.environ[source] for name, source in needed.items()})
        if "MASTER_ADDR" not in os.environ:
            nodes = ["scontrol", "show", "hostnames", os.environ.get("SLURM_NODELIST", "")]
            hosts = subprocess.run(nodes, check=True, capture_output=True, text=True).stdout
            os.environ["MASTER_ADDR"] = hosts.split()[0]
        os.environ.setdefault("MASTER_PORT", "29500")
    missing = [
        name
        for name in ("RANK", "WORLD_SIZE", "MASTER_ADDR", "MASTER_PORT")
        if name not in os.environ
    ]
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
    wait = None if timeout is None else datetime.timedelta(seconds=timeout)
    torch.distributed.init_process_group("gloo", timeout=wait)


def leave_together() -> None:
    """Let all processes of a job that was stopped end with the same status.

    A launcher takes the first process that ends with another status than 0 for a failure, and ends
    the others by a signal: none ends before all are done, and none heeds it from then on.
    """
    if dist.get_world_size() > 1:
        signal.signal(signal.SIGTERM, signal.SIG_IGN)
        dist.barrier()


def _is_of_interest(record: logging.LogRecord) -> bool:
    """Keeps MMEngine's lines per parameter, and its remarks to developers, out of the log."""
    message = record.getMessage()
    return not message.startswith(
        ("paramwise_options", '"FileClient" will', '"HardDiskBackend" is')
    ) and not message.endswith("is skipped since its requires_grad=False")
