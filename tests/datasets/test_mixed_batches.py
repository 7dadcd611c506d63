"""Batches of mixed data sets hold what reading them item by item gives, in the same order."""

from __future__ import annotations

import numpy as np
import pytest
import torch
from made_images import encode, word_pixels
from mmengine.dataset import default_collate
from torch.utils.data import DataLoader, Dataset

from mms_ocr.datasets import (
    EndlessSampler,
    MixedDataset,
    RenderedWordDataset,
    WordBatch,
    WordImageDataset,
    collate_words,
)


def pipeline(**pack) -> list[dict]:
    return [dict(type="mms_ocr.ResizeWordImage"), dict(type="mms_ocr.PackWordImage", **pack)]


def made(start: int, count: int, broken: tuple[int, ...] = ()) -> list[bytes]:
    return [
        b"broken" if n in broken else encode(word_pixels(start + n, 20 + 9 * n, 60 + 30 * n))
        for n in range(count)
    ]


@pytest.fixture
def mix(make_source):
    """Two files with broken images and rendered words, the second of them in a mix of its own."""
    first = make_source("lmdb", made(0, 7, broken=(2,)), name="a")
    second = make_source("jsonl", made(20, 4, broken=(1, 2)), name="b")

    def make(pack: dict, **rendered) -> MixedDataset:
        given = dict(pipeline=pipeline(**pack), max_broken=1)
        words = {**dict(num_samples=5, pipeline=pipeline(**pack)), **rendered}
        inner = MixedDataset([WordImageDataset(second, **given), RenderedWordDataset(**words)])
        return MixedDataset([WordImageDataset(first, **given), inner], weights=[1, 2])

    return make


def assert_same(given, expected) -> None:
    assert given.keys() == expected.keys()
    assert torch.equal(given["inputs"], expected["inputs"])
    samples = [
        [dict(sample.metainfo_items()) for sample in batch.get("data_samples", [])]
        for batch in (given, expected)
    ]
    assert samples[0] == samples[1]


def order_of(dataset: MixedDataset) -> list[int]:
    order = np.random.default_rng(0).permutation(len(dataset)).tolist()
    return [*order, -1, 0, 0, -len(dataset)]


@pytest.mark.parametrize("pack", [{}, dict(meta_keys=()), dict(meta_keys=("text", "img_shape"))])
def test_a_batch_is_its_items_one_by_one(mix, pack):
    fused, single = mix(pack), mix(pack)
    order = order_of(fused)
    batch = fused.__getitems__(order)
    assert isinstance(batch, WordBatch)
    assert_same(collate_words(batch), default_collate([single[index] for index in order]))
    assert (fused.num_read, fused.num_broken) == (single.num_read, single.num_broken)
    assert fused.num_broken > 0


@pytest.mark.parametrize(
    "other",
    [
        dict(pipeline=[dict(type="mms_ocr.ResizeWordImage", size=(16, 64)), *pipeline()[1:]]),
        dict(pipeline=pipeline(meta_keys=())),
        dict(pipeline=[]),
    ],
)
def test_items_of_several_forms_stay_items(mix, other):
    fused, single = mix({}, **other), mix({}, **other)
    order = order_of(fused)
    items = fused.__getitems__(order)
    assert isinstance(items, list)
    for index, item in zip(order, items):
        expected = single[index]
        if "img" in item:
            np.testing.assert_array_equal(item["img"], expected["img"])
        else:
            assert_same(default_collate([item]), default_collate([expected]))


class Plain(Dataset):
    def __len__(self) -> int:
        return 3

    def __getitem__(self, index: int) -> str:
        return f"plain {index}"


def test_data_sets_that_know_no_batches():
    mixed = MixedDataset([Plain(), RenderedWordDataset(2)])
    items = mixed.__getitems__([1, 3, 2, 4])
    assert [items[0], items[2]] == ["plain 1", "plain 2"]
    assert [items[1]["sample_idx"], items[3]["sample_idx"]] == [0, 1]


class Upside(MixedDataset):
    def __getitem__(self, index):
        item = super().__getitem__(index)
        return {**item, "inputs": item["inputs"].flip(1)}


def test_a_subclass_with_its_own_items_is_read_by_them():
    words = RenderedWordDataset(3, pipeline())
    items = Upside([words]).__getitems__([2])
    assert torch.equal(items[0]["inputs"], words[2]["inputs"].flip(1))


def test_an_index_outside(mix):
    mixed = mix({})
    with pytest.raises(IndexError, match=f"index {len(mixed)} outside a data set of"):
        mixed.__getitems__([0, len(mixed)])


@pytest.mark.parametrize("context", [None, "fork"])
def test_loaders(mix, context):
    mixed = mix({})
    loader = DataLoader(
        mixed,
        6,
        sampler=EndlessSampler(mixed, seed=1),
        num_workers=0 if context is None else 2,
        multiprocessing_context=context,
        collate_fn=collate_words,
    )
    batches = iter(loader)
    indices = EndlessSampler(mixed, seed=1).indices(0, 18).reshape(3, 6).tolist()
    for order in indices:
        batch = next(batches)
        assert_same(batch, default_collate([mixed[index] for index in order]))
        assert batch["inputs"].is_contiguous(memory_format=torch.channels_last)
        # What a worker read lies in shared memory already: nothing is copied on the way.
        assert batch["inputs"].is_shared() == (context is not None)
        batch["inputs"][:] = 0
    if context is not None:
        batches._shutdown_workers()
