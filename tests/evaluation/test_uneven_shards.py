"""Every metric counts each image once where processes share images that do not divide evenly."""

import json
import multiprocessing
import os
import socket

import numpy as np
import pytest
import torch
from mmengine.dataset import DefaultSampler
from mmengine.evaluator import BaseMetric

import mms_ocr  # noqa: F401
from mms_ocr.evaluation import PSNR, SSIM, ForegroundMetric, MaskedError

IMAGES = 5  # over 2 and over 3 processes


def masked_errors():
    return [dict(masked_error=dict(span=0.1 * i, random=1.0 / (i + 1))) for i in range(IMAGES)]


def masks():
    rng = np.random.default_rng(0)
    return [
        {name: dict(data=rng.integers(0, 2, (4, 5 + i))) for name in ("pred_sem_seg", "gt_sem_seg")}
        for i in range(IMAGES)
    ]


def pairs():
    rng = torch.Generator().manual_seed(0)
    truths = [torch.rand(3, 12, 16, generator=rng) for _ in range(IMAGES)]
    return [
        dict(sample_idx=i, subset="ab"[i % 2], gt_img=truth, pred_img=truth * (0.9 - 0.1 * i))
        for i, truth in enumerate(truths)
    ]


METRICS = {
    "MaskedError": (MaskedError, masked_errors),
    "ForegroundMetric": (ForegroundMetric, masks),
    "PSNR": (lambda: PSNR(batch_size=2), pairs),
    "SSIM": (lambda: SSIM(batch_size=2), pairs),
}


def scores(metric: BaseMetric, samples: list[dict]) -> dict[str, float]:
    """Compute the metric of this process's share, two images at a time."""
    mine = [samples[i] for i in DefaultSampler(samples, shuffle=False)]
    for start in range(0, len(mine), 2):
        metric.process(None, mine[start : start + 2])
    return metric.evaluate(len(samples))


def be_rank(rank, count, port, folder):
    os.environ.update(MASTER_ADDR="127.0.0.1", MASTER_PORT=str(port))
    torch.distributed.init_process_group("gloo", rank=rank, world_size=count)
    for name, (kind, samples) in METRICS.items():
        result = scores(kind(), samples())
        (folder / f"{name}_{rank}.json").write_text(json.dumps(result))
    torch.distributed.destroy_process_group()
    os._exit(0)


@pytest.mark.parametrize("count", [2, 3])
def test_each_image_is_counted_once(tmp_path, count):
    pytest.importorskip("skimage")
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        port = probe.getsockname()[1]
    context = multiprocessing.get_context("fork")
    ranks = [
        context.Process(target=be_rank, args=(rank, count, port, tmp_path)) for rank in range(count)
    ]
    for process in ranks:
        process.start()
    for process in ranks:
        process.join(100)
    assert [process.exitcode for process in ranks] == [0] * count
    for name, (kind, samples) in METRICS.items():
        expected = scores(kind(), samples())
        for rank in range(count):
            result = json.loads((tmp_path / f"{name}_{rank}.json").read_text())
            assert result == pytest.approx(expected, rel=1e-9), name
