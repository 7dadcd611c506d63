"""``tools/train.py``: train what a config describes."""

from __future__ import annotations

import argparse
import math
import os
from collections.abc import Sequence

import torch
from mmengine import dist
from mmengine.config import Config

from mms_ocr.cli.data_option import check_data, check_holdout
from mms_ocr.cli.joining import leave_together
from mms_ocr.cli.launching import add_shared_options, build_runner, join_job, read_config
from mms_ocr.engine import StopOnSignalHook, set_epochs, set_iterations
from mms_ocr.engine.failures import explain_failures
from mms_ocr.engine.hooks.stop_hook import EXIT_AGAIN
from mms_ocr.engine.loops import end_workers, use_resumable_loop
from mms_ocr.registry import DATASETS, nested_settings, type_name
from mms_ocr.utils.errors import run_program


def parse_args(argv: Sequence[str] | None = None) -> argparse.Namespace:
    """Parse the options of ``tools/train.py``."""
    parser = argparse.ArgumentParser(description="Train what a config describes.")
    add_shared_options(parser)
    length = parser.add_mutually_exclusive_group()
    length.add_argument(
        "--iterations", type=int, help="length of the run; warm-up, decay and intervals follow"
    )
    length.add_argument(
        "--epochs", type=float, help="the same, in passes of all processes over the training set"
    )
    parser.add_argument(
        "--resume", nargs="?", const="auto", metavar="CHECKPOINT",
        help="resume from a checkpoint; without a value or with auto, from the newest intact one "
        "in the work folder; if there is none, start from load_from or from scratch"
    )  # fmt: skip
    return parser.parse_args(argv)


def train(args: argparse.Namespace) -> int:
    """Train; return 75 if a signal stopped the run, which ``--resume`` continues, else 0.

    Raises:
        FileNotFoundError: The config, the data or the checkpoint is missing.
        ValueError: A setting cannot be used.
        TrainingError: Training cannot continue.
    """
    cfg = read_config(args, ("train", "val"))
    for part in ("model", "train_dataloader"):
        if not cfg.get(part):
            raise ValueError(f"{args.config} has no {part}: it describes no training")
    check_data(cfg, ("train", "val"))
    check_holdout(cfg)
    check_precision(cfg)
    if args.resume not in (None, "auto") and not os.path.isfile(args.resume):
        raise FileNotFoundError(f"no checkpoint {args.resume} to resume from")
    with explain_failures():
        join_job(cfg)
        set_length(cfg, args.iterations, args.epochs)
        # Again, since settings of the command line are not scaled with the length of the run.
        cfg.merge_from_dict(args.cfg_options or {})
        if args.resume:
            cfg.resume = args.resume
        count_accumulation(cfg)
        check_initial_weights(cfg)
        if cfg.get("train_cfg"):
            use_resumable_loop(cfg.train_cfg)
        runner = build_runner(cfg)
        try:
            runner.train()
        finally:
            end_workers(runner._train_loop, runner._val_loop)
    stopped = any(hook.stopped for hook in runner.hooks if isinstance(hook, StopOnSignalHook))
    leave_together(stopped)
    return EXIT_AGAIN if stopped else 0


def set_length(cfg: Config, iterations: int | None, epochs: float | None) -> None:
    """Change the length of a run, in iterations or in passes over the training set.

    Passes are of all processes of the job together, which must have joined before. Raises
    ValueError if the length is not positive, or is not what the config counts.
    """
    if epochs is not None and not 0 < epochs < math.inf:
        raise ValueError(f"--epochs must be positive, got {epochs}")
    if epochs is not None and "max_epochs" in (cfg.get("train_cfg") or {}):
        set_epochs(cfg, epochs)
    elif epochs is not None:
        loader = cfg.train_dataloader
        batches = loader.get("num_batch_per_epoch")
        if not batches:
            images = len(DATASETS.build(loader.dataset))
            batches = images / (loader.batch_size * dist.get_world_size())
        set_iterations(cfg, max(1, math.ceil(epochs * batches)))
    elif iterations is not None:
        set_iterations(cfg, iterations)


def count_accumulation(cfg: Config) -> None:
    """Scale the learning rate by the images of an optimizer step, not by those of a batch."""
    batches = (cfg.get("optim_wrapper") or {}).get("accumulative_counts", 1)
    scaling = cfg.get("auto_scale_lr") or {}
    if batches > 1 and scaling.get("enable"):
        # MMEngine divides the images of one batch by it.
        scaling["base_batch_size"] = scaling["base_batch_size"] / batches


def check_precision(cfg: Config) -> None:
    """Raise ValueError if the optimizer wrapper needs a GPU and there is none."""
    wrapper = type_name(cfg.get("optim_wrapper") or {})
    if wrapper == "AmpOptimWrapper" and not torch.cuda.is_available():
        raise ValueError(
            "AmpOptimWrapper needs a GPU, and torch finds none; set optim_wrapper.type to "
            "mms_ocr.Bf16OptimWrapper or mms_ocr.Fp16OptimWrapper"
        )


def check_initial_weights(cfg: Config) -> None:
    """Raise ValueError if checkpoints of the run would replace those that it starts from."""
    if cfg.get("resume"):
        return
    initial = [settings.get("checkpoint") for settings in nested_settings(cfg.model)]
    for path in [cfg.get("load_from"), *initial]:
        if not isinstance(path, str):
            continue
        folder, name = os.path.split(os.path.abspath(path))
        exists = os.path.isfile(path) and os.path.realpath(folder) == os.path.realpath(cfg.work_dir)
        if exists and name.startswith(("iter_", "epoch_", "best_")):
            raise ValueError(
                f"training starts from {path}, and its own checkpoints would replace it in "
                f"{cfg.work_dir}: give another --work-dir, or --resume to continue that run"
            )


def main(argv: Sequence[str] | None = None) -> int:
    """Train and return the exit status."""
    return run_program("train.py", lambda: parse_args(argv), train)
