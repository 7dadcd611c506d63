"""Epochs end, also with samplers that have no end; a run stops and resumes within one."""

import os
import signal

import pytest
import torch
from mmengine.config import ConfigDict
from small_runs import Score, names, read_by, stop_after

from mms_ocr.engine import StopOnSignalHook
from mms_ocr.engine.loops import use_resumable_loop
from mms_ocr.models.weights import read_checkpoint

ENDLESS = dict(type="mms_ocr.EndlessSampler")
SAMPLERS = [ENDLESS, dict(type="DefaultSampler", shuffle=True), dict(type="InfiniteSampler")]
BY_EPOCH = dict(by_epoch=True)


def epochs(number, **settings):
    return dict(type="mms_ocr.ResumableEpochLoop", max_epochs=number, **settings)


def weights(path):
    return read_checkpoint(path)["state_dict"]


@pytest.mark.parametrize("sampler", SAMPLERS, ids=lambda sampler: sampler["type"])
def test_every_epoch_reads_every_sample_once_and_validates(build, tmp_path, sampler):
    runner = build(
        train_cfg=epochs(3), sampler=sampler, checkpoint=BY_EPOCH, scores=[0.1, 0.2, 0.3]
    )
    read = read_by(runner)
    assert [sorted(read[start : start + 10]) for start in (0, 10, 20)] == [list(range(10))] * 3
    assert len(read) == 30
    assert runner.val_evaluator.metrics[0].scores == []
    assert (runner.epoch, runner.iter) == (3, 15)
    assert names(tmp_path / "run") == ["epoch_1.pth", "epoch_2.pth", "epoch_3.pth"]


@pytest.mark.parametrize("by_epoch", [True, False])
@pytest.mark.parametrize("sampler", SAMPLERS, ids=lambda sampler: sampler["type"])
@pytest.mark.parametrize("stop", [2, 5, 7])
def test_a_stopped_run_skips_nothing(build, tmp_path, sampler, by_epoch, stop):
    settings = dict(
        train_cfg=epochs(2), sampler=sampler, checkpoint=dict(by_epoch=by_epoch, interval=100)
    )
    schedule = dict(type="StepLR", step_size=1, gamma=0.1, by_epoch=True)
    whole = build("whole", **settings, param_scheduler=schedule)
    expected = read_by(whole)
    part = stop_after(build("part", **settings, param_scheduler=schedule), stop)
    read = read_by(part)
    assert any(
        hook.stopped == "SIGTERM" for hook in part.hooks if isinstance(hook, StopOnSignalHook)
    )
    assert names(tmp_path / "part") == [f"iter_{stop}.pth"]
    resumed = build("part", **settings, param_scheduler=schedule, resume=True)
    rest = read_by(resumed)
    thrown_away = 0 if sampler["type"] != "DefaultSampler" else 2 * (stop % 5 or 5)
    assert read + rest[thrown_away:] == expected
    assert (resumed.epoch, resumed.iter) == (2, 10)
    assert resumed.optim_wrapper.get_lr()["lr"] == whole.optim_wrapper.get_lr()["lr"]


def test_with_an_endless_sampler_the_resumed_run_ends_the_same(build, tmp_path):
    settings = dict(train_cfg=epochs(2), checkpoint=BY_EPOCH)
    build("whole", **settings).train()
    stop_after(build("part", **settings), 8).train()
    assert names(tmp_path / "part") == ["epoch_1.pth", "iter_8.pth"]
    build("part", **settings, resume=True).train()
    # The next whole epoch takes the place of the part.
    assert names(tmp_path / "part") == ["epoch_1.pth", "epoch_2.pth"]
    first, second = (weights(tmp_path / folder / "epoch_2.pth") for folder in ("whole", "part"))
    assert all(torch.equal(first[key], second[key]) for key in first)


def test_only_the_last_part_of_an_epoch_is_kept(build, tmp_path):
    settings = dict(train_cfg=epochs(2), checkpoint=BY_EPOCH)
    expected = read_by(build("whole", **settings))
    read = []
    for stop in (1, 3, 4):
        read += read_by(stop_after(build("part", **settings, resume=True), stop))
        assert names(tmp_path / "part") == [f"iter_{stop}.pth"]
    assert read + read_by(build("part", **settings, resume=True)) == expected


@pytest.mark.parametrize("loop", [None, epochs(2)])
@pytest.mark.parametrize(("signaled", "saved"), [(3, 4), (4, 4), (5, 6)])
def test_a_signal_waits_for_the_end_of_an_accumulation(build, tmp_path, loop, signaled, saved):
    settings = dict(train_cfg=loop, counts=2, iterations=10, checkpoint=dict(interval=100))
    expected = read_by(build("whole", **settings))
    read = read_by(stop_after(build("part", **settings), signaled))
    assert names(tmp_path / "part") == [f"iter_{saved}.pth"]
    assert read + read_by(build("part", **settings, resume=True)) == expected


@pytest.mark.parametrize("loop", [None, epochs(2)])
def test_stopping_without_a_saving_hook_is_reported(build, tmp_path, monkeypatch, loop):
    by_mmengine = dict(type="CheckpointHook", interval=100, save_last=False)
    runner = stop_after(build(train_cfg=loop, checkpoint=by_mmengine), 3)
    warnings = []
    monkeypatch.setattr(runner.logger, "warning", warnings.append)
    runner.train()
    assert names(tmp_path / "run") == []
    assert "default_hooks.checkpoint.type" in warnings[0]
    assert "nothing is saved now" in warnings[-1]


