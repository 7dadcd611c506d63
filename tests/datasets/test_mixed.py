from __future__ import annotations

from collections import Counter

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from made_images import encode, word_pixels
from mmengine.registry import DATASETS
from mmengine.runner import Runner

from mms_ocr.datasets import MixedDataset, WordImageDataset
from mms_ocr.datasets.mixed import repeats_for_shares


class Named(list):
    """A data set whose items are their names."""

    def __init__(self, name: str, length: int) -> None:
        super().__init__((name, place) for place in range(length))


def test_choosing_by_size_is_sequential():
    mixed = MixedDataset([Named("a", 3), Named("b", 2)])
    assert list(map(mixed.__getitem__, range(5))) == [*Named("a", 3), *Named("b", 2)]
    assert len(mixed) == 5
    assert mixed[-1] == ("b", 1)
    with pytest.raises(IndexError):
        mixed[5]


def test_weights_by_hand():
    # 6 images to 3, equal weights: the smaller comes twice.
    mixed = MixedDataset([Named("a", 6), Named("b", 3)], weights=[5, 5])
    assert Counter(map(mixed.__getitem__, range(len(mixed)))) == {
        **dict.fromkeys(Named("a", 6), 1),
        **dict.fromkeys(Named("b", 3), 2),
    }


@pytest.mark.parametrize(("temperature", "share"), [(1, 0.8), (2, 2 / 3), (1e9, 0.5)])
def test_temperature_by_hand(temperature, share):
    mixed = MixedDataset([Named("a", 400), Named("b", 100)], temperature=temperature)
    counts = mixed.repeats * [400, 100]
    np.testing.assert_allclose(counts / len(mixed), [share, 1 - share], rtol=0.02)


sizes_and_shares = st.lists(
    st.tuples(st.integers(1, 10**7), st.floats(0.01, 100)), min_size=1, max_size=5
)


@given(sizes_and_shares)
def test_shares_are_met(sizes_and_shares):
    lengths, shares = map(np.array, zip(*sizes_and_shares))
    filled = repeats_for_shares(lengths, shares) * lengths
    np.testing.assert_allclose(filled / filled.sum(), shares / shares.sum(), rtol=0.021)


@given(st.lists(st.integers(1, 60), min_size=1, max_size=4), st.data())
def test_every_image_comes_equally_often(lengths, data):
    weights = [data.draw(st.floats(0.2, 5)) for _ in lengths]
    parts = [Named(str(number), length) for number, length in enumerate(lengths)]
    mixed = MixedDataset(parts, weights=weights)
    counts = Counter(mixed[index] for index in range(len(mixed)))
    for part, repeats in zip(parts, mixed.repeats):
        assert [counts[item] for item in part] == [repeats] * len(part)


def test_sources_of_several_kinds_in_one_config(make_source):
    images = [encode(word_pixels(number)) for number in range(4)]
    mixed = DATASETS.build(
        dict(
            type="mms_ocr.MixedDataset",
            pipeline=[dict(type="mms_ocr.ResizeWordImage"), dict(type="mms_ocr.PackWordImage")],
            datasets=[
                dict(type="mms_ocr.WordImageDataset", path=str(make_source("lmdb", images))),
                dict(
                    type="mms_ocr.WordImageDataset",
                    path=str(make_source("folder", [*images[:3], b"broken"], name="b")),
                    max_broken=0.5,
                    pipeline=[],
                ),
            ],
        )
    )
    assert mixed[0]["inputs"].shape == (3, 32, 128)
    assert mixed[4]["img"].shape == (20, 60, 3)
    mixed[5]  # part0/003.png is the broken one
    assert mixed.datasets[1].num_broken == 1


def test_the_runner_mixes_them(make_source):
    paths = [
        str(make_source("lmdb", [encode(word_pixels(number))] * count, name=str(number)))
        for number, count in enumerate((30, 6))
    ]
    loader = Runner.build_dataloader(
        dict(
            batch_size=100,
            num_workers=2,
            sampler=dict(type="mms_ocr.EndlessSampler"),
            dataset=dict(
                type="mms_ocr.MixedDataset",
                weights=[1, 3],
                metainfo=dict(name="mix"),
                datasets=[dict(type="mms_ocr.WordImageDataset", path=path) for path in paths],
            ),
        ),
        seed=0,
    )
    batch = next(iter(loader))
    share = np.mean([path.startswith(paths[1]) for path in batch["img_path"]])
    assert 0.6 < share < 0.9
    assert loader.dataset.metainfo == dict(name="mix")


def test_bad_input(make_source):
    with pytest.raises(ValueError, match="datasets is empty"):
        MixedDataset([])
    with pytest.raises(ValueError, match="data set 1 of the mix is empty"):
        MixedDataset([[1], []])
    with pytest.raises(ValueError, match="not both"):
        MixedDataset([[1], [2]], weights=[1, 2], temperature=1)
    for weights in ([1], [1, 0], [1, -1], [1, float("nan")]):
        with pytest.raises(ValueError, match="weights are 2 positive numbers"):
            MixedDataset([[1], [2]], weights=weights)
    with pytest.raises(ValueError, match="temperature is positive"):
        MixedDataset([[1], [2]], temperature=0)


def test_configs_are_not_changed(make_source):
    config = dict(type="mms_ocr.WordImageDataset", path=str(make_source("lmdb", [b"x"])))
    copy = dict(config)
    mixed = MixedDataset([config], pipeline=[])
    assert config == copy
    assert isinstance(mixed.datasets[0], WordImageDataset)
