"""Settings that do not exist are refused; those that something may take are not."""

import importlib.util

import pytest
from mmengine.config import Config

from mms_ocr.cli import training
from mms_ocr.utils import cfg_options
from mms_ocr.utils.cfg_options import check_cfg_options, merge_cfg_options

needs_mmocr = pytest.mark.skipif(importlib.util.find_spec("mmocr") is None, reason="needs MMOCR")


@pytest.fixture(scope="module")
def pretraining(repository):
    return Config.fromfile(repository / "configs" / "mms" / "pretrain_vit_t.py")


@pytest.mark.parametrize(
    ("key", "message"),
    [
        ("modl.backbone.arch", r"did you mean model\.backbone\.arch"),
        ("compil", r"did you mean compile\?"),
        ("train_dataloader.batchsize", r"did you mean train_dataloader\.batch_size"),
        ("default_hooks.checkpont.interval", r"did you mean default_hooks\.checkpoint\.interval\?"),
        ("param_scheduler.end", "param_scheduler is a list of 2"),
        ("param_scheduler.7.end", "param_scheduler is a list of 2"),
        ("randomness.sead", r"did you mean randomness\.seed\?"),
        ("train_cfg.max_iters.more", "train_cfg.max_iters is [0-9]+"),
        ("zzz", "the config has no 'zzz'; there are "),
    ],
)
def test_a_setting_that_does_not_exist_is_refused(pretraining, key, message):
    before = str(pretraining)
    with pytest.raises(ValueError, match=message) as raised:
        merge_cfg_options(pretraining, {key: 1})
    assert key in str(raised.value)
    assert "\n" not in str(raised.value)
    assert str(pretraining) == before


@pytest.mark.parametrize(
    "options",
    [
        {"train_dataloader.batch_size": 8, "train_dataloader.prefetch_factor": 4},
        {"train_dataloader.num_batch_per_epoch": 3, "train_dataloader.dataset.fonts": "here"},
        {"model.backbone.init_cfg.type": "mms_ocr.PretrainedTextViT"},
        {"model.backbone.frozen_stages": 3, "model.backbone.drop_path_rate": 0.1},
        {"optim_wrapper.accumulative_counts": 4, "optim_wrapper.clip_grad.norm_type": 1},
        {"optim_wrapper.type": "AmpOptimWrapper", "optim_wrapper.loss_scale": "dynamic"},
        {"optim_wrapper.optimizer.amsgrad": True, "optim_wrapper.paramwise_cfg.custom_keys.x": 1},
        {"compile": True, "sync_bn": "torch", "model_wrapper_cfg.type": "x", "load_from": "x"},
        {"default_hooks.checkpoint.max_keep_ckpts": 2, "default_hooks.checkpoint.priority": 10},
        {"default_hooks.mine.type": "EMAHook", "default_hooks.mine.momentum": 0.1},
        {"randomness.diff_rank_seed": True, "env_cfg.dist_cfg.timeout": 9},
        {"model.type": "some.UnknownModel", "model.anything": 1},
        {"param_scheduler.0.end": 7, "train_cfg.max_iters": 9},
    ],
)
def test_setting_that_a_type_may_take_is_accepted(pretraining, options):
    check_cfg_options(pretraining, options)


def test_similar_argument_names_give_a_warning(pretraining, monkeypatch):
    warnings = []
    monkeypatch.setattr(cfg_options, "warn", warnings.append)
    check_cfg_options(pretraining, {"default_hooks.checkpoint.backend_args": None})
    assert not warnings
    check_cfg_options(pretraining, {"default_hooks.checkpoint.intervall": 1})
    assert "default_hooks.checkpoint.interval?" in warnings[0]


@needs_mmocr
def test_new_arguments_of_a_recognizer(repository):
    cfg = Config.fromfile(repository / "configs" / "textrecog" / "mms_vit_t_ar_words.py")
    options = {
        "model.decoder.max_seq_len": 9,
        "model.decoder.module_loss.letter_case": "lower",
        "val_evaluator.0.mode": "exact",
        "train_dataloader.dataset.max_broken": 0.1,
    }
    check_cfg_options(cfg, options)


def test_training_exits_with_status_2(repository, tmp_path, capsys):
    config = str(repository / "configs" / "mms" / "pretrain_vit_t.py")
    options = ["--work-dir", str(tmp_path), "--cfg-options", "model.backbon.arch=tiny"]
    assert training.main([config, *options]) == 2
    assert "backbon" in capsys.readouterr().err.strip().splitlines()[-1]


@pytest.mark.parametrize("value", ["{type:EMAHook}", ['{"type":"EMAHook"}']])
def test_hooks_given_as_text_raise(value):
    with pytest.raises(ValueError, match=r"custom_hooks=.* is text"):
        check_cfg_options(Config({}), {"custom_hooks": value})
