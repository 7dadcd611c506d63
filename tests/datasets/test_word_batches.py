"""Batches that are read in one go hold what reading them image by image gives."""

from __future__ import annotations

import os
import pickle
from pathlib import Path

import cv2
import numpy as np
import pytest
import torch
from made_images import encode, lmdb_entries, word_pixels, write_lmdb
from mmengine.dataset import default_collate, pseudo_collate
from mmengine.registry import FUNCTIONS
from torch.utils.data import DataLoader, Subset

from mms_ocr.datasets import EndlessSampler, WordBatch, WordImageDataset, collate_words
from mms_ocr.datasets.broken import TooManyBrokenError
from mms_ocr.datasets.sources import SourceChangedError

# One of each way to resize: as it is, larger, smaller by up to 1.5, 2, more, and very small.
SHAPES = [(32, 128), (20, 60), (45, 150), (60, 200), (70, 300), (1, 1)]


def images(start: int = 0, broken: tuple[int, ...] = ()) -> list[bytes]:
    made = []
    for number, shape in enumerate(SHAPES):
        pixels = cv2.GaussianBlur(word_pixels(start + number, *shape), (5, 5), 0)
        suffix = (".jpg", ".png")[(start + number) % 2]
        made.append(b"broken" if number in broken else encode(pixels, suffix))
    return made


def pipeline(**pack) -> list[dict]:
    return [dict(type="mms_ocr.ResizeWordImage"), dict(type="mms_ocr.PackWordImage", **pack)]


def fields(samples: list) -> list[dict]:
    return [dict(sample.metainfo_items()) for sample in samples]


def assert_same(fused: dict, single: dict) -> None:
    assert fused.keys() == single.keys()
    assert fused["inputs"].dtype == torch.uint8
    assert torch.equal(fused["inputs"], single["inputs"])
    assert fields(fused.get("data_samples", [])) == fields(single.get("data_samples", []))


@pytest.mark.parametrize("pack", [{}, dict(meta_keys=()), dict(meta_keys=("img_shape", "none"))])
@pytest.mark.parametrize("holdout", [None, dict(share=0.4, part="train")])
def test_a_batch_is_its_images_one_by_one(make_source, pack, holdout):
    paths = [
        make_source("lmdb", images(0, broken=(2, 5)), name="a"),
        make_source("jsonl", images(10, broken=(0, 3)), name="b"),
        make_source("folder", images(20, broken=(4, 5)), name="c"),
        make_source("lmdb", images(30), name="d"),
    ]
    settings = dict(max_broken=1, holdout=holdout)
    fused, single = (WordImageDataset(paths, pipeline(**pack), **settings) for _ in range(2))
    order = np.random.default_rng(0).permutation(len(fused)).tolist()
    order += [-1, 0, 0, -len(fused)]
    batch = fused.__getitems__(order)
    assert isinstance(batch, WordBatch)
    assert_same(collate_words(batch), default_collate([single[index] for index in order]))
    assert (fused.num_read, fused.num_broken) == (single.num_read, single.num_broken)
    assert fused.num_broken > 0


@pytest.mark.parametrize("interpolation", ["nearest", "bilinear", "bicubic"])
def test_other_sizes_and_interpolations(make_source, interpolation):
    resize = dict(type="mms_ocr.ResizeWordImage", size=(24, 40), interpolation=interpolation)
    dataset = WordImageDataset(make_source("lmdb", images()), [resize, pipeline()[1]])
    batch = collate_words(dataset.__getitems__(range(6)))
    assert batch["inputs"].shape == (6, 3, 24, 40)
    assert_same(batch, default_collate([dataset[index] for index in range(6)]))


@pytest.mark.parametrize("kind", ["lmdb", "jsonl"])
def test_labels(make_source, kind):
    path = make_source(kind, images(), list("abcdef"))
    dataset = WordImageDataset(path, pipeline(), labelled=True)
    samples = dataset.__getitems__([4, 1]).collated()["data_samples"]
    assert [sample.text for sample in samples] == ["e", "b"]


def test_the_pixels_are_not_moved_again(make_source):
    dataset = WordImageDataset(make_source("lmdb", images()), pipeline(meta_keys=()))
    batch = dataset.__getitems__([3, 1])
    inputs = collate_words(batch)["inputs"]
    assert inputs.data_ptr() == batch.inputs.data_ptr()
    assert inputs.is_contiguous(memory_format=torch.channels_last)


@pytest.mark.parametrize("collate", [default_collate, pseudo_collate, list])
@pytest.mark.parametrize("pack", [{}, dict(meta_keys=())])
def test_any_collate_function_takes_a_batch(make_source, collate, pack):
    dataset = WordImageDataset(make_source("lmdb", images()), pipeline(**pack))
    given = collate(dataset.__getitems__([2, 0, 4]))
    expected = collate([dataset[index] for index in (2, 0, 4)])
    if collate is list:
        given, expected = default_collate(given), default_collate(expected)
    assert given.keys() == expected.keys()
    assert all(torch.equal(a, b) for a, b in zip(given["inputs"], expected["inputs"]))
    assert fields(given.get("data_samples", [])) == fields(expected.get("data_samples", []))


