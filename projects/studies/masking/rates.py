"""Cost of the study: views and words per second and core, and core-hours."""

from __future__ import annotations

import tempfile
import time
from collections.abc import Sequence

import torch
from mmengine.config import Config
from mmengine.runner import Runner
from pixels import segmentation_config, upscaling_config
from plan import (
    BATCH_PIXELS,
    BATCH_VIEWS,
    BATCH_WORDS,
    VARIANTS,
    Chain,
    Settings,
    finetuning_config,
    pretraining_config,
)

from mms_ocr.evaluation.benchmark_scores import markdown_table


def measure_step(cfg: Config, steps: int = 4) -> float:
    """Processor seconds of a training step, reading included; the first step is not counted."""
    with tempfile.TemporaryDirectory() as folder:
        cfg.work_dir, cfg.log_level = folder, "ERROR"
        runner = Runner.from_cfg(cfg)
        optimizer = runner.build_optim_wrapper(runner.optim_wrapper)
        batches = iter(runner.build_dataloader(cfg.train_dataloader, seed=0))
        runner.model.train().train_step(next(batches), optimizer)
        start = time.process_time()
        for _ in range(steps):
            runner.model.train_step(next(batches), optimizer)
        return (time.process_time() - start) / steps


def estimate_cost(chains: Sequence[Chain], settings: Settings) -> str:
    """Make a Markdown table of rates and core-hours of all trainings, without tests and probes."""
    torch.set_num_threads(1)
    rows = [["training", "per second and core", "runs", "core-hours"]]
    trainings = []
    for name in dict.fromkeys(chain.variant for chain in chains):
        if VARIANTS[name].masks is not None:
            cfg = pretraining_config(Chain(name, 0), settings)
            count = sum(chain.variant == name for chain in chains)
            title = f"pretraining, {VARIANTS[name].title} (views)"
            trainings.append((title, cfg, BATCH_VIEWS, settings.views, count))
    cfg = finetuning_config(chains[0], settings, "all", None)
    trainings.append(("fine-tuning (words)", cfg, BATCH_WORDS, settings.words, 3 * len(chains)))
    for title, configure, step in (
        ("segmentor (words)", segmentation_config, "segmentation"),
        ("upscaler (words)", upscaling_config, "upscaling"),
    ):
        count = sum(step in chain.steps for chain in chains)
        if count:
            cfg = configure(chains[0], settings, None)
            trainings.append((title, cfg, BATCH_PIXELS, settings.pixel_words, count))
    total = 0.0
    for title, cfg, batch, length, count in trainings:
        rate = batch / measure_step(cfg)
        hours = count * length / rate / 3600
        total += hours
        rows.append([title, f"{rate:.0f}", str(count), f"{hours:.1f}"])
    return markdown_table([*rows, ["all", "", "", f"{total:.1f}"]])
