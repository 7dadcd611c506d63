"""What training and testing share: options, the config, and the runner."""

from __future__ import annotations

import argparse
import logging
import os
from collections.abc import Iterator, Mapping, Sequence
from pathlib import Path
from typing import Any

import torch
from mmengine import dist
from mmengine.config import Config, DictAction
from mmengine.hooks import LoggerHook
from mmengine.runner import Runner

import mms_ocr.registry  # noqa: F401  (makes the scope known before any config is read)
from mms_ocr.apis.joining import MPI_LOCAL_SIZES, join_processes
from mms_ocr.apis.overrides import merge_options
from mms_ocr.dictionaries import check_dictionaries
from mms_ocr.engine.fully_sharded import build_sharded_runner
from mms_ocr.engine.load_from import prepare_loading
from mms_ocr.engine.loops import use_resumable_loop
from mms_ocr.engine.recomputing import use_recompute
from mms_ocr.engine.resuming import find_resume_point, use_checked_reading

__all__ = [
    "add_shared_options",
    "build_runner",
    "check_data",
    "fit_to_machine",
    "join_job",
    "read_config",
    "set_data",
]

# What running the user's config, and merging it with those that it inherits from, may raise.
_CONFIG_ERRORS = (AttributeError, KeyError, NameError, SyntaxError, TypeError)
# Where launchers tell how many processes they started on this machine.
_PROCESSES = ("LOCAL_WORLD_SIZE", *MPI_LOCAL_SIZES, "SLURM_NTASKS_PER_NODE")
_PARTS = ("train", "val", "test")
# Data sets that make their words by themselves.
_RENDERED = ("RenderedWordDataset",)
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
    # torchrun before 2.0 passes it; it is told by the environment too.
    parser.add_argument("--local_rank", "--local-rank", type=int, default=0, help=argparse.SUPPRESS)
    parser.add_argument(
        "--traceback", action="store_true", help="show where in the code an error arose"
    )


def read_config(args: argparse.Namespace, parts: Sequence[str] = _PARTS) -> Config:
    """The config of the command line, with the command line's changes.

    Args:
        args: The options of :func:`add_shared_options`.
        parts: Of the loaders that are used: ``'train'``, ``'val'``, ``'test'``.

    Raises:
        FileNotFoundError: There is no such config.
        ImportError: A module that the config imports is not here.
        ValueError: The config or an option is wrong, or ``--data`` does not reach its data sets.
    """
    if not Path(args.config).is_file():
        raise FileNotFoundError(f"no config file {args.config}; those that ship stand in configs/")
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
        told = error.args[0] if isinstance(error, KeyError) and error.args else error
        raise ValueError(f"{args.config} cannot be read: {told}") from error
    cfg.launcher = args.launcher
    if args.data:
        set_data(cfg, args.data, parts)
    merge_options(cfg, args.cfg_options)
    if args.work_dir:
        cfg.work_dir = args.work_dir
    elif not cfg.get("work_dir"):
        cfg.work_dir = str(Path("work_dirs", Path(args.config).stem))
    if Path(cfg.work_dir).is_file():
        raise NotADirectoryError(f"the work folder {cfg.work_dir} is a file; give another")
    fit_to_machine(cfg)
    return cfg


def _first_cause(error: BaseException) -> BaseException:
    """What an error began with: MMEngine tells its search path in place of the missing module."""
    while earlier := error.__cause__ or error.__context__:
        error = earlier
    return error


def set_data(cfg: Config, paths: Sequence[str], parts: Sequence[str] = _PARTS) -> None:
    """Let every data set of a config that reads files read ``paths``, also inside of wrappers.

    Args:
        cfg: The config; changed.
        paths: What is read.
        parts: Of the loaders that are used: ``'train'``, ``'val'``, ``'test'``.

    Raises:
        ValueError: No data set reads files, or one of a loader that is used reads others, which
            have no ``path``.
    """
    reached = False
    for part in _PARTS:
        for place, dataset in _data_sets(cfg, part):
            kind = _type_name(dataset)
            if "path" in dataset:
                dataset["path"] = list(paths)
                reached = True
            elif part in parts and kind not in _RENDERED:
                raise ValueError(
                    f"--data does not reach {place} of {cfg.filename}: {kind} has no path; write "
                    "its data into the config, and leave --data out"
                )
    if not reached:
        raise ValueError(
            f"--data was given, and {cfg.filename} reads no files; use a config of your own data, "
            f"such as {_like_it_of_files(Path(cfg.filename))}"
        )


