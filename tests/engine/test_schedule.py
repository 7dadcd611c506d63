"""Longer and shorter runs keep the shape of their schedule."""

import pytest
import torch
from mmengine.config import Config
from mmengine.optim import LinearLR, OptimWrapper
from mmengine.registry import PARAM_SCHEDULERS

from mms_ocr.engine import set_epochs, set_iterations
from mms_ocr.engine.schedule import fit_warm_ups


def config(**changes):
    settings = dict(
        train_cfg=dict(type="IterBasedTrainLoop", max_iters=1000, val_interval=200),
        param_scheduler=[
            dict(type="LinearLR", by_epoch=False, begin=0, end=100),
            dict(type="CosineAnnealingLR", by_epoch=False, T_max=900, begin=100, end=1000),
        ],
        default_hooks=dict(
            checkpoint=dict(type="CheckpointHook", interval=250),
            logger=dict(type="LoggerHook", interval=50),
        ),
    )
    return Config(settings | changes)


@pytest.mark.parametrize("iterations", [200, 500, 1000, 4000])
def test_everything_keeps_its_share(iterations):
    cfg, ratio = config(), iterations / 1000
    set_iterations(cfg, iterations)
    assert cfg.train_cfg.max_iters == iterations
    assert cfg.train_cfg.val_interval == 200 * ratio
    warm_up, cosine = cfg.param_scheduler
    assert (warm_up.begin, warm_up.end) == (0, 100 * ratio)
    assert (cosine.begin, cosine.end, cosine.T_max) == (100 * ratio, iterations, 900 * ratio)
    assert cfg.default_hooks.checkpoint.interval == 250 * ratio
    assert cfg.default_hooks.logger.interval == min(50, iterations // 10)


@pytest.mark.parametrize("iterations", [1, 2, 7])
def test_short_runs_validate_log_and_save(iterations):
    cfg = config()
    set_iterations(cfg, iterations)
    assert 1 <= cfg.train_cfg.val_interval <= iterations
    assert 1 <= cfg.default_hooks.checkpoint.interval <= iterations
    assert cfg.default_hooks.logger.interval == 1
    for scheduler in cfg.param_scheduler:
        assert scheduler.begin < scheduler.end <= iterations
    assert cfg.param_scheduler[0].begin == 0


def test_one_scheduler_need_not_be_in_a_list():
    cfg = config(param_scheduler=dict(type="CosineAnnealingLR", T_max=1000, begin=0, end=1000))
    set_iterations(cfg, 100)
    (scheduler,) = cfg.param_scheduler
    assert scheduler.T_max == scheduler.end == 100


def test_milestones_scale():
    steps = dict(type="MultiStepLR", by_epoch=False, milestones=[600, 900])
    step = dict(type="StepLR", by_epoch=False, step_size=300)
    restarts = dict(type="CosineRestartLR", by_epoch=False, periods=[400, 600], restart_weights=[1])
    cycle = dict(type="OneCycleLR", by_epoch=False, eta_max=1.0, total_steps=1000)
    cfg = config(param_scheduler=[steps, step, restarts, cycle])
    set_iterations(cfg, 200)
    assert cfg.param_scheduler[2].periods == [80, 120]
    assert cfg.param_scheduler[3].total_steps == 200
    assert cfg.param_scheduler[0].milestones == [120, 180]
    assert cfg.param_scheduler[1].step_size == 60


def test_settings_that_a_config_lacks_are_left_out():
    cfg = Config(dict(train_cfg=dict(max_iters=10)))
    set_iterations(cfg, 20)
    assert cfg.train_cfg.max_iters == 20
    off = config(default_hooks=dict(checkpoint=dict(interval=-1)))
    set_iterations(off, 20)
    assert off.default_hooks.checkpoint.interval == -1


@pytest.mark.parametrize("settings", [{}, {"train_cfg": None}, {"train_cfg": dict(max_epochs=3)}])
def test_configs_without_max_iters_raise(settings):
    with pytest.raises(ValueError, match="train_cfg has no max_iters"):
        set_iterations(Config(settings), 5)
    for iterations in (0, -3):
        with pytest.raises(ValueError, match=f"at least 1 iteration, got {iterations}"):
            set_iterations(config(), iterations)


SCHEDULES = ("pretrain", "pixel", "rec_finetune")


def rates(cfg, iterations):
    """The learning rate of every iteration."""
    weight = torch.nn.Parameter(torch.zeros(1))
    optimizer = OptimWrapper(torch.optim.SGD([weight], lr=1.0))
    schedulers = [
        PARAM_SCHEDULERS.build(dict(scheduler), default_args=dict(optimizer=optimizer))
        for scheduler in cfg.param_scheduler
    ]
    seen = []
    for _ in range(iterations):
        seen += optimizer.get_lr()["lr"]
        optimizer.optimizer.step()
        for scheduler in schedulers:
            scheduler.step()
    return seen


@pytest.mark.parametrize("iterations", [*range(1, 31), 100])
@pytest.mark.parametrize("name", SCHEDULES)
def test_runs_of_any_length_reach_their_rate(repository, name, iterations):
    cfg = Config.fromfile(repository / f"configs/_base_/schedules/{name}.py")
    set_iterations(cfg, iterations)
    seen = rates(cfg, iterations)
    top = seen.index(max(seen))
    assert seen[top] == pytest.approx(1.0)
    assert top <= max(2, iterations // 5)
    # Down to the end, and never up again.
    assert seen[top:] == sorted(seen[top:], reverse=True)


@pytest.mark.parametrize(
    "warm_up",
    [
        dict(type="LinearLR", start_factor=0.01, end=1),
        dict(type="ConstantLR", factor=0.01, end=1),
        dict(type="mmengine.LinearLR", start_factor=0.01, begin=3, end=4),
        dict(type=LinearLR, start_factor=0.01, end=1),
    ],
)
def test_warm_up_of_one_step_starts_at_its_final_rate(warm_up):
    cfg = Config(dict(param_scheduler=[dict(warm_up, by_epoch=False)]))
    fit_warm_ups(cfg.param_scheduler)
    assert rates(cfg, 6) == pytest.approx([1.0] * 6)


def test_schedules_without_a_list_and_of_several_optimizers():
    first, second = (dict(type="LinearLR", by_epoch=False, end=end) for end in (100, 500))
    cfg = config(param_scheduler=dict(first=first, second=[second]))
    set_iterations(cfg, 200)
    assert cfg.param_scheduler.first[0].end == 20
    assert cfg.param_scheduler.second[0].end == 100


def test_starts_and_changing_intervals_scale():
    cfg = config(
        train_cfg=dict(
            max_iters=1000, val_begin=500, val_interval=200, dynamic_intervals=[(0, 200), (800, 50)]
        ),
        custom_hooks=[dict(type="EMAHook", begin_iter=400)],
    )
    cfg.default_hooks.checkpoint.save_begin = 600
    set_iterations(cfg, 10)
    assert (cfg.train_cfg.val_begin, cfg.train_cfg.val_interval) == (5, 2)
    assert cfg.train_cfg.dynamic_intervals == [(0, 2), (8, 1)]
    assert cfg.custom_hooks[0].begin_iter == 4
    assert cfg.default_hooks.checkpoint.save_begin == 6


def test_epochs_are_set_where_they_are_counted():
    cfg = config(
        train_cfg=dict(by_epoch=True, max_epochs=20, val_interval=5),
        param_scheduler=[
            dict(type="LinearLR", begin=0, end=2),
            dict(type="CosineAnnealingLR", T_max=18, begin=2, end=20),
        ],
        custom_hooks=[dict(type="EMAHook", begin_epoch=10)],
    )
    cfg.default_hooks.checkpoint = dict(type="CheckpointHook", interval=5, by_epoch=True)
    set_epochs(cfg, 40)
    assert (cfg.train_cfg.max_epochs, cfg.train_cfg.val_interval) == (40, 10)
    assert [s.end for s in cfg.param_scheduler] == [4, 40]
    assert cfg.default_hooks.checkpoint.interval == 10
    assert cfg.custom_hooks[0].begin_epoch == 20
    with pytest.raises(ValueError, match=r"got 1\.5"):
        set_epochs(cfg, 1.5)