def test_another_batch_size_resumes_within_the_epoch(build):
    settings = dict(train_cfg=epochs(2), checkpoint=BY_EPOCH)
    expected = read_by(build("whole", **settings))
    read = read_by(stop_after(build("part", **settings), 7))
    resumed = build("part", **settings, batch_size=1, resume=True)
    assert read + read_by(resumed) == expected


def test_interrupted_validation_is_repeated(build, monkeypatch):
    settings = dict(train_cfg=epochs(2), checkpoint=BY_EPOCH)
    with monkeypatch.context() as patch:
        patch.setattr(Score, "process", lambda *args: os.kill(os.getpid(), signal.SIGTERM))
        runner = build(scores=[0.5], **settings)
        runner.train()
    assert (runner.epoch, runner.iter) == (1, 5)
    runner = build(scores=[0.1, 0.2], resume=True, **settings)
    assert len(read_by(runner)) == 10
    assert runner.val_evaluator.metrics[0].scores == []


BY_MMENGINE = dict(by_epoch=True, max_epochs=2)


@pytest.mark.parametrize(
    ("settings", "message"),
    [
        (dict(train_cfg=epochs(2), batch_size=16, drop_last=True), "its 10 images are fewer"),
        (dict(train_cfg=BY_MMENGINE, checkpoint=BY_EPOCH), r"ResumableEpochLoop', max_epochs=2"),
        (dict(checkpoint=BY_EPOCH), "add by_epoch=False"),
        (dict(param_scheduler=dict(type="LinearLR", start_factor=0.1, end=1)), "by_epoch=False"),
        (dict(param_scheduler=[dict(type="StepLR", step_size=1)]), "add by_epoch=False"),
        (dict(custom_hooks=[dict(type="EMAHook", begin_iter=7)]), "iteration 7, after .* of 6"),
        (dict(custom_hooks=[dict(type="EMAHook", begin_epoch=2)]), "begin_iter"),
    ],
)
def test_settings_without_effect_raise(build, settings, message):
    with pytest.raises(ValueError, match=message):
        build(**settings).train()


def test_plateau_schedule_needs_no_epochs(build):
    plateau = dict(
        type="ReduceOnPlateauLR", monitor="score", rule="greater", factor=0.1, patience=0
    )
    runner = build(param_scheduler=plateau, scores=[0.5, 0.4, 0.3])
    runner.train()
    assert runner.optim_wrapper.get_lr()["lr"] == pytest.approx([1e-3])


@pytest.mark.parametrize("converted", [True, False])
@pytest.mark.parametrize("batch_size", [10, 5])
def test_a_warm_up_of_one_epoch_reaches_the_rate(build, converted, batch_size):
    warm_up = dict(
        type="LinearLR", start_factor=1e-3, begin=0, end=1, convert_to_iter_based=converted
    )
    runner = build(
        train_cfg=epochs(2), batch_size=batch_size, checkpoint=BY_EPOCH, param_scheduler=[warm_up]
    )
    runner.train()
    assert runner.optim_wrapper.get_lr()["lr"] == pytest.approx([0.1])


@pytest.mark.parametrize(
    ("given", "expected"),
    [
        (dict(by_epoch=True, max_epochs=2), "ResumableEpochLoop"),
        (dict(type="EpochBasedTrainLoop", max_epochs=2), "ResumableEpochLoop"),
        (dict(type="mmengine.EpochBasedTrainLoop", max_epochs=2), "ResumableEpochLoop"),
        (dict(by_epoch=False, max_iters=2), "ResumableTrainLoop"),
        (dict(type="IterBasedTrainLoop", max_iters=2), "ResumableTrainLoop"),
        (dict(type="mms_ocr.ResumableTrainLoop", max_iters=2), "ResumableTrainLoop"),
    ],
)
def test_loops_of_mmengine_are_replaced(given, expected):
    cfg = ConfigDict(given)
    use_resumable_loop(cfg)
    assert cfg.type == f"mms_ocr.{expected}"
    assert "by_epoch" not in cfg


def test_other_loops_are_unchanged():
    cfg = ConfigDict(type="mmdet.OtherLoop", max_epochs=2)
    use_resumable_loop(cfg)
    assert cfg == dict(type="mmdet.OtherLoop", max_epochs=2)


@pytest.mark.parametrize(
    ("given", "message"),
    [
        (dict(type="mms_ocr.ResumableTrainLoop", max_iters=9, max_epochs=2), "_delete_=True"),
        (dict(type="mms_ocr.ResumableTrainLoop", max_iters=9, by_epoch=True), "_delete_=True"),
        (dict(by_epoch=False, max_epochs=2), "max_iters"),
        (dict(type="EpochBasedTrainLoop", max_iters=2), "max_epochs"),
    ],
)
def test_settings_of_two_loops(given, message):
    with pytest.raises(ValueError, match=message):
        use_resumable_loop(ConfigDict(given))


def test_larger_batch_without_exact_resume_skips_no_epoch(build):
    for number, batch_size, iterations in ((1, 2, 5), (2, 10, 6)):
        runner = build(
            train_cfg=epochs(number),
            sampler=SAMPLERS[1],
            checkpoint=BY_EPOCH,
            batch_size=batch_size,
            resume=number == 2,
        )
        runner._hooks = [hook for hook in runner.hooks if type(hook).__name__ != "ExactResumeHook"]
        runner.train()
        assert (runner.epoch, runner.iter) == (number, iterations)
