"""What training and testing share: options, the config, and the runner."""

from __future__ import annotations

import argparse
import logging
import os
from collections.abc import Mapping, Sequence
from pathlib import Path

import torch
from mmengine import dist
from mmengine.config import Config, DictAction
from mmengine.config.utils import ConfigParsingError
from mmengine.hooks import LoggerHook
from mmengine.runner import Runner

import mms_ocr.registry  # noqa: F401  (makes the scope known before any config is read)
from mms_ocr.cli.data_option import PARTS, check_ends, loaders_of, set_data
from mms_ocr.cli.joining import MPI_LOCAL_SIZES, join_processes
from mms_ocr.engine.hooks.visualization_hook import use_visualization_hook
from mms_ocr.engine.load_from import prepare_loading
from mms_ocr.engine.recomputing import use_recompute
from mms_ocr.engine.resuming import find_resume_point, use_checked_reading
from mms_ocr.engine.runners import ConfigKeepingRunner
from mms_ocr.utils.cfg_options import merge_cfg_options
from mms_ocr.utils.dictionaries import check_dictionaries
from mms_ocr.utils.escaping import is_unicode

# What running the user's config, and merging it with those that it inherits from, may raise.
_CONFIG_ERRORS = (
    AssertionError, AttributeError, ConfigParsingError, KeyError, NameError, SyntaxError, TypeError,
)  # fmt: skip
# Where launchers say how many processes they started on this machine.
_PROCESSES = ("LOCAL_WORLD_SIZE", *MPI_LOCAL_SIZES, "SLURM_NTASKS_PER_NODE")
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
        nargs="*",
        action=DictAction,
        metavar="KEY=VALUE",
        help="change any setting of the config, such as train_dataloader.batch_size=64",
    )
    parser.add_argument("--launcher", choices=LAUNCHERS, default="none", help="job launcher")
    # torchrun before 2.0 passes it; it is in the environment too.
    parser.add_argument("--local_rank", "--local-rank", type=int, default=0, help=argparse.SUPPRESS)
    parser.add_argument(
        "--traceback", action="store_true", help="show where in the code an error arose"
    )


def read_config(args: argparse.Namespace, parts: Sequence[str] = PARTS) -> Config:
    """Read the config of the command line, and apply the changes of the command line.

    Args:
        args: The options of :func:`add_shared_options`.
        parts: Of the loaders that are used: ``'train'``, ``'val'``, ``'test'``.

    Raises:
        FileNotFoundError: There is no such config.
        ImportError: A module that the config imports is not here.
        ValueError: The config or an option is wrong, or ``--data`` does not reach its data sets.
    """
    if not Path(args.config).is_file():
        raise FileNotFoundError(f"no config file {args.config}; the bundled ones are in configs/")
    try:
        cfg = Config.fromfile(args.config)
    except ImportError as error:
        raise ImportError(f"{args.config} cannot be used here: {_first_cause(error)}") from error
    except FileNotFoundError as error:
        raise FileNotFoundError(
            f"{args.config} cannot be read: it needs {error.filename or error}, which is not "
            "there; a config outside of configs/ inherits by _base_ = "
            "'mms_ocr::mms/pretrain_vit_s.py' and the like, from an mms_ocr that pip has installed"
        ) from error
    except _CONFIG_ERRORS as error:
        reason = error.args[0] if isinstance(error, KeyError) and error.args else error
        raise ValueError(f"{args.config} cannot be read: {reason}") from error
    cfg.launcher = args.launcher
    if args.data:
        set_data(cfg, args.data, parts)
    merge_cfg_options(cfg, args.cfg_options)
    if args.work_dir:
        cfg.work_dir = args.work_dir
    elif not cfg.get("work_dir"):
        cfg.work_dir = str(Path("work_dirs", Path(args.config).stem))
    if Path(cfg.work_dir).is_file():
        raise NotADirectoryError(f"the work folder {cfg.work_dir} is a file; give another")
    check_ends(cfg)
    if not is_unicode(os.path.abspath(cfg.work_dir)):
        raise ValueError(
            f"the work folder {os.path.abspath(cfg.work_dir)} has a name that is not UTF-8, and "
            "MMEngine cannot write pictures there; give another --work-dir"
        )
    fit_to_machine(cfg)
    return cfg


def _first_cause(error: BaseException) -> BaseException:
    """What an error began with: MMEngine tells its search path in place of the missing module."""
    while earlier := error.__cause__ or error.__context__:
        error = earlier
    return error


