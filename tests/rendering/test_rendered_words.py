"""The data set of rendered words: what the pipeline gets, and that (seed, index) fixes it."""

import multiprocessing
import pickle

import numpy as np
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from mmengine.dataset import DefaultSampler
from mmengine.runner import Runner

from mms_ocr.datasets import RenderedWordDataset
from mms_ocr.registry import DATASETS


@pytest.fixture(scope="module")
def words() -> RenderedWordDataset:
    return RenderedWordDataset(1000, extras=("clean", "mask", "char_boxes"))


def _same(first: dict, second: dict) -> bool:
    return first.keys() == second.keys() and all(
        np.array_equal(value, second[key]) for key, value in first.items()
    )


def _render_elsewhere(dataset: RenderedWordDataset, indices: list[int]) -> list[dict]:
    np.random.seed(5)  # global state must not matter
    return [dataset[index] for index in indices]


def test_results(words):
    results = words[7]
    height, width = results["img"].shape[:2]
    assert results["img"].dtype == np.uint8
    assert results["img"].shape == (height, width, 3) == results["clean"].shape
    assert 32 <= height <= 64
    assert results["img_path"] == "rendered:0:7"
    assert results["img_shape"] == results["ori_shape"] == results["mask"].shape == (height, width)
    assert results["sample_idx"] == 7
    assert results["text"] == words.renderer.content(7)[0]
    assert results["char_boxes"].shape == (len(results["text"]), 4)
    assert set(RenderedWordDataset(8)[7]) == set(results) - {"clean", "mask", "char_boxes"}


def test_built_by_type_and_usable_by_the_runner():
    loader = Runner.build_dataloader(
        dict(
            dataset=dict(type="mms_ocr.RenderedWordDataset", num_samples=6, metainfo=dict(a=1)),
            sampler=dict(type=DefaultSampler, shuffle=False),
            batch_size=3,
            num_workers=0,
            collate_fn=dict(type="pseudo_collate"),
        )
    )
    batches = list(loader)
    assert loader.dataset.metainfo == {"a": 1}
    assert [index for batch in batches for index in batch["sample_idx"]] == list(range(6))
    built = DATASETS.build(dict(type="RenderedWordDataset", num_samples=1))
    assert isinstance(built, RenderedWordDataset)


def test_same_sample_in_a_spawned_process_and_in_any_order(words):
    indices = [999, 3, 0, 512, 4]
    for index in range(20):
        words[index]  # fills caches that the other process lacks
    here = [words[index] for index in indices]
    with multiprocessing.get_context("spawn").Pool(1) as pool:
        there = pool.apply(_render_elsewhere, (words, indices))
    assert all(map(_same, here, there))
    fresh = RenderedWordDataset(1000, extras=("clean", "mask", "char_boxes"))
    assert all(map(_same, here, [fresh[index] for index in indices]))


def test_loader_workers_give_what_the_data_set_gives(words):
    loader = torch.utils.data.DataLoader(
        words, batch_size=None, num_workers=2, sampler=range(8), collate_fn=lambda item: item
    )
    assert all(_same(words[i], {**item}) for i, item in enumerate(loader))


@settings(max_examples=25, deadline=None)
@given(index=st.integers(0, 999), state=st.integers(0, 2**32 - 1))
def test_global_random_state_is_neither_read_nor_changed(words, index, state):
    np.random.seed(state)
    torch.manual_seed(state)
    before = pickle.dumps(np.random.get_state()), torch.get_rng_state()
    first = words[index]
    assert pickle.dumps(np.random.get_state()) == before[0]
    assert torch.equal(torch.get_rng_state(), before[1])
    assert _same(first, words[index])


def test_seeds_and_indices_give_different_words(words):
    other = RenderedWordDataset(1000, seed=1)
    assert len({words[index]["img"].tobytes() for index in range(50)}) == 50
    assert not any(np.array_equal(words[i]["img"], other[i]["img"]) for i in range(20))


def test_text_does_not_depend_on_difficulty(words):
    plain = RenderedWordDataset(1000, difficulty=0)
    assert [plain.renderer.content(i)[0] for i in range(50)] == [
        words.renderer.content(i)[0] for i in range(50)
    ]


def test_negative_and_outside_indices(words):
    assert words[-1]["sample_idx"] == 999
    assert words[-1]["img_path"] == "rendered:0:999"
    for index in (1000, -1001):
        with pytest.raises(IndexError, match=f"index {index} outside a data set of 1000 words"):
            words[index]


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        (dict(num_samples=0), "num_samples is 0; give at least 1"),
        (dict(extras=["depth"]), "extras hold 'depth'; there are clean, mask, char_boxes"),
        (dict(seed=-1), "seed is -1; give an integer"),
        (
            dict(words=["fine", "日本"]),
            "1 of 2 words cannot be drawn with any of the 21 .*日本",
        ),
        (dict(font_part="test"), "font_part is 'test'; give 'train', 'val' or None"),
    ],
)
def test_wrong_settings(arguments, message):
    with pytest.raises(ValueError, match=message):
        RenderedWordDataset(**{"num_samples": 4, **arguments})


def test_pipeline_that_returns_none_raises():
    dataset = RenderedWordDataset(4, pipeline=[lambda results: None])
    with pytest.raises(RuntimeError, match="rendered:0:2: the pipeline returned None"):
        dataset[2]


def test_font_parts_share_no_family():
    parts = {
        part: {face.family for face in RenderedWordDataset(1, font_part=part).renderer.fonts.faces}
        for part in ("train", "val", None)
    }
    assert parts["train"]
    assert parts["val"]
    assert not parts["train"] & parts["val"]
    assert parts["train"] | parts["val"] == parts[None]
