"""A part of a data set that is held out, the same in every run."""

from __future__ import annotations

import numpy as np

from mms_ocr.datasets.hashing import hash_numbers

__all__ = ["holdout_indices"]

_CHUNK = 1 << 20


def holdout_indices(length: int, share: float, part: str, seed: int = 0) -> np.ndarray:
    """Indices of the images of one part, in order.

    Whether an image is held out hangs on its index and the seed alone: the parts ``train`` and
    ``val`` of the same source never overlap and together are all of it.

    Args:
        length: Images in the source.
        share: Share held out, in (0, 1); met in the mean, not exactly.
        part: ``'val'`` for the images held out, ``'train'`` for the others.
        seed: Another seed holds out other images.

    Raises:
        ValueError: ``share`` or ``part`` is none of these.
    """
    if not 0 < share < 1:
        raise ValueError(f"holdout share is in (0, 1), got {share}")
    if part not in ("train", "val"):
        raise ValueError(f"holdout part is 'train' or 'val', got {part!r}")
    threshold = np.uint64(int(share * 2**64))
    small = np.uint32 if length < 2**32 else np.uint64
    parts = []
    for start in range(0, length, _CHUNK):
        indices = np.arange(start, min(start + _CHUNK, length), dtype=np.uint64)
        held_out = hash_numbers(indices, seed) < threshold
        parts.append(indices[held_out if part == "val" else ~held_out].astype(small))
    return np.concatenate(parts) if parts else np.zeros(0, small)