def check_data(cfg: Config, parts: Sequence[str]) -> None:
    """Refuse a config whose word images are not there, such as those that shipped ones name.

    Data sets that come as pairs, or in a form of their own, tell by themselves what they lack.

    Args:
        cfg: The config.
        parts: Of the loaders to look at: ``'train'``, ``'val'``, ``'test'``.

    Raises:
        FileNotFoundError: The path of a data set leads nowhere.
    """
    for part in parts:
        for _, dataset in _data_sets(cfg, part):
            path, kind = dataset.get("path"), _type_name(dataset)
            if kind == "WordImageDataset" and isinstance(path, str) and not os.path.exists(path):
                raise FileNotFoundError(
                    f"there is no data at {path!r}, where {cfg.filename} looks for it: give "
                    "--data PATH …"
                )


def _like_it_of_files(config: Path) -> Path:
    """The config beside one of rendered words that reads files in their place."""
    stem = config.stem.removesuffix("_rendered")
    beside = [config.with_name(f"{stem}_{data}.py") for data in ("words", "pairs")]
    beside.append(Path("configs/mms/pretrain_vit_s_words.py"))
    return next((one for one in beside if one.is_file()), beside[-1])


def _data_sets(cfg: Config, part: str) -> Iterator[tuple[str, dict]]:
    """The data sets of a loader that wrap no others, each after its place in the config."""
    for name, loader in _loaders(cfg, part):
        yield from _innermost(f"{name}.dataset", loader.get("dataset"))


def _loaders(cfg: Config, part: str) -> Iterator[tuple[str, dict]]:
    """The loader of a part, or all of a list, each after its place in the config."""
    name = f"{part}_dataloader"
    given = cfg.get(name) or []
    if isinstance(given, dict):
        yield name, given
    else:
        yield from ((f"{name}.{number}", loader) for number, loader in enumerate(given))


def _innermost(place: str, dataset: Any) -> Iterator[tuple[str, dict]]:
    if isinstance(dataset, list | tuple):
        for number, part in enumerate(dataset):
            yield from _innermost(f"{place}.{number}", part)
    elif isinstance(dataset, dict):
        wrapped = [key for key in ("dataset", "datasets") if key in dataset]
        for key in wrapped:
            yield from _innermost(f"{place}.{key}", dataset[key])
        if not wrapped:
            yield place, dataset


def _type_name(dataset: Mapping) -> str:
    """The name of a type without its scope; a type may be a class."""
    kind = dataset.get("type")
    return getattr(kind, "__name__", str(kind)).rpartition(".")[2]


def fit_to_machine(cfg: Config) -> None:
    """No more loader workers than cores, which outlive a signal to stop; gloo without a GPU."""
    most = cores_of_process(cfg.get("launcher", "none"))
    for loader in (loader for part in _PARTS for _, loader in _loaders(cfg, part)):
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
    :class:`~mms_ocr.engine.CompileHook`; ``strategy`` parts it among processes, see
    :class:`~mms_ocr.engine.FullyShardedStrategy`. MMEngine's training loops give way to those that
    resume exactly. Where it is to resume and no checkpoint is named, the newest whole one is found.
    Checkpoints are read without running anything in them.

    Raises:
        FileNotFoundError: A dictionary file is missing.
        ValueError: A setting cannot be used on this machine, or a dictionary file is wrong.
    """
    check_dictionaries(cfg.get("model"))
    use_checked_reading()
    use_recompute()
    if cfg.get("train_cfg"):
        use_resumable_loop(cfg.train_cfg)
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
    runner = build_sharded_runner(cfg) if cfg.get("strategy") else Runner.from_cfg(cfg)
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
