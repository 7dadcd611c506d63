"""What training and testing share: options, the config, and the runner."""

from __future__ import annotations

import argparse
import logging
import os
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

import torch
from mmengine import dist
from mmengine.config import Config
from mmengine.logging import MMLogger
from mmengine.runner import Runner

import mms_ocr.registry  # noqa: F401  (makes the scope known before any config is read)
from mms_ocr.cli.data_option import PARTS, check_ends, loaders_of, set_data
from mms_ocr.cli.joining import MPI_LOCAL_SIZES, join_processes
from mms_ocr.compat.running import use_recompute, write_results_once
from mms_ocr.engine.hooks.visualization_hook import use_visualization_hook
from mms_ocr.engine.resuming import find_resume_point, prepare_loading, use_checked_reading
from mms_ocr.utils.cfg_options import add_config_options, merge_cfg_options
from mms_ocr.utils.config_files import read_config_file
from mms_ocr.utils.devices import usable_cores
from mms_ocr.utils.dictionaries import check_dictionaries
from mms_ocr.utils.escaping import is_unicode

# Variables in which launchers give the number of processes on this machine.
_LOCAL_SIZES = ("LOCAL_WORLD_SIZE", *MPI_LOCAL_SIZES, "SLURM_NTASKS_PER_NODE")


def add_shared_options(parser: argparse.ArgumentParser) -> None:
    """Declare the options of training and testing."""
    parser.add_argument("config", help="config file")
    parser.add_argument(
        "--work-dir", help="folder of logs and checkpoints (default: work_dirs/NAME_OF_CONFIG)"
    )
    parser.add_argument(
        "--data", nargs="+", metavar="PATH", help="word images: folders, LMDBs or JSON-lines files"
    )
    launchers = ("none", "pytorch", "slurm", "mpi")
    parser.add_argument("--launcher", choices=launchers, default="none", help="job launcher")
    add_config_options(parser)


def read_config(args: argparse.Namespace, parts: Sequence[str] = PARTS) -> Config:
    """Read the config of the command line and apply the command line's changes.

    ``parts`` are the parts that are used, of ``'train'``, ``'val'`` and ``'test'``.

    Raises:
        FileNotFoundError: There is no such config.
        ImportError: A module that it imports is missing.
        ValueError: The config or an option is wrong.
    """
    cfg = read_config_file(args.config)
    cfg.launcher = args.launcher
    if args.data:
        set_data(cfg, args.data, parts)
    merge_cfg_options(cfg, args.cfg_options)
    if args.work_dir:
        cfg.work_dir = args.work_dir
    elif not cfg.get("work_dir"):
        cfg.work_dir = str(Path("work_dirs", Path(args.config).stem))
    if not is_unicode(os.path.abspath(cfg.work_dir)):
        raise ValueError(f"the name of the work folder {cfg.work_dir} is not UTF-8; give another")
    check_ends(cfg)
    fit_to_machine(cfg)
    return cfg


def fit_to_machine(cfg: Config) -> None:
    """Limit loader workers to the cores of this process; use gloo without a GPU."""
    cores = cores_of_process(cfg.get("launcher", "none"))
    for loader in (loader for part in PARTS for _, loader in loaders_of(cfg, part)):
        if loader.get("num_workers", 0) > cores:
            loader["num_workers"] = cores
        if not loader.get("num_workers") and loader.get("persistent_workers"):
            loader["persistent_workers"] = False  # torch refuses it without workers
        loader.setdefault("worker_init_fn", dict(type="mms_ocr.start_worker"))
        for function in ("collate_fn", "worker_init_fn"):
            if isinstance(loader.get(function), dict):
                # MMEngine adds it to configs inherited from another package, and fails on it.
                loader[function].pop("_scope_", None)
        if not torch.cuda.is_available():
            loader["pin_memory"] = False
    if not torch.cuda.is_available():
        env = cfg.setdefault("env_cfg", {})
        env.setdefault("dist_cfg", {})["backend"] = "gloo"


