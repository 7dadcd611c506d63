"""Resuming elsewhere: on the CPU after a GPU and the other way round, and with other processes."""

from types import SimpleNamespace

import pytest
import torch
from mmengine.runner import CheckpointLoader
from mmengine.runner import checkpoint as mmengine_checkpoint

from mms_ocr.engine import ExactResumeHook
from mms_ocr.engine.hooks import exact_resume_hook
from mms_ocr.engine.resuming import use_checked_reading
from mms_ocr.utils.randomness import seed_everything, take_random_states

GPU = torch.arange(16, dtype=torch.uint8)


@pytest.fixture
def logged(monkeypatch):
    lines = []
    monkeypatch.setattr(exact_resume_hook, "print_log", lambda line, *_: lines.append(line))
    return lines


@pytest.fixture
def gpu(monkeypatch):
    """A GPU whose generator is a tensor; gives what it was set to."""
    put = []
    monkeypatch.setattr(torch.cuda, "is_available", lambda: True)
    monkeypatch.setattr(torch.cuda, "get_rng_state", lambda: GPU.clone())
    monkeypatch.setattr(torch.cuda, "set_rng_state", put.append)
    return put


def resume(*states):
    hook = ExactResumeHook()
    hook._resumed = {"random": list(states)}
    hook.before_train_iter(SimpleNamespace(), 0)
    # Only once.
    hook.before_train_iter(SimpleNamespace(), 1)


def test_gpu_generator_is_restored(logged, gpu):
    state = take_random_states()
    expected = torch.rand(3)
    seed_everything(9)
    resume(state)
    assert torch.equal(torch.rand(3), expected)
    assert [value.tolist() for value in gpu] == [GPU.tolist()]
    assert logged == []


def test_a_run_on_a_gpu_resumes_on_the_cpu_and_the_other_way_round(logged, request):
    state = take_random_states()
    state.pop("cuda", None)
    expected = torch.rand(3)
    seed_everything(9)
    resume({**state, "cuda": GPU})
    assert torch.equal(torch.rand(3), expected)
    gpu = request.getfixturevalue("gpu")
    resume(state)
    assert gpu == []
    first, second = logged
    assert "a run on a GPU, and this one is on the CPU" in first
    assert "a run on the CPU, and this one is on a GPU" in second


def test_other_processes(logged):
    state = take_random_states()
    seed_everything(9)
    expected = take_random_states()["torch"]
    resume(state, state)
    assert torch.equal(torch.get_rng_state(), expected)
    assert len(logged) == 1
    assert "of 2 processes, and these are 1" in logged[0]


@pytest.mark.parametrize("first", [True, False])
def test_a_checkpoint_from_the_net_is_fetched_once_per_machine(tmp_path, monkeypatch, first):
    source = tmp_path / "published.pth"
    torch.save({"state_dict": {"weight": torch.ones(2)}}, source)
    folder = tmp_path / "cache"
    monkeypatch.setenv("LOCAL_RANK", "0" if first else "1")
    if not first:
        # Another process has fetched it by the time that all continue.
        folder.mkdir()
        (folder / "published.pth").write_bytes(source.read_bytes())
        source.unlink()
    monkeypatch.setattr(CheckpointLoader, "_schemes", dict(CheckpointLoader._schemes))
    monkeypatch.setattr(mmengine_checkpoint, "load_url", None)
    use_checked_reading()
    read = mmengine_checkpoint.load_url(source.as_uri(), model_dir=str(folder))
    assert read["state_dict"]["weight"].tolist() == [1, 1]
