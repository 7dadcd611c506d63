"""Options for larger or faster training give the same values, in tiny runs."""

import json
import os

import numpy as np
import pytest
import torch
from distributed import in_processes, train, write_config, write_words
from mmengine.config import Config
from mmengine.hooks import Hook

from mms_ocr.cli import training
from mms_ocr.registry import HOOKS

ADAMW = "type='AdamW', lr=1e-3, weight_decay=0.05, fused=True"


SPOILT = """
custom_hooks = [dict(type="mms_ocr.WriteSteps"), dict(type="mms_ocr.SpoilLoss")]
"""


@HOOKS.register_module()
class SpoilLoss(Hook):
    """Lets the loss of the second process be infinite in the last but one iteration."""

    def before_train(self, runner):
        model = runner.model.module
        loss = model.loss

        def spoilt(*args, **kwargs):
            losses = loss(*args, **kwargs)
            if runner.rank == 1 and runner.iter == runner.max_iters - 2:
                losses["loss_pixel"] = losses["loss_pixel"] + float("inf")
            return losses

        model.loss = spoilt


@pytest.fixture(scope="module")
def words(tmp_path_factory):
    return write_words(tmp_path_factory.mktemp("words"))


@pytest.fixture(scope="module")
def plain(tmp_path_factory, words):
    folder = tmp_path_factory.mktemp("plain")
    return train(1, write_config(folder / "c.py", words), folder / "w")


def assert_same_weights(weights, other, rtol=1e-5, atol=1e-7):
    assert weights.keys() == other.keys()
    for name, value in weights.items():
        torch.testing.assert_close(other[name], value, rtol=rtol, atol=atol, msg=name)


@pytest.mark.parametrize(
    "extra",
    [
        "activation_checkpointing = ['backbone.layers.0', 'backbone.layers.1']",
        "compile = dict(backend='eager')",
    ],
)
def test_options_do_not_change_the_weights(tmp_path, words, plain, extra):
    losses, checkpoint = train(
        1, write_config(tmp_path / "c.py", words, extra=extra), tmp_path / "w"
    )
    np.testing.assert_allclose(losses, plain[0], rtol=1e-6)
    assert_same_weights(plain[1]["state_dict"], checkpoint["state_dict"])


@pytest.mark.slow
def test_inductor_trains_the_same(tmp_path, words, plain):
    extra = "compile = dict(backend='inductor')"
    losses, checkpoint = train(
        1, write_config(tmp_path / "c.py", words, extra=extra), tmp_path / "w"
    )
    np.testing.assert_allclose(losses, plain[0], rtol=1e-4)
    assert_same_weights(plain[1]["state_dict"], checkpoint["state_dict"], 1e-3, 1e-5)


def test_bf16_trains_nearly_the_same(tmp_path, words, plain):
    path = write_config(tmp_path / "c.py", words, wrapper="enabled=True")
    path.write_text(path.read_text().replace('"OptimWrapper"', '"mms_ocr.Bf16OptimWrapper"'))
    losses, _ = train(1, path, tmp_path / "w")
    assert losses != plain[0]
    np.testing.assert_allclose(losses, plain[0], rtol=0.02)


def fp16(path, data, scale="init_scale=2.0**26, growth_interval=3", **settings):
    """The config of a tiny run in fp16, whose loss scale is first too high, and then grows."""
    config = write_config(path, data, wrapper=f"loss_scale=dict({scale})", **settings)
    config.write_text(config.read_text().replace('"OptimWrapper"', '"mms_ocr.Fp16OptimWrapper"'))
    return config


def test_fp16_trains_nearly_the_same(tmp_path, words, plain):
    losses, end = train(1, fp16(tmp_path / "c.py", words, "init_scale=1024.0"), tmp_path / "w")
    assert losses != plain[0]
    assert "overflowed_steps" not in end["message_hub"]["runtime_info"]
    np.testing.assert_allclose(losses, plain[0], rtol=0.01)


def test_fp16_resumes_exactly(tmp_path, words):
    config = fp16(tmp_path / "c.py", words, iterations=16, batch_size=4, optimizer=ADAMW)
    _, whole = train(1, config, tmp_path / "whole")
    overflows = whole["message_hub"]["runtime_info"]["overflowed_steps"]
    assert 0 < overflows < 10
    assert "skipped_steps" not in whole["message_hub"]["runtime_info"]
    saving = ["--cfg-options", "default_hooks.checkpoint.interval=5"]
    train(1, config, tmp_path / "part", *saving, "train_cfg.max_iters=10")
    _, resumed = train(1, config, tmp_path / "part", "--resume", *saving)
    scaler = whole["optimizer"]["loss_scaler"]
    assert scaler["scale"] > 2.0 ** (26 - overflows)  # it has grown
    assert resumed["optimizer"]["loss_scaler"] == scaler
    assert resumed["message_hub"]["runtime_info"]["overflowed_steps"] == overflows
    assert_same_weights(whole["state_dict"], resumed["state_dict"], 0, 0)


def test_fp16_over_two_processes(tmp_path, words):
    config = fp16(tmp_path / "c.py", words, iterations=12, batch_size=4, optimizer=ADAMW)
    config.write_text(config.read_text() + SPOILT)
    _, end = train(2, config, tmp_path / "w")
    info = end["message_hub"]["runtime_info"]
    # The infinite loss of the second process is a fault, and overflows are none.
    assert info["skipped_steps"] == 1
    assert 0 < info["overflowed_steps"] < 10


