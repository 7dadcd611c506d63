from __future__ import annotations

import json
import logging
import pickle

import cv2
import numpy as np
import pytest
from made_images import encode, word_pixels
from mmengine.registry import DATASETS
from mmengine.runner import Runner
from torch.utils.data import DataLoader

from mms_ocr.cli.main import main
from mms_ocr.datasets import RenderedWordDataset, WordImageDataset
from mms_ocr.datasets.broken import BrokenCounter, TooManyBrokenError
from mms_ocr.datasets.hashing import hash_numbers, holdout_indices
from mms_ocr.datasets.sources import BrokenImageError

KINDS = ["folder", "lmdb", "jsonl"]
PIPELINE = [dict(type="mms_ocr.ResizeWordImage"), dict(type="mms_ocr.PackWordImage")]


def images(count: int, broken: tuple[int, ...] = ()) -> list[bytes]:
    return [
        b"broken" if number in broken else encode(word_pixels(number)) for number in range(count)
    ]


def numbers(dataset: WordImageDataset) -> list[int]:
    """The made image at each index."""
    known = {word_pixels(number).tobytes(): number for number in range(200)}
    return [known[dataset[index]["img"].tobytes()] for index in range(len(dataset))]


@pytest.mark.parametrize("kind", KINDS)
def test_results_of_an_unlabelled_source(make_source, kind):
    dataset = WordImageDataset(make_source(kind, images(1)))
    results = dataset[0]
    np.testing.assert_array_equal(results.pop("img"), word_pixels(0))
    assert results == dict(
        img_path=dataset.image_name(0), img_shape=(20, 60), ori_shape=(20, 60), sample_idx=0
    )


@pytest.mark.parametrize("kind", ["lmdb", "jsonl"])
def test_labels(make_source, kind):
    path = make_source(kind, images(3), ["a", "ß", ""])
    assert [item["text"] for item in WordImageDataset(path, labelled=True)] == ["a", "ß", ""]
    assert "text" not in WordImageDataset(path)[0]


def test_labels_asked_of_a_folder(make_source):
    with pytest.raises(ValueError, match="has no labels"):
        WordImageDataset(make_source("folder", images(2)), labelled=True)


def test_the_same_file_in_several_data_sets(make_source):
    path = make_source("lmdb", images(4))
    first, second = WordImageDataset(path), WordImageDataset([path, path])
    assert numbers(first) + numbers(first) == numbers(second)


def test_several_sources_follow_each_other(make_source):
    paths = [
        make_source("lmdb", images(5)[:3], name="a"),
        make_source("jsonl", images(5)[3:4], name="b"),
        make_source("folder", images(5)[4:], name="c"),
    ]
    dataset = WordImageDataset(paths)
    assert numbers(dataset) == [0, 1, 2, 3, 4]
    assert [dataset[index]["sample_idx"] for index in range(5)] == [0, 1, 2, 3, 4]
    assert dataset[-1]["sample_idx"] == 4
    with pytest.raises(IndexError):
        dataset[5]


@pytest.mark.parametrize("context", ["fork", "spawn"])
def test_workers(make_source, context):
    dataset = WordImageDataset(make_source("lmdb", images(12, broken=(3,))), max_broken=0.5)
    here = numbers(dataset)
    assert here == [0, 1, 2, 4, 4, 5, 6, 7, 8, 9, 10, 11]
    assert (dataset.num_read, dataset.num_broken) == (13, 1)
    loader = DataLoader(dataset, 3, num_workers=2, multiprocessing_context=context, collate_fn=list)
    seen = [item["img"].tobytes() for batch in loader for item in batch]
    assert seen == [dataset[index]["img"].tobytes() for index in range(12)]
    # Three passes by now, one of them in the workers: their counts are seen here.
    assert (dataset.num_read, dataset.num_broken) == (39, 3)


def test_pickling_keeps_the_data_set(make_source):
    dataset = WordImageDataset(make_source("lmdb", images(4)), PIPELINE)
    copy = pickle.loads(pickle.dumps(dataset))
    assert (copy[2]["inputs"] == dataset[2]["inputs"]).all()


# --- broken images -------------------------------------------------------------------------------


@pytest.mark.parametrize("kind", KINDS)
def test_a_broken_image_gives_the_next_one(make_source, kind, caplog):
    dataset = WordImageDataset(make_source(kind, images(9, broken=(2, 8))), max_broken=0.3)
    order = [0, 3, 6, 1, 4, 7, 2, 5, 8] if kind == "folder" else list(range(9))
    expected = []
    for place in range(9):
        while order[place % 9] in (2, 8):
            place += 1
        expected.append(order[place % 9])
    with caplog.at_level(logging.WARNING):
        assert numbers(dataset) == expected
        assert dataset.num_broken == 2
        numbers(dataset)
        numbers(dataset)
    assert dataset.num_broken == 6
    assert dataset.num_read == 27 + 6


