"""Loop and hooks in small runs of MMEngine's Runner."""

import os
import shutil
import signal
from collections import OrderedDict
from pathlib import Path

import pytest
import torch
from small_runs import Numbers, Score, names, read_by, stop_after
from torch import nn

from mms_ocr.engine import StopOnSignalHook, loops
from mms_ocr.engine.failures import CheckpointNotSavedError, DataError
from mms_ocr.engine.hooks import checkpoint_hook, exact_resume_hook
from mms_ocr.engine.loops import seeded_loader
from mms_ocr.models.weights import read_checkpoint


def test_a_whole_checkpoint_always_exists(build, tmp_path, monkeypatch):
    seen = []

    def replace(path, target):
        # The new one is written, and not yet in place.
        seen.append((Path(path).name, names(Path(path).parent)))
        real(path, target)

    real = checkpoint_hook.replace
    monkeypatch.setattr(checkpoint_hook, "replace", replace)
    build(checkpoint=dict(max_keep_ckpts=1), iterations=3).train()
    assert seen == [
        (".iter_1.pth.saving", []),
        (".iter_2.pth.saving", ["iter_1.pth"]),
        (".iter_3.pth.saving", ["iter_2.pth"]),
    ]
    assert names(tmp_path / "run") == ["iter_3.pth"]
    assert (tmp_path / "run/last_checkpoint").read_text() == str(tmp_path / "run/iter_3.pth")


def test_best_checkpoint_is_kept_until_a_better_one_is_whole(build, tmp_path):
    hook = dict(max_keep_ckpts=1, save_best="score", rule="greater")
    build(checkpoint=hook, scores=[0.2, 0.7, 0.5]).train()
    assert names(tmp_path / "run") == ["best_score_iter_4.pth", "iter_6.pth"]
    hub = read_checkpoint(tmp_path / "run/iter_6.pth")["message_hub"]
    assert hub["runtime_info"]["best_score"] == 0.7


def test_a_copied_run_leaves_the_original_alone(build, tmp_path):
    hook = dict(save_best="score", rule="greater")
    build("first", checkpoint=hook, scores=[0.2], iterations=2).train()
    shutil.copytree(tmp_path / "first", tmp_path / "copy")
    build("copy", checkpoint=hook, scores=[0.7], iterations=4, resume=True).train()
    assert "best_score_iter_2.pth" in names(tmp_path / "first")
    best = [name for name in names(tmp_path / "copy") if name.startswith("best")]
    assert best == ["best_score_iter_4.pth"]


def test_unknown_save_best_raises(build):
    hook = dict(save_best="accuracy", rule="greater")
    with pytest.raises(ValueError, match=r"save_best='accuracy' .* score"):
        build(checkpoint=hook, scores=[0.2]).train()


def test_checkpoints_wait_for_the_end_of_an_accumulation(build, tmp_path):
    build(checkpoint=dict(interval=3), counts=2, iterations=8).train()
    assert names(tmp_path / "run") == ["iter_4.pth", "iter_6.pth", "iter_8.pth"]


@pytest.mark.parametrize("validates", [True, False])
def test_resumed_run_continues_its_data_and_ends_the_same(build, tmp_path, validates):
    scores = [0.1, 0.3, 0.2] if validates else []
    whole = read_by(build("whole", scores=scores))
    assert len(whole) == 12
    build("part", iterations=3, scores=scores).train()
    last = str(tmp_path / "part/iter_3.pth")
    rest = read_by(build("part", scores=scores[1:], resume=True, load_from=last))
    assert rest == whole[6:]
    first, second = (
        read_checkpoint(tmp_path / folder / "iter_6.pth")["state_dict"]
        for folder in ("whole", "part")
    )
    assert all(torch.equal(first[key], second[key]) for key in first)


def test_another_batch_size_resumes_at_the_same_sample(build, tmp_path):
    whole = read_by(build("whole"))
    again = []
    for iterations, batch_size in ((3, 2), (5, 1), (6, 4)):
        again += read_by(build("part", iterations=iterations, batch_size=batch_size, resume=True))
    assert again == whole


def test_interrupted_validation_is_repeated(build, tmp_path, monkeypatch):
    def fail(self, results):
        raise RuntimeError("killed")

    monkeypatch.setattr(Score, "compute_metrics", fail)
    with pytest.raises(RuntimeError, match="killed"):
        build(scores=[0.5]).train()
    assert names(tmp_path / "run") == ["iter_1.pth", "iter_2.pth"]
    monkeypatch.undo()
    # At iterations 2, 4 and 6.
    runner = build(scores=[0.1, 0.2, 0.3, 0.4], resume=True)
    runner.train()
    assert runner.val_evaluator.metrics[0].scores == [0.4]


def test_checkpoint_of_another_model_raises(build, tmp_path):
    build(iterations=1).train()
    path = tmp_path / "run/iter_1.pth"
    checkpoint = torch.load(path, weights_only=False)
    del checkpoint["state_dict"]["layer.bias"]
    torch.save(checkpoint, path)
    with pytest.raises(ValueError, match=r"does not fit the model .* 1 missing \(layer\.bias\)"):
        build(resume=True, load_from=str(path)).train()


