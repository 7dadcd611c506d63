"""Helpers for tests of distributed runs: processes of one job, and tiny runs.

Processes are forked from the one that runs the tests, which has imported everything: starting
Python afresh would take most of the time.
"""

import contextlib
import faulthandler
import json
import multiprocessing
import os
import socket
import sys
import traceback
from pathlib import Path

import cv2
import numpy as np
import torch
from mmengine.dist import get_dist_info
from mmengine.hooks import Hook
from mmengine.logging import MessageHub

import mms_ocr.datasets
import mms_ocr.evaluation
import mms_ocr.models  # noqa: F401
from mms_ocr.cli import training
from mms_ocr.masking import MaskViews, MultiMask
from mms_ocr.models.weights import read_checkpoint
from mms_ocr.registry import HOOKS, TASK_UTILS

ROOT = Path(__file__).resolve().parents[2]
SECONDS = 180  # a job that takes longer hangs


def in_processes(count, function, *arguments):
    """Call ``function(*arguments)`` in each of ``count`` processes of a job; return exit statuses.

    A single process is also a separate one, which belongs to no job.
    """
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        port = probe.getsockname()[1]
    context = multiprocessing.get_context("fork")
    started = [
        context.Process(target=_be_rank, args=(rank, count, port, function, arguments))
        for rank in range(count)
    ]
    for process in started:
        process.start()
    for process in started:
        process.join(SECONDS)
        if process.exitcode is None:
            process.kill()
            process.join()
    return [process.exitcode for process in started]


def _be_rank(rank, count, port, function, arguments):
    torch.set_num_threads(1)
    if count > 1:
        os.environ.update(RANK=str(rank), LOCAL_RANK=str(rank), WORLD_SIZE=str(count))
        os.environ.update(LOCAL_WORLD_SIZE=str(count))
        os.environ.update(MASTER_ADDR="127.0.0.1", MASTER_PORT=str(port))
    faulthandler.dump_traceback_later(SECONDS - 20)
    status = 1
    try:
        status = function(*arguments) or 0
    except BaseException:
        traceback.print_exc()
    sys.stdout.flush()
    sys.stderr.flush()
    os._exit(status)


@TASK_UTILS.register_module()
class PartOfMasks(MultiMask):
    """The masks of this process's part of a step, cut out of those of the whole step.

    Args:
        parts: Batches that a process takes one after another for one step of the optimizer.
        **kwargs: Of MultiMask.
    """

    def __init__(self, parts=1, **kwargs):
        super().__init__(**kwargs)
        self.parts = parts

    def views(self, batch_size, device="cpu", rng=None):
        rank, world_size = get_dist_info()
        iteration = MessageHub.get_current_instance().get_info("iter", 0)
        step, part = divmod(iteration, self.parts)
        images = batch_size * world_size * self.parts
        whole = super().views(images, device, torch.Generator().manual_seed(step))
        # Of the endless stream of images every rank takes each world_size-th.
        mine = torch.arange(images).view(self.parts, batch_size, world_size)[part, :, rank]
        places = torch.full((images,), -1)
        places[mine] = torch.arange(batch_size)
        groups = []
        for mask, strategies, count, members in zip(
            whole.masks, whole.strategies, whole.num_removed, whole.images
        ):
            kept = places[members] >= 0
            if kept.any():
                groups.append((mask[kept], strategies[kept], count, places[members[kept]]))
        masks, strategies, counts, members = zip(*groups)
        return MaskViews(
            masks=masks,
            strategies=strategies,
            names=whole.names,
            weights=tuple(len(mask) / batch_size for mask in masks),
            num_removed=counts,
            guaranteed=(),
            images=members,
        )


@HOOKS.register_module()
class WriteSteps(Hook):
    """Writes loss and masks' sum of every iteration of this rank to a file of its own."""

    def after_train_iter(self, runner, batch_idx, data_batch=None, outputs=None):
        path = Path(runner.work_dir, f"steps_{runner.rank}.jsonl")
        with path.open("a") as file:
            file.write(json.dumps(float(outputs["loss"])) + "\n")


@HOOKS.register_module()
class WriteMasks(Hook):
    """Writes the masks of every iteration of this rank to a file of its own."""

    def before_train(self, runner):
        path = Path(runner.work_dir, f"masks_{runner.rank}.jsonl")
        model = getattr(runner.model, "module", runner.model)
        draw = model.data_preprocessor.mask_generator.views

        def views(*arguments):
            drawn = draw(*arguments)
            with path.open("a") as file:
                file.write(json.dumps(torch.cat(drawn.masks).int().tolist()) + "\n")
            return drawn

        model.data_preprocessor.mask_generator.views = views


