"""Pairs of low and high resolution from TextZoom's layout, folders and JSON lines."""

import json
import pickle

import numpy as np
import pytest
from made_images import encode, word_pixels, write_lmdb
from torch.utils.data import DataLoader

from mms_ocr.datasets import TextZoomDataset, WordPairDataset
from mms_ocr.datasets.broken import TooManyBrokenError
from mms_ocr.datasets.sources import open_pairs
from mms_ocr.registry import DATASETS, FUNCTIONS
from mms_ocr.utils.decoding import decode_image

LARGE = [word_pixels(number, 24, 50) for number in range(6)]
SMALL = [word_pixels(100 + number, 11 + number, 26) for number in range(6)]


def write_pairs(kind, folder, large=LARGE, small=SMALL, labelled=True):
    """Pairs in one of the three layouts; None leaves an image out."""
    pairs = [
        tuple(
            image if image is None or isinstance(image, bytes) else encode(image) for image in two
        )
        for two in zip(large, small)
    ]
    if kind == "lmdb":
        entries = {"num-samples": str(len(pairs)).encode()}
        for number, two in enumerate(pairs, start=1):
            for key, data in zip(("image_hr", "image_lr"), two):
                if data is not None:
                    entries[f"{key}-{number:09d}"] = data
            if labelled:
                entries[f"label-{number:09d}"] = f"word{number - 1}".encode()
        return write_lmdb(folder / "pairs.lmdb", entries)
    lines = []
    for number, two in enumerate(pairs):
        line = dict(text=f"word{number}") if labelled else {}
        for part, suffix, data in zip(("hr", "lr"), ("png", "jpg"), two):
            name = f"{part}/part{number % 2}/{number}.{suffix}"
            line[f"image_{part}"] = name
            if data is not None:
                (folder / name).parent.mkdir(parents=True, exist_ok=True)
                (folder / name).write_bytes(data)
        lines.append(json.dumps(line))
    if kind == "folder":
        return folder
    (folder / "pairs.jsonl").write_text("\n".join(lines) + "\n")
    return folder / "pairs.jsonl"


def same_pair(item, number):
    return np.array_equal(item["gt"], LARGE[number]) and np.array_equal(item["img"], SMALL[number])


@pytest.mark.parametrize("kind", ["lmdb", "jsonl", "folder"])
def test_every_layout_gives_the_pairs(tmp_path, kind):
    path = write_pairs(kind, tmp_path)
    labelled = kind != "folder"
    dataset = DATASETS.build(
        dict(type="mms_ocr.WordPairDataset", path=str(path), labelled=labelled)
    )
    assert len(dataset) == 6
    order = range(6) if labelled else [0, 2, 4, 1, 3, 5]  # folders come one after the other
    for index, number in enumerate(order):
        item = dataset[index]
        assert same_pair(item, number)
        assert item["sample_idx"] == index
        assert item["ori_shape"] == item["img_shape"] == SMALL[number].shape[:2]
        assert item.get("text") == (f"word{number}" if labelled else None)
        assert "hr" in item["img_path"]
        assert "subset" not in item
    copy = pickle.loads(pickle.dumps(dataset))
    assert same_pair(copy[2], list(order)[2])


def test_subsets_and_parts(tmp_path):
    paths = []
    for name in ("easy", "hard"):
        (tmp_path / name).mkdir()
        paths.append(str(write_pairs("lmdb", tmp_path / name)))
    dataset = WordPairDataset(paths, subsets=["easy", "hard"])
    assert [dataset[index]["subset"] for index in (0, 5, 6, 11)] == ["easy"] * 2 + ["hard"] * 2
    parts = [
        WordPairDataset(paths, holdout=dict(share=0.3, part=part)) for part in ("train", "val")
    ]
    assert sum(map(len, parts)) == 12
    assert min(map(len, parts)) > 0
    with pytest.raises(ValueError, match=r"2 paths need as many subsets, got 1 \(easy\)"):
        WordPairDataset(paths, subsets=["easy"])


def test_textzoom_as_released(tmp_path):
    roots = [tmp_path / name for name in ("one", "two")]
    for number, root in enumerate(roots):
        for place, split in enumerate(("train1", "train2", "test/easy", "test/hard")):
            (root / "test").mkdir(parents=True, exist_ok=True)
            (tmp_path / "made").mkdir()
            chosen = [(place + number) % 6]
            pair = [LARGE[i] for i in chosen], [SMALL[i] for i in chosen]
            write_pairs("lmdb", tmp_path / "made", *pair).rename(root / split)
            (tmp_path / "made").rmdir()
    train = DATASETS.build(dict(type="mms_ocr.TextZoomDataset", path=str(roots[0])))
    assert [same_pair(train[index], index) for index in range(len(train))] == [True, True]
    assert "subset" not in train[0]
    test = TextZoomDataset(roots, splits=("test/easy", "test/hard"), labelled=True)
    assert [item["subset"] for item in test] == ["easy", "hard", "easy", "hard"]
    assert [same_pair(item, number) for item, number in zip(test, (2, 3, 3, 4))] == [True] * 4
    assert test[0]["text"] == "word0"
    with pytest.raises(FileNotFoundError, match=r"no pairs of resolutions at '.*one/test/medium'"):
        TextZoomDataset(roots[0], splits=("test/medium",))


