"""Going on elsewhere: on the CPU after a GPU and the other way round, and with other processes."""

from types import SimpleNamespace

import pytest
import torch

from mms_ocr.engine import ExactResumeHook
from mms_ocr.engine.heartbeats import current_place
from mms_ocr.engine.hooks import exact_resume_hook
from mms_ocr.engine.resuming import load_from_url
from mms_ocr.utils.randomness import seed_everything, take_random_states

GPU = torch.arange(16, dtype=torch.uint8)


@pytest.fixture
def told(monkeypatch):
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


def test_the_generator_of_a_gpu_goes_on(told, gpu):
    state = take_random_states()
    expected = torch.rand(3)
    seed_everything(9)
    resume(state)
    assert torch.equal(torch.rand(3), expected)
    assert [value.tolist() for value in gpu] == [GPU.tolist()]
    assert told == []


def test_a_run_of_a_gpu_on_the_cpu(told):
    state = take_random_states()
    state.pop("cuda", None)
    expected = torch.rand(3)
    seed_everything(9)
    resume({**state, "cuda": GPU})
    assert torch.equal(torch.rand(3), expected)
    assert told == [
        "the checkpoint is of a run on a GPU, and this one is on the CPU: what is drawn there "
        "differs from here on"
    ]


def test_a_run_of_the_cpu_on_a_gpu(told, gpu):
    state = take_random_states()
    del state["cuda"]
    resume(state)
    assert gpu == []
    assert told == [
        "the checkpoint is of a run on the CPU, and this one is on a GPU: what is drawn there "
        "differs from here on"
    ]


def test_other_processes(told):
    state = take_random_states()
    seed_everything(9)
    expected = take_random_states()["torch"]
    resume(state, state)
    assert torch.equal(torch.get_rng_state(), expected)
    assert told == [
        "the checkpoint is of 2 processes, and these are 1: their random generators start anew"
    ]


@pytest.mark.parametrize("first", [True, False])
def test_a_checkpoint_from_the_net_is_fetched_once_per_machine(tmp_path, monkeypatch, first):
    source = tmp_path / "published.pth"
    torch.save({"state_dict": {"weight": torch.ones(2)}}, source)
    folder = tmp_path / "cache"
    monkeypatch.setenv("LOCAL_RANK", "0" if first else "1")
    if not first:
        # Another process has fetched it by the time that all go on.
        folder.mkdir()
        (folder / "published.pth").write_bytes(source.read_bytes())
        source.unlink()
    read = load_from_url(source.as_uri(), model_dir=str(folder))
    assert read["state_dict"]["weight"].tolist() == [1, 1]


def test_where_the_host_waits_for_a_gpu_that_waits_for_others(monkeypatch):
    def frame(file, name):
        code = compile(f"import sys\ndef {name}():\n    return sys._getframe()\n", file, "exec")
        names = {}
        exec(code, names)
        return names[name]()

    waits = {
        ("torch/amp/grad_scaler.py", "anything"): True,
        ("mmengine/optim/optimizer/optimizer_wrapper.py", "_clip_grad"): True,
        ("mms_ocr/engine/hooks/non_finite_hook.py", "all_finite"): True,
        ("mms_ocr/models/selfsup/mms.py", "loss"): False,
    }
    for (file, name), expected in waits.items():
        monkeypatch.setattr("sys._current_frames", lambda place=frame(file, name): {1: place})
        assert current_place(1)[1] is expected, file
