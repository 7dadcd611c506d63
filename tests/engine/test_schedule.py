"""Longer and shorter runs keep the shape of their schedule."""

import pytest
from mmengine.config import Config

from mms_ocr.engine import set_iterations


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
def test_the_shortest_runs_still_validate_log_and_save(iterations):
    cfg = config()
    set_iterations(cfg, iterations)
    assert 1 <= cfg.train_cfg.val_interval <= iterations
    assert 1 <= cfg.default_hooks.checkpoint.interval <= iterations
    assert cfg.default_hooks.logger.interval == 1
    for scheduler in cfg.param_scheduler:
        assert scheduler.begin < scheduler.end <= iterations
    assert cfg.param_scheduler[0].begin == 0


def test_one_scheduler_need_not_stand_in_a_list():
    cfg = config(param_scheduler=dict(type="CosineAnnealingLR", T_max=1000, begin=0, end=1000))
    set_iterations(cfg, 100)
    (scheduler,) = cfg.param_scheduler
    assert scheduler.T_max == scheduler.end == 100


def test_steps_move_along():
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


def test_what_a_config_lacks_is_left_out():
    cfg = Config(dict(train_cfg=dict(max_iters=10)))
    set_iterations(cfg, 20)
    assert cfg.train_cfg.max_iters == 20
    off = config(default_hooks=dict(checkpoint=dict(interval=-1)))
    set_iterations(off, 20)
    assert off.default_hooks.checkpoint.interval == -1


@pytest.mark.parametrize("settings", [{}, {"train_cfg": None}, {"train_cfg": dict(max_epochs=3)}])
def test_runs_that_do_not_count_iterations(settings):
    with pytest.raises(ValueError, match="only where train_cfg counts iterations"):
        set_iterations(Config(settings), 5)


@pytest.mark.parametrize("iterations", [0, -3])
def test_no_iterations(iterations):
    with pytest.raises(ValueError, match="at least 1 iteration"):
        set_iterations(config(), iterations)