def cores_of_process(launcher: str) -> int:
    """Return the number of cores of this process of a job, at least 1."""
    cores = usable_cores()
    if launcher == "slurm" and "SLURM_CPUS_PER_TASK" in os.environ:
        # Where slurm binds tasks to cores, a task sees only its own.
        return max(1, min(cores, int(os.environ["SLURM_CPUS_PER_TASK"])))
    processes = next((os.environ[name] for name in _LOCAL_SIZES if name in os.environ), "1")
    return max(1, cores // int(processes)) if launcher != "none" else cores


def join_job(cfg: Config) -> None:
    """Join the processes of the job that ``cfg.launcher`` started, if it started one."""
    if cfg.launcher != "none" and not dist.is_distributed():
        settings = (cfg.get("env_cfg") or {}).get("dist_cfg") or {}
        join_processes(cfg.launcher, settings.get("backend", "nccl"), settings.get("timeout"))


def build_runner(cfg: Config) -> Runner:
    """Build the runner of a config, after joining the processes of its job.

    ``compile`` of the config compiles the layers of the model, see
    :class:`~mms_ocr.engine.CompileHook`. If ``resume`` names no checkpoint, the newest intact one
    is used. Checkpoints are read without running code in them.

    Raises:
        ValueError: A setting or a dictionary cannot be used.
    """
    if cfg.get("strategy"):
        kind = cfg.strategy.get("type")
        raise ValueError(f"strategy={kind} is not supported; remove it: jobs train by DDP")
    check_dictionaries(cfg.get("model"))
    use_checked_reading()
    use_recompute()
    use_visualization_hook(cfg)
    if compiled := cfg.pop("compile", None):
        options = compiled if isinstance(compiled, Mapping) else {}
        hook = {"type": "mms_ocr.CompileHook", **options}
        cfg.custom_hooks = [*(cfg.get("custom_hooks") or []), hook]
    join_job(cfg)
    if cfg.launcher != "none" and not torch.cuda.is_available():
        # MMEngine would give the wrapper the index of a GPU.
        wrapper = dict(type="MMDistributedDataParallel", broadcast_buffers=False)
        settings = cfg.get("model_wrapper_cfg") or {}
        cfg.model_wrapper_cfg = {**wrapper, **settings, "device_ids": None}
    runner = ConfigKeepingRunner.from_cfg(cfg)
    runner.logger.addFilter(_is_relevant)
    write_results_once(runner)
    find_resume_point(runner)
    prepare_loading(runner)
    return runner


class ConfigKeepingRunner(Runner):
    """MMEngine's runner, which does not overwrite the config that it was started with."""

    def dump_config(self) -> None:
        """Write the config to the work folder, unless it or its base was read from there."""
        path = Path(self.work_dir, os.path.basename(self.cfg.filename or ""))
        # MMEngine keeps the text of a config and of its bases, each after a line with its path.
        sources = filter(os.path.isfile, [self.cfg.filename or "", *self.cfg.text.splitlines()])
        if not path.is_file() or not any(map(path.samefile, sources)):
            super().dump_config()

    def build_logger(self, *args: Any, **kwargs: Any) -> MMLogger:
        """Build the logger as MMEngine does; escape what a text file cannot hold."""
        logger = super().build_logger(*args, **kwargs)
        for handler in logger.handlers:
            if isinstance(handler, logging.FileHandler) and handler.stream is not None:
                handler.stream.reconfigure(encoding="utf-8", errors="backslashreplace")
        return logger


def _is_relevant(record: logging.LogRecord) -> bool:
    """Return False for MMEngine's lines per parameter and for its hints for developers."""
    message = record.getMessage()
    starts = ("paramwise_options", '"FileClient" will', '"HardDiskBackend" is')
    return not (message.startswith(starts) or message.endswith("its requires_grad=False"))