def test_a_strategy_is_refused(tmp_path, words, capfd):
    config = write_config(tmp_path / "c.py", words, extra="strategy = dict(type='FSDPStrategy')")
    assert training.main([str(config), "--work-dir", str(tmp_path / "w")]) == 2
    assert "strategy=FSDPStrategy" in capfd.readouterr().err


def test_learning_rate_scales_with_the_images_of_a_step():
    scaling = dict(enable=True, base_batch_size=256)
    cfg = Config(dict(optim_wrapper=dict(accumulative_counts=4), auto_scale_lr=dict(scaling)))
    training.count_accumulation(cfg)
    assert cfg.auto_scale_lr.base_batch_size == 64
    cfg = Config(dict(optim_wrapper=dict(), auto_scale_lr=dict(scaling)))
    training.count_accumulation(cfg)
    assert cfg.auto_scale_lr.base_batch_size == 256


@pytest.mark.skipif(torch.cuda.is_available(), reason="it works with a GPU")
def test_amp_wrapper_without_a_gpu_gives_one_line(tmp_path, words, capfd):
    config = write_config(tmp_path / "c.py", words)
    arguments = [str(config), "--work-dir", str(tmp_path / "w"), "--cfg-options"]
    assert training.main([*arguments, "optim_wrapper.type=AmpOptimWrapper"]) == 2
    (line,) = [x for x in capfd.readouterr().err.splitlines() if x.startswith("train.py: ")]
    assert "needs a GPU" in line
    assert "mms_ocr.Fp16OptimWrapper" in line


def test_unreachable_first_process_is_reported(tmp_path, words, capfd, monkeypatch):
    monkeypatch.setenv("SLURM_PROCID", "0")
    monkeypatch.setenv("SLURM_NTASKS", "2")
    monkeypatch.setenv("SLURM_LOCALID", "0")
    monkeypatch.setenv("MASTER_ADDR", "no-such-machine.invalid")
    config = write_config(tmp_path / "c.py", words)
    options = [str(config), "--work-dir", str(tmp_path / "w"), "--launcher", "slurm"]
    assert in_processes(1, training.main, options) == [2]
    assert "'no-such-machine.invalid'" in capfd.readouterr().err


def test_masks_differ_between_processes(tmp_path, words):
    config = write_config(tmp_path / "c.py", words, batch_size=4, iterations=2)
    text = config.read_text().replace('type="mms_ocr.PartOfMasks", parts=1', "")
    config.write_text(text + 'custom_hooks.append(dict(type="mms_ocr.WriteMasks"))\n')
    train(2, config, tmp_path / "w")
    first, second = (
        [json.loads(line) for line in (tmp_path / "w" / f"masks_{rank}.jsonl").open()]
        for rank in range(2)
    )
    assert len(first) == len(second) == 2
    # No two images of a step have the same mask, on whichever rank, and steps differ.
    every = [tuple(mask) for step in first + second for mask in step]
    assert len(set(every)) == len(every) == 16


def train_under_mpi(options):
    """Train as a process of an MPI, which has its own names for the variables of torchrun."""
    names = dict(RANK="PMI_RANK", WORLD_SIZE="PMI_SIZE", LOCAL_RANK="MPI_LOCALRANKID")
    os.environ.update({theirs: os.environ.pop(ours) for ours, theirs in names.items()})
    del os.environ["LOCAL_WORLD_SIZE"]
    os.environ["MPI_LOCALNRANKS"] = os.environ["PMI_SIZE"]
    return training.main([*options, "--launcher", "mpi"])


def test_epochs_count_the_images_of_all_processes(tmp_path, words):
    config = write_config(tmp_path / "c.py", words, batch_size=4)
    options = [str(config), "--work-dir", str(tmp_path / "w"), "--epochs", "2"]
    assert in_processes(2, train_under_mpi, options) == [0, 0]
    # 24 images twice, in two batches of 4 at a time.
    assert (tmp_path / "w/last_checkpoint").read_text().endswith("iter_6.pth")


@pytest.mark.parametrize("epochs", ["0", "-1", "nan", "inf"])
def test_invalid_numbers_of_epochs(tmp_path, words, capfd, epochs):
    config = write_config(tmp_path / "c.py", words)
    options = [str(config), "--work-dir", str(tmp_path / "w"), f"--epochs={epochs}"]
    assert training.main(options) == 2
    assert f"got {float(epochs)}" in capfd.readouterr().err


@pytest.mark.parametrize("name", ["iter_4.pth", "best_acc_iter_4.pth", "epoch_1.pth"])
@pytest.mark.parametrize("part", ["load_from", "encoder"])
def test_checkpoints_do_not_replace_the_one_that_training_starts_from(tmp_path, name, part):
    (tmp_path / name).touch()
    (tmp_path / "init.pth").touch()
    path = f"{tmp_path}/../{tmp_path.name}/{name}"
    init = dict(type="mms_ocr.PretrainedTextViT", checkpoint=path)
    settings = dict(load_from=path) if part == "load_from" else {}
    model = dict(decoders=[dict(init_cfg=init)]) if part == "encoder" else {}
    cfg = Config(dict(model=model, work_dir=str(tmp_path), **settings))
    with pytest.raises(ValueError, match="would replace it"):
        training.check_initial_weights(cfg)
    training.check_initial_weights(Config({**cfg.to_dict(), "resume": True}))
    training.check_initial_weights(Config({**cfg.to_dict(), "work_dir": str(tmp_path / "new")}))
    init["checkpoint"] = str(tmp_path / "init.pth")
    cfg = Config(dict(model=dict(init_cfg=[init]), work_dir=str(tmp_path), load_from="https://a/b"))
    training.check_initial_weights(cfg)