def test_log_names_the_image_at_powers_of_two(make_source, capsys):
    dataset = WordImageDataset(make_source("lmdb", images(100, broken=(7,))), max_broken=0.5)
    for _ in range(20):
        dataset[7]
    lines = [line for line in capsys.readouterr().out.splitlines() if "skipped" in line]
    assert len(lines) == 5  # at 1, 2, 4, 8 and 16
    assert "words.lmdb:image-000000008: not an image of a known format" in lines[0]


@pytest.mark.parametrize(("max_broken", "words"), [(0.01, "1 of 2"), (0.04, "2 of 7")])
def test_too_many_broken_images_stop_the_run(make_source, max_broken, words):
    path = make_source("lmdb", images(40, broken=(1, 5)))
    dataset = WordImageDataset(path, max_broken=max_broken)
    with pytest.raises(
        TooManyBrokenError, match=f"{words} images read from .* are broken"
    ) as error:
        numbers(dataset)
    assert f"more than max_broken={max_broken} allows" in str(error.value)
    assert "\n" not in str(error.value)


def test_a_share_of_broken_images_is_accepted(make_source):
    path = make_source("lmdb", images(40, broken=(1, 5)))
    dataset = WordImageDataset(path, max_broken=0.05)
    for _ in range(5):
        numbers(dataset)
    assert dataset.num_broken == 10


def test_only_broken_images(make_source):
    path = make_source("lmdb", images(5, broken=(0, 1, 2, 3, 4)))
    with pytest.raises(TooManyBrokenError, match=r"1 of 1 images read .* are broken"):
        WordImageDataset(path)[0]
    with pytest.raises(TooManyBrokenError, match=r"not one image of .* can be read"):
        WordImageDataset(path, max_broken=1)[0]


def test_large_sets_are_judged_by_what_was_read_of_them():
    counter = BrokenCounter(0.01, "words", length=10**7)
    for _ in range(1000):  # 2.2%, where 1% + 4 standard deviations are 2.26%
        counter.count_read()
        if counter.num_read % 45 == 1 and counter.num_read < 950:
            counter.count_broken("x")
    assert counter.num_broken == 22
    with pytest.raises(TooManyBrokenError, match="23 of 1,000 images"):
        counter.count_broken("x")


def test_images_with_too_many_pixels_count_as_broken(make_source):
    dataset = WordImageDataset(make_source("lmdb", images(2)), max_pixels=1000, max_broken=0.9)
    with pytest.raises(TooManyBrokenError, match="60 x 20 pixels, more than max_pixels=1,000"):
        dataset[0]


def test_a_pipeline_may_refuse_images(make_source):
    dataset = WordImageDataset(
        make_source("lmdb", images(3)),
        [lambda results: None if results["sample_idx"] == 1 else results],
        max_broken=0.5,
    )
    assert [dataset[index]["sample_idx"] for index in range(3)] == [0, 2, 2]


# --- parts ---------------------------------------------------------------------------------------


def test_parts_are_disjoint_and_whole(make_source):
    paths = [make_source("lmdb", images(60)[:35], name="a"), make_source("lmdb", images(60)[35:])]
    train = numbers(WordImageDataset(paths, holdout=dict(share=0.2, part="train")))
    val = numbers(WordImageDataset(paths, holdout=dict(share=0.2, part="val")))
    assert sorted(train + val) == list(range(60))
    assert 4 <= len(val) <= 20
    # A source is split in the same way whatever other sources there are.
    alone = numbers(WordImageDataset(paths[1], holdout=dict(share=0.2, part="val")))
    assert [number for number in val if number >= 35] == alone


def test_holdout_meets_its_share_and_depends_on_the_seed():
    val = holdout_indices(3_000_000, 0.1, "val")
    assert abs(len(val) / 3_000_000 - 0.1) < 1e-3
    assert val.dtype == np.uint32
    np.testing.assert_array_equal(holdout_indices(1000, 0.1, "val"), val[val < 1000])
    other = holdout_indices(3_000_000, 0.1, "val", seed=1)
    assert abs(len(np.intersect1d(val, other)) / len(val) - 0.1) < 5e-3


