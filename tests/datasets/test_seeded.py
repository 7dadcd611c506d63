"""Random transforms that depend on the seed, the pass and the index only."""

import random

import numpy as np
import pytest
import torch
from mmcv.transforms import BaseTransform
from torch.utils.data import DataLoader, Dataset

from mms_ocr.datasets import EndlessSampler, MixedDataset, RenderedWordDataset, SeededDataset
from mms_ocr.datasets.seeded import draws_nothing
from mms_ocr.utils.randomness import seed_everything, take_random_states


class Drawing(Dataset):
    """Items are the numbers drawn for them."""

    metainfo = {"name": "drawing"}

    def __len__(self):
        return 10

    def __getitem__(self, index):
        assert 0 <= index < 10
        return [index, random.random(), float(np.random.rand()), float(torch.rand(()))]


class Chance(BaseTransform):
    def transform(self, results):
        return results


def drawn(start, count, workers=0, batch_size=3, seed=1):
    dataset = SeededDataset(Drawing(), seed)
    sampler = EndlessSampler(dataset, seed=4, numbered=True)
    sampler.set_position(start)
    loader = DataLoader(
        dataset,
        batch_size,
        sampler=sampler,
        num_workers=workers,
        collate_fn=list,
    )
    items = []
    for batch in loader:
        items += batch
        if len(items) >= count:
            return items[:count]


def test_workers_batches_and_position_do_not_matter():
    expected = drawn(0, 24)
    assert len({tuple(item[1:]) for item in expected}) == 24
    assert drawn(0, 24, workers=2) == expected
    assert drawn(0, 24, workers=3, batch_size=4) == expected
    assert drawn(9, 15, workers=1) == expected[9:]
    assert drawn(0, 24, seed=2) != expected


def test_each_pass_draws_other_numbers():
    items = drawn(0, 20)
    first = {item[0]: item[1:] for item in items[:10]}
    second = {item[0]: item[1:] for item in items[10:]}
    assert sorted(first) == sorted(second) == list(range(10))
    assert all(first[index] != second[index] for index in range(10))


def test_global_random_state_is_restored():
    seed_everything(3)
    before = take_random_states()
    SeededDataset(Drawing(), 0)[13]
    assert torch.equal(take_random_states()["torch"], before["torch"])
    assert torch.equal(take_random_states()["python"][1], before["python"][1])


def test_other_attributes_are_those_of_the_wrapped_set():
    dataset = SeededDataset(Drawing(), 0)
    assert len(dataset) == 10
    assert dataset.metainfo == {"name": "drawing"}
    with pytest.raises(AttributeError, match="nothing_like_it"):
        _ = dataset.nothing_like_it


def test_data_sets_without_random_transforms():
    resize = dict(type="mms_ocr.ResizeWordImage", size=(32, 128))
    pack = dict(type="mms_ocr.PackWordImage", meta_keys=())
    fixed = RenderedWordDataset(4, [resize, pack])
    chance = RenderedWordDataset(4, [resize, Chance(), pack])
    assert draws_nothing(fixed)
    assert not draws_nothing(chance)
    assert not draws_nothing(Drawing())
    assert draws_nothing(MixedDataset([fixed, fixed]))
    assert not draws_nothing(MixedDataset([fixed, chance]))
    seeded = SeededDataset(fixed, 0)
    assert torch.equal(seeded[6]["inputs"], fixed[2]["inputs"])


@pytest.mark.parametrize("shuffle", [True, False])
def test_numbered_sampling(shuffle):
    plain = EndlessSampler(range(7), shuffle, seed=3).indices(0, 30)
    numbered = EndlessSampler(range(7), shuffle, seed=3, numbered=True).indices(0, 30)
    assert np.array_equal(numbered % 7, plain)
    assert np.array_equal(numbered // 7, np.arange(30) // 7)
