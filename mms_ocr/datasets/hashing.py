"""Well-mixed 64-bit hashes of numbers, many at a time."""

from __future__ import annotations

import numpy as np

_GOLDEN = 0x9E3779B97F4A7C15


def hash_numbers(numbers: np.ndarray, key: int | np.ndarray = 0) -> np.ndarray:
    """A hash of every number under a key, or under a key each.

    The finaliser of SplitMix64 (Steele, Lea and Flood, "Fast splittable pseudorandom number
    generators", 2014) on number and key.

    Args:
        numbers: Array of non-negative integers.
        key: An integer of any size and sign, taken modulo 2^64; or a uint64 array to go with
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
