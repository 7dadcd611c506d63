"""The global random generators of a process: Python's, NumPy's and torch's."""

from __future__ import annotations

import contextlib
import random
import sys
from collections.abc import Iterator
from typing import Any

import numpy as np
import torch


def take_random_states() -> dict[str, Any]:
    """Return the state of every global generator as tensors and numbers, for checkpoints."""
    version, words, gauss = random.getstate()
    kind, numpy_words, position, has_gauss, cached = np.random.get_state(legacy=True)
    states: dict[str, Any] = {
        "python": [version, torch.tensor(words, dtype=torch.int64), gauss],
        "numpy": [
            str(kind),
            torch.from_numpy(np.asarray(numpy_words).astype(np.int64)),
            int(position),
            int(has_gauss),
            float(cached),
        ],
        "torch": torch.get_rng_state(),
    }
    if torch.cuda.is_available():
        states["cuda"] = torch.cuda.get_rng_state().cpu()
    return states


def put_random_states(states: dict[str, Any]) -> None:
    """Restore the global generators from :func:`take_random_states`."""
    version, words, gauss = states["python"]
    random.setstate((version, tuple(words.tolist()), gauss))
    kind, numpy_words, *others = states["numpy"]
    np.random.set_state((kind, numpy_words.cpu().numpy().astype(np.uint32), *others))
    torch.set_rng_state(states["torch"].cpu())
    if "cuda" in states and torch.cuda.is_available():
        torch.cuda.set_rng_state(states["cuda"].cpu())


@contextlib.contextmanager
def kept_random_states() -> Iterator[None]:
    """Restore the state of all generators after the block."""
    states = take_random_states()
    try:
        yield
    finally:
        put_random_states(states)


def seed_everything(seed: int) -> None:
    """Seed, in ``[0, 2**64)``, every global generator of the CPU, fast enough for every sample."""
    random.seed(seed)
    np.random.seed(seed & 0xFFFFFFFF)  # all 64 bits take five times as long
    # torch.manual_seed visits all devices, which takes ten times as long.
    torch.default_generator.manual_seed(seed)
    augmenters = sys.modules.get("imgaug.random")
    if augmenters is not None:
        augmenters.seed(seed & 0x7FFFFFFF)
