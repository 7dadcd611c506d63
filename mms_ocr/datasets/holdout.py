"""A part of a data set that is held out, the same in every run."""

from __future__ import annotations

from collections.abc import Iterator

import numpy as np

from mms_ocr.datasets.hashing import hash_numbers

_CHUNK = 1 << 20


def holdout_indices(length: int, share: float, part: str, seed: int = 0) -> np.ndarray:
    """Indices of the images of one part, in order.

    Whether an image is held out hangs on a hash of its index under the seed: the parts ``train``
    and ``val`` of the same source never overlap and together are all of it. Where the share is met
    by no image, or by all, the one nearest to it changes sides, so that both parts of a source of
    two or more images have one.

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
    threshold = int(share * 2**64)
    chosen = _part(length, threshold, part, seed)
    if length > 1 and len(chosen) in (0, length):
        hashes = [hash_numbers(indices, seed) for indices in _chunks(length)]
        least, greatest = int(min(map(np.min, hashes))), int(max(map(np.max, hashes)))
        chosen = _part(length, min(max(threshold, least + 1), greatest), part, seed)
    return chosen


def _part(length: int, threshold: int, part: str, seed: int) -> np.ndarray:
    """Indices whose hash is below the threshold, for ``'val'``, or is not."""
    small = np.uint32 if length < 2**32 else np.uint64
    parts = [np.zeros(0, small)]
    for indices in _chunks(length):
        held_out = hash_numbers(indices, seed) < np.uint64(threshold)
        parts.append(indices[held_out if part == "val" else ~held_out].astype(small))
    return np.concatenate(parts)


def _chunks(length: int) -> Iterator[np.ndarray]:
    for start in range(0, length, _CHUNK):
        yield np.arange(start, min(start + _CHUNK, length), dtype=np.uint64)