PRETRAINING = """
_base_ = ["{root}/configs/mms/pretrain_vit_s_words.py"]
model = dict(
    backbone=dict(
        arch=dict(
            _delete_=True, embed_dims=24, num_layers=2, num_heads=3, feedforward_channels=48
        ),
    ),
    neck=dict(decoder_embed_dim=16, decoder_depth=1, decoder_num_heads=4, predict_share=1.0),
    data_preprocessor=dict(mask_generator=dict(type="mms_ocr.PartOfMasks", parts={parts})),
)
"""
RECOGNITION = """
_base_ = ["{root}/configs/textrecog/mms_vit_t_ar_words.py"]
model = dict(
    backbone=dict(
        drop_path_rate=0.0,
        arch=dict(
            _delete_=True, embed_dims=24, num_layers=1, num_heads=3, feedforward_channels=48
        ),
    ),
    decoder=dict(
        n_layers=1, n_head=2, d_input=24, d_model=16, d_embedding=16, d_k=8, d_v=8, d_inner=32,
        dropout=0.0, max_seq_len=10, auxiliary=dict(dropout=0.0),
    ),
)
"""
SHARED = """
train_dataloader = dict(
    batch_size={batch_size}, num_workers=0, persistent_workers=False,
    sampler=dict(type="mms_ocr.EndlessSampler", shuffle=True, seed=3),
    dataset=dict(path="{data}", holdout=None, pipeline={pipeline}),
)
val_dataloader = dict(
    batch_size=2, num_workers=0, persistent_workers=False,
    dataset=dict(path="{data}", holdout=None, indices={held_out}),
)
test_dataloader = val_dataloader
custom_hooks = [dict(type="mms_ocr.WriteSteps")]
train_cfg = dict(max_iters={iterations}, val_interval={iterations})
max_iters = {iterations}
default_hooks = dict(checkpoint=dict(interval={iterations}), logger=dict(interval=1))
param_scheduler = []
auto_scale_lr = dict(enable=False)
optim_wrapper = dict(
    type="OptimWrapper",
    # Adam takes a gradient that is rounded otherwise for one that points elsewhere.
    optimizer=dict(_delete_=True, {optimizer}),
    paramwise_cfg=dict(_delete_=True),
    {wrapper}
)
"""
PLAIN = (
    "[dict(type='mms_ocr.ResizeWordImage', size=(32, 128)), "
    "dict(type='mms_ocr.PackWordImage', meta_keys=())]"
)
LABELLED = (
    "[dict(type='mms_ocr.ResizeWordImage', size=(32, 128)), dict(type='mms_ocr.PackLabelledWord')]"
)


def write_words(folder, count=24):
    """Word images of noise with labels of 1 to 8 letters; returns the annotation file."""
    folder.mkdir(parents=True, exist_ok=True)
    rng = np.random.default_rng(0)
    lines = []
    for number in range(count):
        pixels = rng.integers(0, 256, (8, 32, 3), dtype=np.uint8)
        cv2.imwrite(str(folder / f"{number:03}.png"), pixels)
        text = "".join(rng.choice(list("abcdefgh"), number % 8 + 1))
        lines.append(json.dumps(dict(filename=f"{number:03}.png", text=text)))
    path = folder / "words.jsonl"
    path.write_text("\n".join(lines) + "\n")
    return path


def write_config(path, data, task="pretraining", **settings):
    """Write the config of a tiny run; return its path."""
    parts, pipeline = (PRETRAINING, PLAIN) if task == "pretraining" else (RECOGNITION, LABELLED)
    values = dict(parts=1, wrapper="", iterations=4, held_out=5, batch_size=8)
    values |= dict(optimizer="type='SGD', lr=0.1, momentum=0.9") | settings
    extra = values.pop("extra", "")
    text = (parts + SHARED).format(root=ROOT, data=data, pipeline=pipeline, **values)
    path.write_text(text + extra)
    return path


def train(count, config, work_dir, *arguments, statuses=None):
    """Train in ``count`` processes; return every rank's losses, and the last checkpoint."""
    launcher = ["--launcher", "pytorch"] if count > 1 else []
    options = [str(config), "--work-dir", str(work_dir), *launcher, *arguments]
    ended = in_processes(count, training.main, options)
    assert ended == (statuses or [0] * count)
    losses = [
        [json.loads(line) for line in (work_dir / f"steps_{rank}.jsonl").read_text().splitlines()]
        for rank in range(count)
    ]
    last = max(work_dir.glob("iter_*.pth"), key=lambda path: int(path.stem[5:]))
    with contextlib.suppress(ValueError):
        return losses, read_checkpoint(last)
    raise AssertionError(f"{last} cannot be read")
