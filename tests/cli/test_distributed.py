"""Several processes give the result of one: equal loss and weights, every image counted once."""

import importlib.util
import json

import numpy as np
import pytest
import torch
from distributed import train, write_config, write_words

needs_mmocr = pytest.mark.skipif(
    importlib.util.find_spec("mmocr") is None, reason="recognizers need MMOCR"
)
TASKS = ["pretraining", pytest.param("textrecog", marks=needs_mmocr)]


@pytest.fixture(scope="module")
def words(tmp_path_factory):
    return write_words(tmp_path_factory.mktemp("words"))


@pytest.fixture(scope="module")
def alone(tmp_path_factory, words):
    """One process with the whole batch, per task: losses, checkpoint, validation."""
    done = {}

    def run(task):
        if task not in done:
            folder = tmp_path_factory.mktemp(task)
            losses, checkpoint = train(1, write_config(folder / "c.py", words, task), folder / "w")
            done[task] = losses[0], checkpoint, validation(folder / "w")
        return done[task]

    return run


def validation(folder):
    """The scores of the last validation."""
    (path,) = folder.rglob("vis_data/scalars.json")
    lines = [json.loads(line) for line in path.read_text().splitlines()]
    scores = [line for line in lines if "loss" not in line][-1]
    return {name: value for name, value in scores.items() if "/" in name and "time" not in name}


def assert_same_weights(weights, other, rtol=1e-4, atol=2e-6):
    assert weights.keys() == other.keys()
    for name, value in weights.items():
        torch.testing.assert_close(other[name], value, rtol=rtol, atol=atol, msg=name)


@pytest.mark.parametrize("task", TASKS)
def test_two_processes_train_as_one(tmp_path, words, alone, task):
    config = write_config(tmp_path / "c.py", words, task, batch_size=4)
    losses, checkpoint = train(2, config, tmp_path / "w")
    whole, expected, scores = alone(task)
    assert losses[0] != losses[1]
    np.testing.assert_allclose(np.mean(losses, axis=0), whole, rtol=1e-5)
    assert_same_weights(expected["state_dict"], checkpoint["state_dict"])
    # Five images on two processes: MMEngine's sampler repeats one, which is not counted twice.
    metrics = validation(tmp_path / "w")
    assert metrics.keys() == scores.keys()
    for name, value in scores.items():
        assert metrics[name] == pytest.approx(value, rel=1e-3, abs=2e-4), name


@pytest.mark.parametrize("count", [1, 2])
def test_accumulated_batches_train_as_the_whole(tmp_path, words, alone, count):
    settings = dict(batch_size=4 // count, parts=2, iterations=8, wrapper="accumulative_counts=2")
    config = write_config(tmp_path / "c.py", words, **settings)
    losses, checkpoint = train(count, config, tmp_path / "w")
    whole, expected, _ = alone("pretraining")
    # What is logged is divided by the number of batches, as it enters the gradient.
    summed = np.mean(losses, axis=0).reshape(4, 2).mean(axis=1)
    np.testing.assert_allclose(summed, whole, rtol=1e-5)
    assert_same_weights(expected["state_dict"], checkpoint["state_dict"])


def test_clipping_is_of_the_whole_gradient(tmp_path, words):
    wrapper = "clip_grad=dict(max_norm=0.05)"
    ends = []
    for count in (1, 2):
        config = write_config(
            tmp_path / f"c{count}.py", words, batch_size=8 // count, wrapper=wrapper
        )
        ends.append(train(count, config, tmp_path / f"w{count}")[1]["state_dict"])
    assert_same_weights(*ends)