@pytest.mark.parametrize("share", [1e-9, 0.01, 0.5, 0.99, 1 - 1e-9])
@pytest.mark.parametrize("length", [0, 1, 2, 3, 40, 1_100_000])
def test_both_parts_of_a_source_have_an_image(length, share):
    for seed in range(20 if length < 100 else 2):
        train, val = (holdout_indices(length, share, part, seed) for part in ("train", "val"))
        np.testing.assert_array_equal(np.sort(np.concatenate([train, val])), np.arange(length))
        assert min(len(train), len(val)) >= (1 if length > 1 else 0)
        if length == 40 and share in (1e-9, 1 - 1e-9):
            hashes = hash_numbers(np.arange(40), seed)
            alone = (val, np.argmin(hashes)) if share < 0.5 else (train, np.argmax(hashes))
            assert list(alone[0]) == [alone[1]]


@pytest.mark.parametrize(
    "options",
    [
        dict(holdout=dict(share=0, part="val")),
        dict(holdout=dict(share=0.1, part="test")),
        dict(max_broken=-0.1),
        dict(max_broken=1.1),
    ],
)
def test_impossible_options(make_source, options):
    with pytest.raises(ValueError, match=next(iter(options))):
        WordImageDataset(make_source("lmdb", images(2)), **options)


def test_indices(make_source):
    path = make_source("lmdb", images(10))
    assert numbers(WordImageDataset(path, indices=3)) == [0, 1, 2]
    assert numbers(WordImageDataset(path, indices=[7, 2])) == [7, 2]
    part = dict(share=0.5, part="val")
    chosen = numbers(WordImageDataset(path, holdout=part))
    assert numbers(WordImageDataset(path, holdout=part, indices=[1])) == chosen[1:2]
    with pytest.raises(ValueError, match="in \\[0, 10\\)"):
        WordImageDataset(path, indices=[10])
    with pytest.raises(ValueError, match="leave no image"):
        WordImageDataset(path, indices=0)


# --- within MMEngine -----------------------------------------------------------------------------


def test_runner_builds_a_loader(make_source):
    loader = Runner.build_dataloader(
        dict(
            batch_size=4,
            num_workers=0,
            sampler=dict(type="DefaultSampler", shuffle=False),
            collate_fn=dict(type="default_collate"),
            dataset=dict(
                type="mms_ocr.WordImageDataset",
                path=str(make_source("lmdb", images(8), list("abcdefgh"))),
                labelled=True,
                pipeline=PIPELINE,
                metainfo=dict(name="words"),
            ),
        )
    )
    first, second = list(loader)
    assert first["inputs"].shape == (4, 3, 32, 128)
    assert [sample.text for sample in second["data_samples"]] == list("efgh")
    assert loader.dataset.metainfo == dict(name="words")


def test_one_or_no_path():
    with pytest.raises(ValueError, match="path is empty"):
        WordImageDataset([])
    with pytest.raises(FileNotFoundError, match="there is no data at 'nowhere'"):
        DATASETS.build(dict(type="mms_ocr.WordImageDataset", path="nowhere"))


def test_real_words(shared_data):
    dataset = WordImageDataset(
        shared_data / "iiit5k" / "train.jsonl", PIPELINE, labelled=True, max_broken=0
    )
    assert len(dataset) == 2000
    sample = dataset[0]["data_samples"]
    assert sample.img_path.endswith(".jpg")
    assert sample.text


@pytest.mark.parametrize("name", ["words.lmdb", "words"])
def test_boxes_of_characters_come_from_rendered_files(tmp_path, name):
    path = tmp_path / name
    command = ["render", "--count", "3", "--out", str(path), "--extras", "char_boxes"]
    assert main([*command, "--workers", "1", "--seed", "5"]) == 0
    data = WordImageDataset(path, labelled=True, extras=("char_boxes",))
    drawn = RenderedWordDataset(3, seed=5, extras=("char_boxes",))
    for index in range(3):
        stored = data.load(index)
        assert stored["text"] == drawn.load(index)["text"]
        np.testing.assert_allclose(stored["char_boxes"], drawn.load(index)["char_boxes"], atol=0.01)
    assert "char_boxes" not in WordImageDataset(path, labelled=True).load(0)


@pytest.mark.parametrize("boxes", [[[0, 0, 1]], [[0, 0, 1, 1]], "none", [[0, 0, 1, None]] * 2])
def test_boxes_that_do_not_fit_their_label(tmp_path, boxes):
    image = cv2.imencode(".png", np.zeros((8, 8, 3), np.uint8))[1].tobytes()
    (tmp_path / "a.png").write_bytes(image)
    path = tmp_path / "words.jsonl"
    path.write_text(json.dumps(dict(filename="a.png", text="ab", char_boxes=boxes)))
    data = WordImageDataset(path, labelled=True, extras=("char_boxes",))
    with pytest.raises(BrokenImageError, match=r"a\.png: its char_boxes"):
        data.load(0)


def test_boxes_need_labels(tmp_path):
    with pytest.raises(ValueError, match="labelled=True"):
        WordImageDataset(tmp_path, extras=("char_boxes",))