def test_a_signal_saves_and_stops(build, tmp_path):
    runner = build(iterations=50, checkpoint=dict(interval=100))
    before = signal.getsignal(signal.SIGUSR1)
    stop_after(runner, 5, signal.SIGUSR1).train()
    (hook,) = (hook for hook in runner.hooks if isinstance(hook, StopOnSignalHook))
    assert hook.stopped == "SIGUSR1"
    assert names(tmp_path / "run") == ["iter_5.pth"]
    assert signal.getsignal(signal.SIGUSR1) is before


def test_a_signal_in_a_validation_stops_it(build, tmp_path, monkeypatch):
    def process(self, data_batch, data_samples):
        seen.append(len(data_samples))
        os.kill(os.getpid(), signal.SIGTERM)

    seen = []
    with monkeypatch.context() as patch:
        patch.setattr(Score, "process", process)
        runner = build(scores=[0.5])
        runner.train()
    # The first of five batches, at iteration 2, which is saved.
    assert seen == [2]
    assert names(tmp_path / "run") == ["iter_1.pth", "iter_2.pth"]
    runner = build(scores=[0.1, 0.2, 0.3], resume=True)
    runner.train()
    assert runner.val_evaluator.metrics[0].scores == []


def test_unreadable_data_raise_one_line(build):
    with pytest.raises(DataError, match=r"iteration \d failed: too many images are broken$"):
        build(dataset=Numbers(broken=range(10))).train()


def test_a_full_disk_leaves_what_was_saved(build, tmp_path, monkeypatch):
    def full(path, target):
        if "iter_3" in str(path):
            raise OSError(28, "No space left on device")
        real(path, target)

    real = checkpoint_hook.replace
    monkeypatch.setattr(checkpoint_hook, "replace", full)
    with pytest.raises(CheckpointNotSavedError, match=r"iter_3\.pth could not .*No space left"):
        build(checkpoint=dict(max_keep_ckpts=1)).train()
    assert names(tmp_path / "run") == ["iter_2.pth"]
    assert not list((tmp_path / "run").glob(".*"))
    assert (tmp_path / "run/last_checkpoint").read_text() == str(tmp_path / "run/iter_2.pth")


def test_unfinished_files_of_a_killed_run_are_deleted(build, tmp_path):
    (tmp_path / "run").mkdir()
    (tmp_path / "run/.iter_9.pth.saving").write_bytes(b"half")
    build(iterations=1).train()
    assert not list((tmp_path / "run").glob(".*"))


def test_seeded_loaders():
    sampler = dict(type="mms_ocr.EndlessSampler", shuffle=True)
    given = dict(dataset=dict(type="X"), sampler=sampler, batch_size=2)
    loader = seeded_loader(given, 7)
    assert loader["dataset"] == dict(type="mms_ocr.SeededDataset", dataset=dict(type="X"), seed=7)
    assert loader["sampler"]["numbered"]
    assert "numbered" not in sampler
    other = dict(given, sampler=dict(type="DefaultSampler"))
    assert seeded_loader(other, 7) is other


def test_signals_have_names():
    with pytest.raises(ValueError, match="SIGNAL"):
        StopOnSignalHook(["SIGNAL"])


def schedule(length):
    return dict(type="CosineAnnealingLR", T_max=length, end=length, by_epoch=False)


def test_run_of_another_length_keeps_its_schedule_and_reports_it(build, monkeypatch):
    logged = []
    for module in (exact_resume_hook, loops):
        monkeypatch.setattr(
            module, "print_log", lambda message, *args, **kw: logged.append(message)
        )
    build(iterations=4, param_scheduler=schedule(4)).train()
    build(iterations=6, param_scheduler=schedule(4), resume=True).train()
    assert logged == []
    longer = build(iterations=8, param_scheduler=schedule(8), resume=True)
    longer.train()
    assert len(logged) == 1
    assert "iter_6.pth ends at 4, and that of this config at 8" in logged[0]
    assert longer.param_schedulers[0].T_max == 4


def test_resuming_a_finished_run_is_reported(build, monkeypatch):
    logged = []
    monkeypatch.setattr(loops, "print_log", lambda message, **kw: logged.append(message))
    build(iterations=4).train()
    assert logged == []
    assert read_by(build(iterations=3, resume=True)) == []
    assert len(logged) == 1
    assert "iteration 4, and the run has 3" in logged[0]


def test_a_part_of_the_model_may_be_called_module(build, tmp_path):
    weights = []
    for resume in (False, True):
        runner = build(iterations=1, resume=resume)
        runner.model.layer = nn.Sequential(OrderedDict(module=nn.Linear(1, 1)))
        runner.train()
        weights.append(runner.model.state_dict())
    assert all(torch.equal(value, weights[1][key]) for key, value in weights[0].items())
