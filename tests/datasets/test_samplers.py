from __future__ import annotations

import itertools
import multiprocessing
import pickle
import time
from collections import Counter
from unittest.mock import patch

import numpy as np
import pytest
import torch.distributed
from hypothesis import given, settings
from hypothesis import strategies as st
from mmengine.registry import DATA_SAMPLERS
from mmengine.runner import Runner
from torch.utils.data import DataLoader

from mms_ocr.datasets import EndlessSampler
from mms_ocr.datasets.hashing import hash_numbers, shuffled_order

few = settings(max_examples=60, deadline=None)
lengths = st.integers(1, 400)
seeds = st.integers(0, 2**64)


def sampler(length: int, rank: int = 0, world_size: int = 1, **options) -> EndlessSampler:
    with patch("mms_ocr.datasets.samplers.get_dist_info", lambda: (rank, world_size)):
        return EndlessSampler(range(length), **options)


def take(sampler: EndlessSampler, count: int) -> list[int]:
    return list(itertools.islice(sampler, count))


# --- properties ----------------------------------------------------------------------------------


@few
@given(lengths, seeds, st.integers(1, 7), st.booleans(), st.integers(1, 4))
def test_every_sample_once_per_pass_over_all_ranks(length, seed, world_size, shuffle, passes):
    ranks = [
        sampler(length, rank, world_size, seed=seed, shuffle=shuffle) for rank in range(world_size)
    ]
    per_rank = -(-length * passes // world_size)
    drawn = [take(rank, per_rank) for rank in ranks]
    stream = list(itertools.chain(*zip(*drawn)))  # as the ranks draw side by side
    for number in range(passes):
        one_pass = stream[number * length : (number + 1) * length]
        assert sorted(one_pass) == list(range(length))
        if not shuffle:
            assert one_pass == list(range(length))


@few
@given(lengths, seeds, st.integers(1, 4), st.integers(0, 10_000), st.integers(1, 50))
def test_any_position_is_restored(length, seed, world_size, position, count):
    rank = seed % world_size
    whole = sampler(length, rank, world_size, seed=seed)
    expected = take(whole, position + count)[position:]

    placed = sampler(length, rank, world_size, seed=seed)
    placed.set_position(position)
    assert take(placed, count) == expected

    stopped = sampler(length, rank, world_size, seed=seed)
    take(stopped, position)
    resumed = sampler(length, rank, world_size, seed=seed + 1, shuffle=False)
    resumed.load_state_dict(pickle.loads(pickle.dumps(stopped.state_dict())))
    assert take(resumed, count) == expected
    assert resumed.indices(position, count).tolist() == expected


@few
@given(lengths, seeds, st.integers(1, 6), st.integers(1, 6), st.integers(0, 500))
def test_another_number_of_ranks_skips_no_sample(length, seed, before, after, drawn):
    state = sampler(length, 0, before, seed=seed).state_dict(drawn)
    ranks = [sampler(length, rank, after, seed=0) for rank in range(after)]
    for rank in ranks:
        rank.load_state_dict(state)
    stream = take(sampler(length, seed=seed), drawn * before + 2 * after)
    resumed = list(itertools.chain(*zip(*(take(rank, 2) for rank in ranks))))
    first = drawn * before // after * after
    assert 0 <= drawn * before - first < after
    assert resumed == stream[first : first + 2 * after]


@few
@given(st.integers(1, 5000), st.integers(0, 2**64 - 1))
def test_the_shuffled_order_is_a_bijection(length, key):
    order = shuffled_order(np.arange(length), length, np.uint64(key))
    assert np.array_equal(np.sort(order), np.arange(length))
    some = np.array([0, length // 2, length - 1])
    assert np.array_equal(shuffled_order(some, length, np.uint64(key)), order[some])


@few
@given(st.lists(st.integers(0, 2**63), min_size=1), st.integers(-(2**70), 2**70))
def test_hash_against_plain_integers(numbers, key):
    def slow(number: int) -> int:
        mixed = (number + (key + 1) * 0x9E3779B97F4A7C15) % 2**64
        mixed = (mixed ^ mixed >> 30) * 0xBF58476D1CE4E5B9 % 2**64
        mixed = (mixed ^ mixed >> 27) * 0x94D049BB133111EB % 2**64
        return mixed ^ mixed >> 31

    assert hash_numbers(np.array(numbers, np.uint64), key).tolist() == [slow(n) for n in numbers]


# --- is it random? -------------------------------------------------------------------------------


@pytest.mark.parametrize("length", [2, 5, 24, 100])
def test_samples_are_at_each_position_equally_often(length):
    passes = 20_000
    drawn = sampler(length, seed=1).indices(0, passes * length).reshape(passes, length)
    for place in {0, 1, length // 2, length - 1}:
        counts = np.bincount(drawn[:, place], minlength=length)
        chi_square = ((counts - passes / length) ** 2 / (passes / length)).sum()
        # Mean length - 1, variance 2 (length - 1): five standard deviations.
        assert chi_square < length - 1 + 5 * (2 * (length - 1)) ** 0.5


def test_neighbors_are_not_related():
    order = sampler(50_000, seed=3).indices(0, 50_000)
    again = sampler(50_000, seed=3).indices(50_000, 50_000)
    for first, second in [(order[:-1], order[1:]), (np.arange(50_000), order), (order, again)]:
        assert abs(np.corrcoef(first, second)[0, 1]) < 0.02
    # Steps from one draw to the next: as many small ones as chance gives.
    assert 3 < np.sum(np.abs(np.diff(order)) <= 5) < 25
    assert not np.array_equal(order, sampler(50_000, seed=4).indices(0, 50_000))


def test_all_orders_of_a_few_samples_occur():
    orders = sampler(4, seed=0).indices(0, 4 * 24_000).reshape(-1, 4)
    counts = Counter(map(tuple, orders.tolist()))
    assert len(counts) == 24
    assert max(counts.values()) < 1200
    assert min(counts.values()) > 800


# --- cost ----------------------------------------------------------------------------------------


def test_far_position_of_a_huge_set_is_set_quickly():
    far = sampler(10**10, seed=0)
    start = time.process_time()  # what else runs on the machine does not count
    far.set_position(10**13)
    assert len(set(take(far, 1000))) == 1000
    assert time.process_time() - start < 1  # milliseconds; drawing up to there would take weeks


# --- within MMEngine -----------------------------------------------------------------------------


@pytest.mark.parametrize("workers", [0, 2])
def test_runner_builds_the_sampler(workers):
    loader = Runner.build_dataloader(
        dict(
            batch_size=4,
            num_workers=workers,
            sampler=dict(type="mms_ocr.EndlessSampler", shuffle=True),
            dataset=list(range(10)),
        ),
        seed=7,
    )
    assert isinstance(loader, DataLoader)
    loader.sampler.set_position(8)
    batches = itertools.islice(loader, 5)
    assert [int(index) for batch in batches for index in batch] == take(sampler(10, seed=7), 28)[8:]


def test_skip_resumes_as_mmengine_calls_it():
    resumed = DATA_SAMPLERS.build(dict(type="mms_ocr.EndlessSampler", dataset=range(9), seed=2))
    resumed.skip(100)
    assert take(resumed, 5) == take(sampler(9, seed=2), 105)[100:]


def draw_as_rank(rank: int, store: str, drawn) -> None:
    torch.distributed.init_process_group(
        "gloo", init_method=f"file://{store}", rank=rank, world_size=2
    )
    drawn.put((rank, take(EndlessSampler(range(11)), 11)))
    torch.distributed.destroy_process_group()


def test_ranks_share_a_seed_when_none_is_given(tmp_path):
    context = multiprocessing.get_context("fork")
    drawn = context.Queue()
    processes = [
        context.Process(target=draw_as_rank, args=(rank, str(tmp_path / "store"), drawn))
        for rank in range(2)
    ]
    for process in processes:
        process.start()
    by_rank = dict(drawn.get(timeout=60) for _ in processes)
    for process in processes:
        process.join()
    stream = list(itertools.chain(*zip(by_rank[0], by_rank[1])))
    assert sorted(stream[:11]) == sorted(stream[11:]) == list(range(11))


def test_the_position_can_be_set_while_iterating():
    moving = sampler(20, seed=0)
    iterator = iter(moving)
    first = [next(iterator) for _ in range(3)]
    moving.set_position(0)
    assert [next(iterator) for _ in range(3)] == first


def test_length_is_that_of_a_pass_of_the_rank():
    assert len(sampler(10, 0, 4)) == 3
    assert len(sampler(10)) == 10


# --- bad input -----------------------------------------------------------------------------------


def test_bad_input():
    with pytest.raises(ValueError, match="is empty"):
        sampler(0)
    with pytest.raises(ValueError, match="not negative, got -1"):
        sampler(3).set_position(-1)
    with pytest.raises(ValueError, match="of a data set of 1,000 images, and this one has 999"):
        sampler(999).load_state_dict(sampler(1000).state_dict())
