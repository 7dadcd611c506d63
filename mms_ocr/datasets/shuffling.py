"""Shuffled orders whose every place can be computed by itself."""

from __future__ import annotations

import math

import numpy as np

from mms_ocr.datasets.hashing import hash_numbers

_ROUNDS = 12  # fewer leave orders of five or so samples unevenly likely


def shuffled_order(places: np.ndarray, length: int, keys: int | np.ndarray) -> np.ndarray:
    """What stands at the given places of a shuffled ``range(length)``.

    For each key the map from place to value is a bijection of ``range(length)``: the generalized
    Feistel cipher with cycle walking of Black and Rogaway, "Ciphers with arbitrary finite domains"
    (2002). No permutation is kept in memory; any place costs the same.

    Args:
        places: Array of integers in ``[0, length)``.
        length: How many values are shuffled; at least 1.
        keys: Which order: one key, or an array with a key for every place.

    Returns:
        int64 array of the shape of ``places``.
    """
    keys = np.broadcast_to(hash_numbers(np.atleast_1d(keys)), places.shape)
    values = _permute(places.astype(np.uint64), length, keys)
    # The cipher works on the smallest rectangle that holds the range, and what falls outside of
    # the range is sent on until it is back inside: one value in sqrt(length) or so.
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