def test_a_pipeline_and_a_loader_take_them(tmp_path):
    pipeline = [
        dict(type="mms_ocr.ResizeWordPair", size=(8, 16), scale=2),
        dict(type="mms_ocr.PackWordPair"),
    ]
    dataset = WordPairDataset(write_pairs("lmdb", tmp_path), pipeline, labelled=True)
    loader = DataLoader(dataset, batch_size=4, collate_fn=FUNCTIONS.get("default_collate"))
    first, second = loader
    assert first["inputs"].shape == (4, 3, 4, 8)
    assert first["gt_img"].shape == (4, 3, 8, 16)
    assert [sample.text for sample in second["data_samples"]] == ["word4", "word5"]


@pytest.mark.parametrize("splits", [(), ("easy",), ("train1", "test/easy")])
def test_unknown_splits_of_textzoom(tmp_path, splits):
    with pytest.raises(ValueError, match="splits of TextZoom are some of train1, train2, test/ea"):
        TextZoomDataset(tmp_path, splits=splits)


BROKEN = {
    "no image": (LARGE, [*SMALL[:2], b"no image", *SMALL[3:]]),
    "empty large one": ([*LARGE[:2], b"", *LARGE[3:]], SMALL),
    "larger than its pair": (LARGE, [*SMALL[:2], word_pixels(9, 40, 80), *SMALL[3:]]),
}


@pytest.mark.parametrize("kind", ["lmdb", "jsonl"])
@pytest.mark.parametrize("fault", BROKEN)
def test_a_broken_pair_is_replaced_by_the_next(tmp_path, kind, fault):
    dataset = WordPairDataset(write_pairs(kind, tmp_path, *BROKEN[fault]), max_broken=0.5)
    assert same_pair(dataset[2], 3)
    assert (dataset.num_read, dataset.num_broken) == (2, 1)


@pytest.mark.parametrize(
    ("fault", "message"),
    [
        ("no image", "image_lr-000000003: not an image of a known format"),
        (
            "larger than its pair",
            r"image_lr-000000003: 80 x 40 pixels, more than its pair of high resolution has, "
            r".*image_hr-000000003 \(50 x 24\); are the two exchanged\?",
        ),
    ],
)
def test_too_many_broken_pairs_raise(tmp_path, fault, message):
    dataset = WordPairDataset(write_pairs("lmdb", tmp_path, *BROKEN[fault]), max_broken=0)
    with pytest.raises(TooManyBrokenError, match=message) as error:
        dataset[2]
    assert "\n" not in str(error.value)


@pytest.mark.parametrize("kind", ["lmdb", "jsonl", "folder"])
def test_exchanged_resolutions_are_refused(tmp_path, kind):
    with pytest.raises(TooManyBrokenError, match="more than its pair of high resolution has"):
        WordPairDataset(write_pairs(kind, tmp_path, SMALL, LARGE))[0]


@pytest.mark.parametrize(
    ("missing", "message"),
    [
        ("hr/part0/2.png", "'part0/2' has no pair of the same name in 'hr'"),
        ("lr/part1/5.jpg", "'part1/5' has no pair of the same name in 'lr'"),
    ],
)
def test_a_missing_image_of_a_pair_in_folders_is_named(tmp_path, missing, message):
    folder = write_pairs("folder", tmp_path)
    (folder / missing).unlink()
    with pytest.raises(ValueError, match=message):
        WordPairDataset(folder)


def test_a_missing_image_of_a_pair_in_an_lmdb_is_named(tmp_path):
    small = [*SMALL[:2], None, *SMALL[3:]]
    dataset = WordPairDataset(write_pairs("lmdb", tmp_path, small=small), max_broken=0)
    with pytest.raises(TooManyBrokenError, match="image_lr-000000003: the key is missing"):
        dataset[2]
    other = tmp_path / "other"
    other.mkdir()
    with pytest.raises(ValueError, match="there is no key 'image_lr-000000006'"):
        WordPairDataset(write_pairs("lmdb", other, small=[*SMALL[:5], None]))


def test_names_that_occur_twice_are_refused(tmp_path):
    folder = write_pairs("folder", tmp_path)
    (folder / "hr/part0/2.jpg").write_bytes(encode(LARGE[0]))
    with pytest.raises(ValueError, match="differ only in their suffix"):
        WordPairDataset(folder)


def test_a_source_of_pairs(tmp_path):
    source = open_pairs(write_pairs("lmdb", tmp_path))
    assert len(source) == 6
    assert decode_image(source.read(1, True).data).shape == (24, 50, 3)
    assert source.read(1, True).text == "word1"
    assert source.name(1).endswith("image_hr-000000002")


def test_places_without_pairs(tmp_path):
    with pytest.raises(FileNotFoundError, match="there are no pairs of resolutions at"):
        WordPairDataset(tmp_path / "nowhere")
    with pytest.raises(ValueError, match="path is empty"):
        WordPairDataset([])
    with pytest.raises(ValueError, match="give a folder with hr/ and lr/"):
        WordPairDataset(tmp_path)
    (tmp_path / "hr").mkdir()
    with pytest.raises(ValueError, match="has a folder 'hr'"):
        WordPairDataset(tmp_path)
    (tmp_path / "lr").mkdir()
    with pytest.raises(ValueError, match="has no image files"):
        WordPairDataset(tmp_path)
    entries = {"image-000000001": encode(LARGE[0]), "num-samples": b"1"}
    with pytest.raises(ValueError, match="no key 'image_hr-000000001'"):
        WordPairDataset(write_lmdb(tmp_path / "words.lmdb", entries))
    (tmp_path / "words.jsonl").write_text('{"filename": "a.png"}\n')
    with pytest.raises(ValueError, match="not a JSON object with a 'image_hr'"):
        WordPairDataset(tmp_path / "words.jsonl")
