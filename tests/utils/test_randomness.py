"""The global generators."""

import random

import numpy as np
import torch

from mms_ocr.models.weights import read_checkpoint
from mms_ocr.utils.randomness import (
    kept_random_states,
    put_random_states,
    seed_everything,
    take_random_states,
)


def draw():
    return (
        [random.random() for _ in range(3)],
        random.gauss(0, 1),
        np.random.rand(3).tolist(),
        np.random.randn(),
        torch.rand(3).tolist(),
    )


def test_random_states_survive_safe_loading(tmp_path):
    draw()
    torch.save({"state_dict": {}, "states": take_random_states()}, tmp_path / "states.pth")
    expected = draw()
    seed_everything(5)
    put_random_states(read_checkpoint(tmp_path / "states.pth")["states"])
    assert draw() == expected


def test_initial_seed_is_kept():
    torch.manual_seed(123)
    states = take_random_states()
    seed_everything(5)
    put_random_states(states)
    assert torch.initial_seed() == 123


def test_kept_states():
    states = take_random_states()
    expected = draw()
    put_random_states(states)
    with kept_random_states():
        seed_everything(9)
        draw()
    assert draw() == expected


def test_seeds():
    seen = []
    for seed in (0, 1, 2**63 + 1, 0):
        seed_everything(seed)
        seen.append(draw())
    assert seen[0] == seen[3]
    assert seen[0] != seen[1] != seen[2]
