"""Pseudo-random choices by hashing: shuffled orders and held-out parts that need no memory."""

from __future__ import annotations

import math

import numpy as np

_GOLDEN = 0x9E3779B97F4A7C15
_ROUNDS = 12  # with fewer, some orders of five or so samples are unlikely
_CHUNK = 1 << 20


def hash_numbers(numbers: np.ndarray, key: int | np.ndarray = 0) -> np.ndarray:
    """Hash every number under a key, or each under its own key.

    The finalizer of SplitMix64 (Steele, Lea and Flood, "Fast splittable pseudorandom number
    generators", 2014) on number and key.

    Args:
        numbers: Array of non-negative integers.
        key: An integer of any size and sign, taken modulo 2^64; or a uint64 array of the shape of
            ``numbers``.

    Returns:
        uint64 array.
    """
    if isinstance(key, np.ndarray):
        mixed = key * np.uint64(_GOLDEN)
    else:
        mixed = np.uint64((key + 1) * _GOLDEN % 2**64)
    mixed = numbers.astype(np.uint64) + mixed
    mixed = (mixed ^ (mixed >> np.uint64(30))) * np.uint64(0xBF58476D1CE4E5B9)
    mixed = (mixed ^ (mixed >> np.uint64(27))) * np.uint64(0x94D049BB133111EB)
    return mixed ^ (mixed >> np.uint64(31))


def shuffled_order(positions: np.ndarray, length: int, keys: int | np.ndarray) -> np.ndarray:
    """Return the values at some positions of a shuffled ``range(length)``.

    For each key the map from position to value is a bijection of ``range(length)``: the generalized
    Feistel cipher with cycle walking of Black and Rogaway, "Ciphers with arbitrary finite domains"
    (2002). No permutation is stored; every position costs the same.

    Args:
        positions: Array of integers in ``[0, length)``.
        length: At least 1.
        keys: One key, or an array with a key for every position.

    Returns:
        int64 array of the shape of ``positions``.
    """
    keys = np.broadcast_to(hash_numbers(np.atleast_1d(keys)), positions.shape)
    values = _permute(positions.astype(np.uint64), length, keys)
    # The cipher permutes the smallest rectangle that contains the range. A value outside of the
    # range, one in sqrt(length) or so, is permuted again until it is inside.
    while len(outside := np.flatnonzero(values >= length)):
        values[outside] = _permute(values[outside], length, keys[outside])
    return values.astype(np.int64)


def _permute(values: np.ndarray, length: int, keys: np.ndarray) -> np.ndarray:
    rows = np.uint64(math.isqrt(length - 1) + 1)
    columns = np.uint64(-(-length // int(rows)))
    left, right = values // columns, values % columns
    for step in range(0, _ROUNDS, 2):
        left = (left + hash_numbers(right, keys + np.uint64(step)) % rows) % rows
        right = (right + hash_numbers(left, keys + np.uint64(step + 1)) % columns) % columns
    return left * columns + right


def holdout_indices(length: int, share: float, part: str, seed: int = 0) -> np.ndarray:
    """Return the indices of the images of one part, in order; the same in every run.

    An image is held out if a hash of its index under the seed is below a threshold. So the parts
    ``train`` and ``val`` of a source never overlap and together are all of it. If no image, or
    every image, is below, the threshold moves so that both parts of two or more images have one.

    Args:
        length: Images in the source.
        share: Share held out, in (0, 1); met on average, not exactly.
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
        hashes = hash_numbers(np.arange(length, dtype=np.uint64), seed)
        threshold = min(max(threshold, int(hashes.min()) + 1), int(hashes.max()))
        chosen = _part(length, threshold, part, seed)
    return chosen


def _part(length: int, threshold: int, part: str, seed: int) -> np.ndarray:
    small = np.uint32 if length < 2**32 else np.uint64
    parts = [np.zeros(0, small)]
    for start in range(0, length, _CHUNK):
        indices = np.arange(start, min(start + _CHUNK, length), dtype=np.uint64)
        is_held_out = hash_numbers(indices, seed) < np.uint64(threshold)
        parts.append(indices[is_held_out if part == "val" else ~is_held_out].astype(small))
    return np.concatenate(parts)
