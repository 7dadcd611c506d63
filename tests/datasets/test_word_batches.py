"""A batch that is read into one array has the values of reading image by image."""

from __future__ import annotations

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

from mms_ocr.datasets import WordImageDataset, collate_words
from mms_ocr.datasets.broken import TooManyBrokenError
from mms_ocr.datasets.loading import PixelBatch

# One for each way to resize: as it is, larger, smaller by up to 1.5, 2, more, and very small.
SHAPES = [(32, 128), (20, 60), (45, 150), (60, 200), (70, 300), (1, 1)]
RESIZE = dict(type="mms_ocr.ResizeWordImage")
PIPELINE = [RESIZE, dict(type="mms_ocr.PackWordImage", meta_keys=())]


def images(start: int = 0, broken: tuple[int, ...] = ()) -> list[bytes]:
    made = []
    for number, shape in enumerate(SHAPES):
        pixels = cv2.GaussianBlur(word_pixels(start + number, *shape), (5, 5), 0)
        suffix = (".jpg", ".png")[(start + number) % 2]
        made.append(b"broken" if number in broken else encode(pixels, suffix))
    return made


@pytest.mark.parametrize("holdout", [None, dict(share=0.4, part="train")])
def test_a_batch_equals_its_images_one_by_one(make_source, holdout):
    paths = [
        make_source("lmdb", images(0, broken=(2, 5)), name="a"),
        make_source("jsonl", images(10, broken=(0, 3)), name="b"),
        make_source("folder", images(20, broken=(4, 5)), name="c"),
        make_source("lmdb", images(30), name="d"),
    ]
    settings = dict(max_broken=1, holdout=holdout)
    together, single = (WordImageDataset(paths, PIPELINE, **settings) for _ in range(2))
    order = np.random.default_rng(0).permutation(len(together)).tolist()
    order += [-1, 0, 0, -len(together)]
    batch = together.__getitems__(order)
    assert isinstance(batch, PixelBatch)
    expected = default_collate([single[index] for index in order])
    assert torch.equal(collate_words(batch)["inputs"], expected["inputs"])
    assert collate_words(batch)["inputs"].is_contiguous(memory_format=torch.channels_last)
    assert (together.num_read, together.num_broken) == (single.num_read, single.num_broken)
    assert together.num_broken > 0


@pytest.mark.parametrize("interpolation", ["nearest", "bilinear", "bicubic"])
def test_other_sizes_and_interpolations(make_source, interpolation):
    resize = dict(RESIZE, size=(24, 40), interpolation=interpolation)
    dataset = WordImageDataset(make_source("lmdb", images()), [resize, PIPELINE[1]])
    inputs = collate_words(dataset.__getitems__(range(6)))["inputs"]
    assert inputs.shape == (6, 3, 24, 40)
    assert torch.equal(inputs, default_collate([dataset[index] for index in range(6)])["inputs"])


@pytest.mark.parametrize("collate", [default_collate, pseudo_collate])
def test_any_collate_function_takes_a_batch(make_source, collate):
    dataset = WordImageDataset(make_source("lmdb", images()), PIPELINE)
    together = collate(dataset.__getitems__([2, 0, 4]))
    expected = collate([dataset[index] for index in (2, 0, 4)])
    assert together.keys() == expected.keys()
    assert all(torch.equal(a, b) for a, b in zip(together["inputs"], expected["inputs"]))


def test_a_batch_is_a_sequence(make_source):
    dataset = WordImageDataset(make_source("lmdb", images()), PIPELINE)
    batch = dataset.__getitems__(range(6))
    assert len(batch) == len(list(batch)) == 6
    assert torch.equal(batch[1:3][1]["inputs"], dataset[2]["inputs"])
    with pytest.raises(IndexError):
        batch[6]


def test_collating_other_items():
    assert FUNCTIONS.get("mms_ocr.collate_words") is collate_words
    collated = collate_words([dict(inputs=torch.ones(2)), dict(inputs=torch.zeros(2))])
    assert collated["inputs"].tolist() == [[1, 1], [0, 0]]