def test_a_batch_is_a_sequence(make_source):
    dataset = WordImageDataset(make_source("lmdb", images()), pipeline())
    batch = dataset.__getitems__(range(6))
    assert len(batch) == len(list(batch)) == 6
    assert_same(batch[1:3].collated(), default_collate([dataset[1], dataset[2]]))
    with pytest.raises(IndexError):
        batch[6]


def test_collating_other_items():
    collate = FUNCTIONS.get("mms_ocr.collate_words")
    assert collate is collate_words
    collated = collate([dict(inputs=torch.ones(2)), dict(inputs=torch.zeros(2))])
    assert collated["inputs"].tolist() == [[1, 1], [0, 0]]


class Upside(WordImageDataset):
    def load(self, index):
        results = super().load(index)
        return {**results, "img": results["img"][::-1]}


def test_other_pipelines_and_data_sets_read_image_by_image(make_source):
    path = make_source("lmdb", images())
    results = WordImageDataset(path).__getitems__([1])
    assert results[0]["img"].shape == (20, 60, 3)
    flipped = Upside(path, pipeline(meta_keys=()))
    items = flipped.__getitems__([0])
    assert not isinstance(items, WordBatch)
    upright = WordImageDataset(path, pipeline(meta_keys=()))[0]["inputs"]
    assert torch.equal(items[0]["inputs"], upright.flip(1))


@pytest.mark.parametrize("context", [None, "fork", pytest.param("spawn", marks=pytest.mark.slow)])
def test_loaders(make_source, context):
    dataset = WordImageDataset(
        make_source("lmdb", images(0, broken=(3,)) + images(10)), pipeline(), max_broken=0.5
    )
    expected = default_collate([dataset[index] for index in range(12)])
    loader = DataLoader(
        Subset(dataset, range(12)),
        5,
        num_workers=0 if context is None else 2,
        multiprocessing_context=context,
        collate_fn=collate_words,
    )
    batches = list(loader)
    inputs = torch.cat([batch["inputs"] for batch in batches])
    samples = [sample for batch in batches for sample in batch["data_samples"]]
    assert_same(dict(inputs=inputs, data_samples=samples), expected)
    assert batches[0]["inputs"].is_contiguous(memory_format=torch.channels_last)
    assert (dataset.num_read, dataset.num_broken) == (26, 2)


def test_after_pickling(make_source):
    dataset = WordImageDataset(make_source("lmdb", images()), pipeline())
    dataset.__getitems__([0])
    copy = pickle.loads(pickle.dumps(dataset))
    assert_same(collate_words(copy.__getitems__([4])), collate_words(dataset.__getitems__([4])))


# --- bad input -----------------------------------------------------------------------------------


def test_too_many_broken_images(make_source):
    path = make_source("lmdb", images(0, broken=(1, 4)))
    messages = []
    for read in (lambda d: [d[i] for i in range(6)], lambda d: d.__getitems__(range(6))):
        with pytest.raises(TooManyBrokenError) as error:
            read(WordImageDataset(path, pipeline(), max_broken=0.2))
        messages.append(str(error.value))
    assert messages[0] == messages[1]
    assert "2 of 6 images" in messages[0]
    assert "image-000000005: not an image of a known format" in messages[0]


def test_an_index_outside(make_source):
    dataset = WordImageDataset(make_source("lmdb", images()), pipeline())
    with pytest.raises(IndexError, match="index 6 outside a data set of 6 images"):
        dataset.__getitems__([0, 6])


@pytest.mark.parametrize("change", ["shrinks", "vanishes"])
def test_a_source_that_changes(make_source, change):
    path = make_source("lmdb", images())
    dataset = WordImageDataset(path, pipeline())
    batches = iter(
        DataLoader(dataset, 2, sampler=EndlessSampler(dataset), collate_fn=collate_words)
    )
    next(batches)
    if change == "shrinks":
        os.truncate(path / "data.mdb", 8192)
    else:
        (path / "data.mdb").unlink()
    with pytest.raises(SourceChangedError, match="while it was in use"):
        next(batches)


def damage_leaf(file: Path, key: bytes) -> None:
    """Make the page of an LMDB that holds a key none of its tree."""
    data = bytearray(file.read_bytes())
    for start in range(0, len(data), 4096):
        is_leaf = int.from_bytes(data[start + 10 : start + 12], "little") == 2
        if is_leaf and key in data[start : start + 4096]:
            data[start + 10 : start + 12] = bytes(2)
    file.write_bytes(data)


def test_a_damaged_page_costs_its_own_images_only(tmp_path):
    made = [encode(word_pixels(number, 4, 4)) for number in range(300)]
    path = write_lmdb(tmp_path / "words.lmdb", lmdb_entries(made))
    damage_leaf(path / "data.mdb", b"image-000000100")
    fused, single = (WordImageDataset(path, pipeline(), max_broken=1) for _ in range(2))
    order = range(90, 160)
    assert_same(
        collate_words(fused.__getitems__(order)),
        default_collate([single[index] for index in order]),
    )
    assert (fused.num_read, fused.num_broken) == (single.num_read, single.num_broken)
    assert 1 <= fused.num_broken < fused.num_read - 70 + 1
