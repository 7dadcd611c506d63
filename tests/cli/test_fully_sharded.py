"""FSDP by MMEngine's strategy: two processes with a part each do what two with the whole do."""

from pathlib import Path

import numpy as np
import pytest
import torch
from distributed import in_processes, train, write_config, write_words
from mmengine.hooks import Hook

from mms_ocr.cli import testing, training
from mms_ocr.models.weights import read_checkpoint
from mms_ocr.registry import HOOKS

STRATEGY = "strategy = dict(type='mms_ocr.FullyShardedStrategy')\n"
# Parameters that lie flat in a process's part are not biases, which have no decay.
DECAY = """
optim_wrapper["paramwise_cfg"] = dict(_delete_=True, bias_decay_mult=0.0, flat_decay_mult=0.0)
"""
# By Adam's own epsilon, gradients that are zero but for rounding would make steps as all others.
ADAMW = "type='AdamW', lr=1e-2, weight_decay=0.5, eps=1e-3"
SETTINGS = dict(batch_size=4, optimizer=ADAMW)
CLIPPED = "clip_grad=dict(max_norm=0.05), "


@HOOKS.register_module()
class WriteParts(Hook):
    """Writes how many values of parameters this process has."""

    def after_train(self, runner):
        count = sum(value.numel() for value in runner.model.parameters())
        Path(runner.work_dir, f"parts_{runner.rank}").write_text(str(count))


@pytest.fixture(scope="module")
def words(tmp_path_factory):
    return write_words(tmp_path_factory.mktemp("words"))


@pytest.fixture(scope="module")
def ends(tmp_path_factory, words):
    """Losses, checkpoint and config of a plain run of two processes, and of a parted one."""
    folder = tmp_path_factory.mktemp("runs")
    done = {}
    for name, strategy in dict(plain="", parted=STRATEGY).items():
        extra = DECAY + strategy
        extra += 'custom_hooks.append(dict(type="mms_ocr.WriteParts"))\n'
        config = write_config(
            folder / f"{name}.py", words, wrapper=CLIPPED, extra=extra, **SETTINGS
        )
        done[name] = (*train(2, config, folder / name), config)
    return done


def assert_same(one, other, rtol=1e-5, atol=1e-7):
    assert one.keys() == other.keys()
    for name, value in one.items():
        torch.testing.assert_close(other[name], value, rtol=rtol, atol=atol, msg=str(name))


def test_parts_train_as_the_whole(ends):
    (losses, plain, _), (found, parted, _) = ends["plain"], ends["parted"]
    np.testing.assert_allclose(found, losses, rtol=1e-6)
    assert_same(plain["state_dict"], parted["state_dict"])
    one, other = (
        [int((config.parent / name / f"parts_{rank}").read_text()) for rank in range(2)]
        for name, (_, _, config) in ends.items()
    )
    assert one[0] == one[1] == sum(other)
    assert max(other) < 0.6 * one[0]
    one, other = plain["optimizer"], parted["optimizer"]
    assert one["param_groups"] == other["param_groups"]
    assert sorted(group["weight_decay"] for group in one["param_groups"]) == [0.0, 0.5]
    assert one["state"].keys() == other["state"].keys()
    for number, state in one["state"].items():
        assert_same(state, other["state"][number], rtol=1e-4)


@pytest.mark.parametrize("first", [pytest.param("plain", marks=pytest.mark.slow), "parted"])
def test_goes_on_exactly_from_either(tmp_path, ends, first):
    begun, config = ends[first][2], ends["parted"][2]
    saving = ["--cfg-options", "default_hooks.checkpoint.interval=2"]
    train(2, begun, tmp_path / "w", *saving, "train_cfg.max_iters=2")
    _, resumed = train(2, config, tmp_path / "w", "--resume", *saving)
    assert resumed["meta"]["iter"] == 4
    tolerance = (0, 0) if first == "parted" else (1e-5, 1e-7)
    assert_same(ends["parted"][1]["state_dict"], resumed["state_dict"], *tolerance)