class Upside(WordImageDataset):
    def __getitem__(self, index):
        item = super().__getitem__(index)
        return {**item, "inputs": item["inputs"].flip(1)}


def test_other_pipelines_and_data_sets_read_image_by_image(make_source):
    path = make_source("lmdb", images())
    assert WordImageDataset(path).__getitems__([1])[0]["img"].shape == (20, 60, 3)
    named = WordImageDataset(path, [RESIZE, dict(type="mms_ocr.PackWordImage")])
    assert named.__getitems__([3])[0]["data_samples"].sample_idx == 3
    items = Upside(path, PIPELINE).__getitems__([0])
    upright = WordImageDataset(path, PIPELINE)[0]["inputs"]
    assert torch.equal(items[0]["inputs"], upright.flip(1))


@pytest.mark.parametrize("context", [None, "fork", pytest.param("spawn", marks=pytest.mark.slow)])
def test_loaders(make_source, context):
    dataset = WordImageDataset(
        make_source("lmdb", images(0, broken=(3,)) + images(10)), PIPELINE, max_broken=0.5
    )
    expected = default_collate([dataset[index] for index in range(12)])["inputs"]
    loader = DataLoader(
        Subset(dataset, range(12)),
        5,
        num_workers=0 if context is None else 2,
        multiprocessing_context=context,
        collate_fn=collate_words,
    )
    batches = [batch["inputs"] for batch in loader]
    assert torch.equal(torch.cat(batches), expected)
    assert batches[0].is_contiguous(memory_format=torch.channels_last)
    assert (dataset.num_read, dataset.num_broken) == (26, 2)


def test_after_pickling(make_source):
    dataset = WordImageDataset(make_source("lmdb", images()), PIPELINE)
    copy = pickle.loads(pickle.dumps(dataset))
    assert torch.equal(copy.__getitems__([4])[0]["inputs"], dataset[4]["inputs"])


def test_too_many_broken_images(make_source):
    path = make_source("lmdb", images(0, broken=(1, 4)))
    messages = []
    for read in (lambda d: [d[i] for i in range(6)], lambda d: d.__getitems__(range(6))):
        with pytest.raises(TooManyBrokenError) as error:
            read(WordImageDataset(path, PIPELINE, max_broken=0.2))
        messages.append(str(error.value))
    assert messages[0] == messages[1]
    assert "2 of 6 images" in messages[0]
    assert "image-000000005" in messages[0]


def test_an_index_outside(make_source):
    dataset = WordImageDataset(make_source("lmdb", images()), PIPELINE)
    with pytest.raises(IndexError, match="index 6"):
        dataset.__getitems__([0, 6])


def damage_leaf(file: Path, key: bytes) -> None:
    """Damage the page of an LMDB that holds a key, so that it is not a leaf of its tree."""
    data = bytearray(file.read_bytes())
    for start in range(0, len(data), 4096):
        is_leaf = int.from_bytes(data[start + 10 : start + 12], "little") == 2
        if is_leaf and key in data[start : start + 4096]:
            data[start + 10 : start + 12] = bytes(2)
    file.write_bytes(data)


def test_a_damaged_page_affects_its_own_images_only(tmp_path):
    made = [encode(word_pixels(number, 4, 4)) for number in range(300)]
    path = write_lmdb(tmp_path / "words.lmdb", lmdb_entries(made))
    damage_leaf(path / "data.mdb", b"image-000000100")
    dataset = WordImageDataset(path, PIPELINE, max_broken=1)
    undamaged = WordImageDataset(write_lmdb(tmp_path / "other.lmdb", lmdb_entries(made)), PIPELINE)
    read = dataset.__getitems__(range(90, 160)).inputs
    expected = undamaged.__getitems__(range(90, 160)).inputs
    assert 1 <= dataset.num_broken < dataset.num_read - 70 + 1
    is_equal = (read == expected).flatten(1).all(1)
    assert int(is_equal.sum()) >= 70 - dataset.num_broken