def fit_to_machine(cfg: Config) -> None:
    """No more loader workers than cores, which outlive a signal to stop; gloo without a GPU."""
    most = cores_of_process(cfg.get("launcher", "none"))
    for loader in (loader for part in PARTS for _, loader in loaders_of(cfg, part)):
        if loader.get("num_workers", 0) > most:
            loader["num_workers"] = most
        if not loader.get("num_workers") and loader.get("persistent_workers"):
            loader["persistent_workers"] = False  # there are none to keep, and torch refuses it
        loader.setdefault("worker_init_fn", dict(type="mms_ocr.start_worker"))
        for function in ("collate_fn", "worker_init_fn"):
            if isinstance(loader.get(function), dict):
                # MMEngine's mark of a config that was inherited from another package.
                loader[function].pop("_scope_", None)
        if not torch.cuda.is_available():
            loader["pin_memory"] = False
    if not torch.cuda.is_available():
        env = cfg.setdefault("env_cfg", {})
        env.setdefault("dist_cfg", {})["backend"] = "gloo"


def cores_of_process(launcher: str) -> int:
    """How many cores this process of a job has for itself, at least 1."""
    cores = len(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else os.cpu_count()
    if launcher == "slurm" and "SLURM_CPUS_PER_TASK" in os.environ:
        # Where slurm binds tasks to cores, those it sees are its own already.
        return max(1, min(cores or 1, int(os.environ["SLURM_CPUS_PER_TASK"])))
    processes = next((os.environ[name] for name in _PROCESSES if name in os.environ), "1")
    return max(1, (cores or 1) // int(processes)) if launcher != "none" else max(1, cores or 1)


def join_job(cfg: Config) -> None:
    """Join the processes of the job that ``cfg.launcher`` started, if it started one.

    Raises:
        ValueError: The launcher's variables are missing, or there are too few GPUs.
    """
    if cfg.launcher != "none" and not dist.is_distributed():
        joining = dict((cfg.get("env_cfg") or {}).get("dist_cfg") or {})
        join_processes(cfg.launcher, joining.get("backend", "nccl"), joining.get("timeout"))


def build_runner(cfg: Config) -> Runner:
    """The runner of a config, whose processes are joined here if they are not yet.

    ``compile`` of the config compiles the layers of the model, see
    :class:`~mms_ocr.engine.CompileHook`. Where it is to resume and no checkpoint is named, the
    newest whole one is found. Checkpoints are read without running anything in them.

    Raises:
        FileNotFoundError: A dictionary file is missing.
        ValueError: A setting cannot be used on this machine, or a dictionary file is wrong.
    """
    if cfg.get("strategy"):
        raise ValueError(
            f"strategy={cfg.strategy.get('type')} is not supported: processes of a job hold whole "
            "models (DDP); remove strategy from the config"
        )
    check_dictionaries(cfg.get("model"))
    use_checked_reading()
    use_recompute()
    use_visualization_hook(cfg)
    compiled = cfg.pop("compile", None)
    if compiled:
        options = compiled if isinstance(compiled, Mapping) else {}
        hook = {"type": "mms_ocr.CompileHook", **options}
        cfg.custom_hooks = [*(cfg.get("custom_hooks") or []), hook]
    join_job(cfg)
    if cfg.launcher != "none" and not torch.cuda.is_available():
        # MMEngine would hand the wrapper a GPU's number.
        cfg.model_wrapper_cfg = {
            "type": "MMDistributedDataParallel",
            "broadcast_buffers": False,
            **(cfg.get("model_wrapper_cfg") or {}),
            "device_ids": None,
        }
    runner = ConfigKeepingRunner.from_cfg(cfg)
    runner.logger.addFilter(_is_of_interest)
    if not dist.is_main_process():
        for hook in runner.hooks:
            if isinstance(hook, LoggerHook):
                # By MMEngine all processes write the results of a test to one file at one time.
                hook.after_test_epoch = _write_nothing
    find_resume_point(runner)
    prepare_loading(runner)
    return runner


def _write_nothing(runner: Runner, metrics: dict[str, float] | None = None) -> None:
    """In place of writing the results of a test."""


def _is_of_interest(record: logging.LogRecord) -> bool:
    """Keeps MMEngine's lines per parameter, and its remarks to developers, out of the log."""
    message = record.getMessage()
    return not message.startswith(
        ("paramwise_options", '"FileClient" will', '"HardDiskBackend" is')
    ) and not message.endswith("is skipped since its requires_grad=False")
