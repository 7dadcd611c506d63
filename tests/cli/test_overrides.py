"""Misspelt settings of the command line are refused, and those that something takes are not."""

import importlib.util
import subprocess
import sys

import pytest
from mmengine.config import Config

import mms_ocr  # noqa: F401
from mms_ocr.cli import overrides
from mms_ocr.cli.overrides import check_options, merge_options

needs_mmocr = pytest.mark.skipif(importlib.util.find_spec("mmocr") is None, reason="needs MMOCR")


@pytest.fixture(scope="module")
def pretraining(repository):
    return Config.fromfile(repository / "configs" / "mms" / "pretrain_vit_t.py")


@pytest.fixture(scope="module")
def recognition(repository):
    return Config.fromfile(repository / "configs" / "textrecog" / "mms_vit_t_ar_words.py")


@pytest.mark.parametrize(
    ("key", "said"),
    [
        ("modl.backbone.arch", "the config has no 'modl'.*did you mean model.backbone.arch?"),
        ("compil", "did you mean compile?"),
        (
            "train_dataloader.batchsize",
            "train_dataloader has no 'batchsize', and DataLoader takes none; "
            "did you mean train_dataloader.batch_size",
        ),
        ("train_dataloader.dataset.fontz", "did you mean train_dataloader.dataset.fonts?"),
        ("model.backbon.arch", "mms_ocr.MMS takes none; did you mean model.backbone.arch?"),
        ("model.backbone.drop_path", "did you mean model.backbone.drop_path_rate"),
        ("optim_wrapper.optimizr.lr", "did you mean optim_wrapper.optimizer.lr?"),
        ("optim_wrapper.optimizer.weight_deca", "did you mean optim_wrapper.optimizer.weight_dec"),
        ("optim_wrapper.accumulative_count", "did you mean optim_wrapper.accumulative_counts?"),
        ("default_hooks.checkpont.interval", "did you mean default_hooks.checkpoint.interval?"),
        ("param_scheduler.0.edn", "did you mean param_scheduler.0.end?"),
        ("param_scheduler.end", "param_scheduler is a list of 2; name one by its place, from 0"),
        ("param_scheduler.7.end", "param_scheduler is a list of 2"),
        ("randomness.sead", "did you mean randomness.seed?"),
        ("train_cfg.max_iter", "did you mean train_cfg.max_iters?"),
        ("train_cfg.max_iters.more", "train_cfg.max_iters is [0-9]+, which has no settings"),
        ("zzz", "the config has no 'zzz', and MMEngine's Runner takes none; known there: "),
    ],
)
def test_a_misspelt_setting_is_refused_with_the_nearest(pretraining, key, said):
    before = str(pretraining)
    with pytest.raises(ValueError, match=said) as raised:
        merge_options(pretraining, {key: 1})
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
        {"optim_wrapper.type": "AmpOptimWrapper", "optim_wrapper.accumulative_counts": 4},
        {"optim_wrapper.optimizer.amsgrad": True, "optim_wrapper.paramwise_cfg.custom_keys.x": 1},
        {"compile": True, "sync_bn": "torch", "model_wrapper_cfg.type": "x", "load_from": "x"},
        {"default_hooks.checkpoint.max_keep_ckpts": 2, "default_hooks.checkpoint.priority": 10},
        {"default_hooks.mine.type": "EMAHook", "default_hooks.mine.momentum": 0.1},
        {"randomness.diff_rank_seed": True, "env_cfg.dist_cfg.timeout": 9},
        {"model.type": "some.UnknownModel", "model.anything": 1},
        {"param_scheduler.0.end": 7, "train_cfg.max_iters": 9, "train_cfg.dynamic_intervals": None},
    ],
)
def test_what_something_takes_is_let_pass(pretraining, options):
    check_options(pretraining, options)


def test_what_may_be_right_is_doubted_where_it_looks_misspelt(pretraining, monkeypatch):
    told = []
    monkeypatch.setattr(overrides, "print_log", lambda line, **settings: told.append(line))
    check_options(pretraining, {"default_hooks.checkpoint.backend_args": None})
    assert not told
    check_options(pretraining, {"default_hooks.checkpoint.intervall": 1})
    assert "was default_hooks.checkpoint.interval meant?" in told[0]


@needs_mmocr
def test_recognizers(recognition):
    check_options(
        recognition,
        {
            "model.decoder.max_seq_len": 9,
            "model.decoder.mask_padding": True,
            "model.decoder.module_loss.letter_case": "lower",
            "model.decoder.dictionary.unknown_token": "?",
            "val_evaluator.0.mode": "exact",
            "train_dataloader.dataset.max_broken": 0.1,
        },
    )
    for key, said in (
        ("model.decoder.max_seq_length", r"did you mean model\.decoder\.max_seq_len\?"),
        ("model.encodr", "did you mean model.encoder?"),
        ("model.decoder.module_loss.lettercase", "did you mean .*letter_case?"),
        ("model.decoder.dictionary.with_strat", "did you mean .*with_start"),
        ("train_dataloader.dataset.pipeline.0.sise", r"pipeline\.0 has no 'sise'"),
    ):
        with pytest.raises(ValueError, match=said):
            check_options(recognition, {key: 1})


class Parent:
    def __init__(self, depth=1):
        self.depth = depth


class HandsOn(Parent):
    def __init__(self, width=1, **kwargs):
        super().__init__(**kwargs)
        self.width = width


class Takes(Parent):
    def __init__(self, width=1, **kwargs):
        self.kwargs = kwargs
        super().__init__()


def test_only_arguments_that_are_handed_on_untouched_are_known():
    for kind, refused in ((HandsOn, True), (Takes, False), (Parent, True)):
        cfg = Config(dict(model=dict(type=kind)))
        check_options(cfg, {"model.depth": 3})
        if refused:
            with pytest.raises(ValueError, match=r"did you mean model\.depth\?"):
                check_options(cfg, {"model.depht": 3})
        else:
            check_options(cfg, {"model.depht": 3})


@pytest.mark.parametrize("tool", ["train", "test"])
def test_the_tools_say_it_in_a_line(repository, tool):
    config = str(repository / "configs" / "mms" / "pretrain_vit_t.py")
    arguments = [config] if tool == "train" else [config, "none.pth"]
    done = subprocess.run(
        [
            sys.executable,
            str(repository / "tools" / f"{tool}.py"),
            *arguments,
            "--cfg-options",
            "train_dataloader.batchsize=32",
        ],
        capture_output=True,
        text=True,
    )
    assert done.returncode == 2
    assert done.stderr.strip().splitlines()[-1] == (
        f"{tool}.py: no setting train_dataloader.batchsize: train_dataloader has no 'batchsize',"
        " and DataLoader takes none; did you mean train_dataloader.batch_size or "
        "train_dataloader.batch_sampler?"
    )


def test_what_the_tools_take_is_known_in_configs_of_others():
    check_options(Config(dict(default_scope="mmocr")), {"load_from_exclude": ["decoder"]})


@pytest.mark.parametrize("value", ["{type:EMAHook}", ['{"type":"EMAHook"}']])
def test_hooks_that_stay_text_are_refused(value):
    with pytest.raises(ValueError, match=r"custom_hooks=.* is text"):
        check_options(Config({}), {"custom_hooks": value})
