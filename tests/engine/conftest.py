"""Small runs of MMEngine's Runner."""

import pytest
import torch
from mmengine.evaluator import Evaluator
from mmengine.runner import Runner
from small_runs import Line, Numbers, Score

from mms_ocr.engine.resuming import use_checked_reading


@pytest.fixture
def build(tmp_path, monkeypatch):
    monkeypatch.setattr("yapf.yapflib.yapf_api.FormatCode", lambda text, **_: (text, True))
    monkeypatch.setattr("mmengine.runner.runner.collect_env", dict)
    built = []

    def make(
        folder="run",
        dataset=None,
        iterations=6,
        counts=1,
        batch_size=2,
        scores=(),
        train_cfg=None,
        **settings,
    ):
        torch.manual_seed(0)
        hook = dict(type="mms_ocr.AtomicCheckpointHook", by_epoch=False, interval=1)
        loader = dict(
            dataset=dataset or Numbers(),
            sampler=settings.pop("sampler", None) or dict(type="mms_ocr.EndlessSampler"),
            batch_size=batch_size,
            num_workers=0,
            drop_last=settings.pop("drop_last", False),
        )
        validation = {}
        if scores:
            metric = Score()
            metric.scores = list(scores)
            validation = dict(
                val_dataloader=dict(
                    loader, dataset=Numbers(), sampler=dict(type="DefaultSampler", shuffle=False)
                ),
                val_cfg=dict(type="ValLoop"),
                val_evaluator=Evaluator([metric]),
            )
        runner = Runner(
            model=Line(),
            work_dir=str(tmp_path / folder),
            experiment_name=f"run{len(built)}",
            train_dataloader=loader,
            train_cfg=train_cfg
            or dict(type="mms_ocr.ResumableTrainLoop", max_iters=iterations, val_interval=2),
            optim_wrapper=dict(
                type="OptimWrapper",
                optimizer=dict(type="Adam", lr=0.1),
                accumulative_counts=counts,
            ),
            default_hooks=dict(
                checkpoint=hook | settings.pop("checkpoint", {}),
                exact_resume=dict(type="mms_ocr.ExactResumeHook"),
                stop=dict(type="mms_ocr.StopOnSignalHook"),
                logger=None,
            ),
            default_scope="mms_ocr",
            log_level="ERROR",
            randomness=dict(seed=3),
            **validation,
            **settings,
        )
        built.append(runner)
        return runner

    use_checked_reading()
    return make
