"""Pseudo-random choices by hashing: shuffled orders and held-out parts that need no memory."""

from __future__ import annotations

import math

import numpy as np

_GOLDEN = 0x9E3779B97F4A7C15
_ROUNDS = 12  # with fewer, some orders of five or so samples are unlikely
_CHUNK = 1 << 20


def hash_numbers(numbers: np.ndarray, key: int | np.ndarray = 0) -> np.ndarray:
    """Hash every number under a key, or each under its own key, to uint64.

    The finalizer of SplitMix64 (Steele, Lea and Flood, "Fast splittable pseudorandom number
    generators", 2014) on number and key.

    Args:
        numbers: Array of non-negative integers.
        key: An integer of any size and sign, taken modulo 2^64; or a uint64 array of this shape.
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
    """Return the values at ``positions`` in ``[0, length)`` of a shuffled ``range(length)``.

    For each key the map from position to value is a bijection of ``range(length)``: the generalized
    Feistel cipher with cycle walking of Black and Rogaway, "Ciphers with arbitrary finite domains"
    (2002). No permutation is stored; every position costs the same. ``keys`` is one key, or an
    array with a key for every position.
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

    An image is held out if a hash of its index under the seed is below a threshold, which moves so
    that both parts of two or more images have one.

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
    is_held_out = np.zeros(length, bool)
    for start in range(0, length, _CHUNK):
        chunk = is_held_out[start : start + _CHUNK]
        numbers = np.arange(start, start + len(chunk), dtype=np.uint64)
        chunk[:] = hash_numbers(numbers, seed) < np.uint64(int(share * 2**64))
    if length > 1 and is_held_out.all() == is_held_out.any():
        hashes = hash_numbers(np.arange(length, dtype=np.uint64), seed)
        moved = hashes.argmax() if is_held_out[0] else hashes.argmin()
        is_held_out[moved] = not is_held_out[moved]
    indices = np.flatnonzero(is_held_out == (part == "val"))
    return indices.astype(np.uint32 if length < 2**32 else np.uint64)