def test_load_from_is_strict_under_any_prefix(tmp_path, words, ends, capfd):
    weights = ends["plain"][1]["state_dict"]
    unfit = {key: value for key, value in weights.items() if key != "backbone.cls_token"}
    config = write_config(
        tmp_path / "c.py", words, extra=STRATEGY, **SETTINGS | dict(optimizer="type='SGD', lr=0.0")
    )
    saving = ["train_cfg.max_iters=1", "default_hooks.checkpoint.interval=1"]
    path = tmp_path / "weights.pth"
    for content, status in ((weights, 0), (unfit, 2)):
        torch.save({f"model.{key}": value for key, value in content.items()}, path)
        options = [str(config), "--work-dir", str(tmp_path / "w"), "--launcher", "pytorch"]
        options += ["--cfg-options", *saving, f"load_from={path}"]
        assert in_processes(2, training.main, options) == [status] * 2
    assert "1 missing (backbone.cls_token)" in capfd.readouterr().err
    end = read_checkpoint(tmp_path / "w" / "iter_1.pth")["state_dict"]
    assert_same(weights, end, 0, 0)


@pytest.mark.slow
def test_with_everything_else_that_makes_runs_faster_or_smaller(tmp_path, words):
    ends = []
    for strategy in ("", STRATEGY):
        extra = "compile = dict(backend='eager')\n" + strategy
        extra += "activation_checkpointing = ['backbone.layers.0', 'backbone.layers.1']\n"
        folder = tmp_path / f"w{len(ends)}"
        config = write_config(
            tmp_path / "c.py", words, wrapper="accumulative_counts=2", extra=extra, **SETTINGS
        )
        ends.append(train(2, config, folder)[1]["state_dict"])
    assert_same(*ends)


@pytest.mark.slow
def test_fp16(tmp_path, words):
    ends = []
    for strategy in ("", STRATEGY):
        wrapper = CLIPPED + "loss_scale=dict(init_scale=2.0**20)"
        settings = SETTINGS | dict(wrapper=wrapper, iterations=10, extra=strategy)
        config = write_config(tmp_path / "c.py", words, **settings)
        text = config.read_text().replace('"OptimWrapper"', '"mms_ocr.Fp16OptimWrapper"')
        config.write_text(text)
        ends.append(train(2, config, tmp_path / f"w{len(ends)}")[1])
    counts = [end["message_hub"]["runtime_info"]["overflowed_steps"] for end in ends]
    assert counts[0] == counts[1] > 0
    assert ends[0]["optimizer"]["loss_scaler"] == ends[1]["optimizer"]["loss_scaler"]
    assert_same(ends[0]["state_dict"], ends[1]["state_dict"], 1e-3, 1e-5)


def test_its_checkpoints_are_tested_as_any_other(tmp_path, ends):
    config = ends["parted"][2]
    last = config.parent / "parted" / "iter_4.pth"
    options = [str(config), str(last), "--work-dir", str(tmp_path / "w")]
    assert in_processes(2, testing.main, [*options, "--launcher", "pytorch"]) == [0, 0]
    assert in_processes(1, testing.main, options) == [0]


@pytest.mark.parametrize(
    ("count", "extra", "told"),
    [
        (1, STRATEGY, "mms_ocr.FullyShardedStrategy parts the model among processes, and this is"),
        (1, "strategy = dict(type='DeepSpeedStrategy')", "strategy=DeepSpeedStrategy is not known"),
        (1, STRATEGY + "custom_hooks = [dict(type='EMAHook')]", "EMAHook averages whole models"),
        (2, STRATEGY + "model['neck']['decoder_embed_dim'] = 32", "does not fit the model of this"),
    ],
)
def test_what_does_not_go_is_one_line(tmp_path, words, ends, capfd, count, extra, told):
    config = write_config(tmp_path / "c.py", words, extra=extra, **SETTINGS)
    checkpoint = ends["parted"][2].parent / "parted" / "iter_4.pth"
    options = [str(config), "--work-dir", str(tmp_path / "w"), "--resume", str(checkpoint)]
    options += ["--launcher", "pytorch"] if count > 1 else []
    assert in_processes(count, training.main, options) == [2] * count
    lines = [x for x in capfd.readouterr().err.splitlines() if x.startswith("train.py: ")]
    assert len(lines) == count
    assert all(told in line for line in lines)
