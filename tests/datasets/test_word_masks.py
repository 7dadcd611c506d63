"""Images with masks from every layout, and messages about invalid ones."""

import json
import pickle

import cv2
import numpy as np
import pytest
from made_images import encode, lmdb_entries, word_pixels, write_lmdb

from mms_ocr.dataset_tools.convert import convert_records
from mms_ocr.dataset_tools.records import open_records
from mms_ocr.dataset_tools.render import render_words
from mms_ocr.datasets import RenderedWordDataset, TextSegDataset, WordMaskDataset
from mms_ocr.datasets.broken import TooManyBrokenError
from mms_ocr.datasets.sources import BrokenImageError, open_masked
from mms_ocr.datasets.word_masks import mask_labels
from mms_ocr.registry import DATASETS

COUNT = 9


def mask_pixels(number, height=20, width=60):
    """Labels whose pixels encode the number of the image."""
    return np.random.default_rng(100 + number).integers(0, 2, (height, width), dtype=np.uint8)


def write_pair(root, number, image_size=(20, 60), mask=None, folders=("image", "mask")):
    stored = mask_pixels(number) * 255 if mask is None else mask
    for folder, name, content in (
        (folders[0], f"sub/{number}.jpg", encode(word_pixels(number, *image_size))),
        (folders[1], f"sub/{number}.png", encode(stored)),
    ):
        file = root / folder / name
        file.parent.mkdir(parents=True, exist_ok=True)
        file.write_bytes(content)


@pytest.fixture(params=["folder", "folders", "lmdb", "jsonl"])
def pairs(request, tmp_path):
    """Nine images with masks in one of the layouts."""
    root = tmp_path / "pairs"
    images = [encode(word_pixels(number)) for number in range(COUNT)]
    masks = [encode(mask_pixels(number) * 255) for number in range(COUNT)]
    if request.param == "lmdb":
        entries = lmdb_entries(images, [f"word {number}" for number in range(COUNT)])
        entries |= {f"mask-{number:09d}": mask for number, mask in enumerate(masks, start=1)}
        return write_lmdb(tmp_path / "pairs.lmdb", entries)
    folders = ("images", "masks") if request.param == "folders" else ("image", "mask")
    for number in range(COUNT):
        write_pair(root, number, folders=folders)
    if request.param != "jsonl":
        return root
    lines = [
        dict(filename=f"image/sub/{n}.jpg", mask=f"mask/sub/{n}.png", text=f"word {n}")
        for n in range(COUNT)
    ]
    (root / "labels.jsonl").write_text("".join(json.dumps(line) + "\n" for line in lines))
    return root / "labels.jsonl"


def test_pairs_by_value(pairs):
    dataset = DATASETS.build(dict(type="mms_ocr.WordMaskDataset", path=str(pairs)))
    assert len(dataset) == COUNT
    for copy in (dataset, pickle.loads(pickle.dumps(dataset))):
        for number, item in enumerate(copy[index] for index in range(COUNT)):
            np.testing.assert_array_equal(item["mask"], mask_pixels(number))
            assert item["mask"].dtype == np.uint8
            assert item["img"].shape == (20, 60, 3)
            assert item["sample_idx"] == number
    assert dataset.num_broken == 0


def test_parts_of_a_set(pairs):
    parts = [
        WordMaskDataset(pairs, holdout=dict(share=0.3, part=part)) for part in ("train", "val")
    ]
    masks = [item["mask"].tobytes() for part in parts for item in part]
    assert sorted(masks) == sorted(mask_pixels(number).tobytes() for number in range(COUNT))
    assert all(len(part) for part in parts)


def test_labels_are_read_where_there_are_some(tmp_path):
    entries = lmdb_entries([encode(word_pixels(0))], ["a word"])
    path = write_lmdb(tmp_path / "a.lmdb", entries | {"mask-000000001": encode(mask_pixels(0))})
    assert WordMaskDataset(path, labelled=True)[0]["text"] == "a word"


def test_stored_masks_equal_rendered_masks(tmp_path):
    words = RenderedWordDataset(3, seed=5, extras=("mask",))
    render_words(words.renderer, tmp_path / "words.lmdb", 3, extras=("mask",), suffix=".png")
    stored = WordMaskDataset(tmp_path / "words.lmdb")
    for index in range(3):
        for name in ("img", "mask"):
            np.testing.assert_array_equal(stored[index][name], words.load(index)[name])


# --- labels --------------------------------------------------------------------------------------


def as_stored(values):
    return np.array(values, np.uint8)


@pytest.mark.parametrize(
    ("values", "labels"),
    [
        ([[0, 255]], [[0, 1]]),
        ([[0, 1]], [[0, 1]]),
        ([[0, 100]], [[0, 1]]),
        ([[0, 0]], [[0, 0]]),
        ([[255, 255]], [[1, 1]]),
    ],
)
def test_two_levels(values, labels):
    assert mask_labels(as_stored(values)).tolist() == labels


def test_levels_that_were_named():
    values = dict(background=(0, 200), text=(100,), ignored=(255,))
    assert mask_labels(as_stored([[0, 100, 200, 255]]), values).tolist() == [[0, 1, 0, 255]]
    with pytest.raises(BrokenImageError, match="gray level 7, 9 of this mask is not among"):
        mask_labels(as_stored([[0, 7, 100, 9]]), values)


@pytest.mark.parametrize("values", [[[0, 3, 255]], [[1, 255]], [[10, 0, 200, 255]]])
def test_other_levels_than_two(values):
    count = len(set(values[0]))
    with pytest.raises(BrokenImageError, match=rf"this one has {count} \(.*store masks as PNG"):
        mask_labels(as_stored(values))


@pytest.mark.parametrize(
    "values",
    [
        dict(background=(0,)),
        dict(text=(100,), letters=(3,)),
        dict(text=(100,), background=(100,)),
        dict(text=(65536,)),
    ],
)
def test_mask_values_that_cannot_be(tmp_path, values):
    write_pair(tmp_path, 0)
    with pytest.raises(ValueError, match="mask_values"):
        WordMaskDataset(tmp_path, mask_values=values)


# --- what is wrong with a set --------------------------------------------------------------------


@pytest.mark.parametrize(
    ("options", "message"),
    [
        (dict(image_size=(20, 61)), "a mask of 60 x 20 pixels, and .*image/sub/0.jpg has 61 x 20"),
        (dict(mask=word_pixels(0)[:, :, 0]), "a mask has two gray levels, 0 for"),
    ],
)
def test_a_mask_that_does_not_fit(tmp_path, options, message):
    write_pair(tmp_path, 0, **options)
    with pytest.raises(BrokenImageError, match=rf"mask/sub/0.png: {message}"):
        WordMaskDataset(tmp_path).load(0)


def test_one_bad_pair_among_good_ones_is_left_out(tmp_path):
    for number in range(4):
        write_pair(tmp_path, number, image_size=(20, 61) if number == 1 else (20, 60))
    dataset = WordMaskDataset(tmp_path, max_broken=0.5)
    np.testing.assert_array_equal(dataset[1]["mask"], mask_pixels(2))
    assert dataset.num_broken == 1
    with pytest.raises(TooManyBrokenError, match="a mask of 60 x 20 pixels"):
        WordMaskDataset(tmp_path)[1]


@pytest.mark.parametrize(("gone", "folder"), [("mask", "mask"), ("image", "image")])
def test_a_missing_pair(tmp_path, gone, folder):
    for number in range(3):
        write_pair(tmp_path, number)
    for file in (tmp_path / gone / "sub").glob("[12].*"):
        file.unlink()
    with pytest.raises(
        ValueError, match=rf"'sub/1' and 1 more has no pair of the same name in '{folder}'"
    ):
        WordMaskDataset(tmp_path)


def test_two_images_of_one_name(tmp_path):
    write_pair(tmp_path, 0)
    (tmp_path / "image/sub/0.png").write_bytes(encode(word_pixels(0)))
    with pytest.raises(ValueError, match="differ only in their suffix"):
        open_masked(tmp_path)


def test_sets_without_masks(tmp_path, make_source):
    images = [encode(word_pixels(0))]
    with pytest.raises(ValueError, match=r"LMDB .* has no masks: no key like 'mask-000000001'"):
        open_masked(make_source("lmdb", images))
    with pytest.raises(ValueError, match=r"has no masks: no line has a 'mask'"):
        open_masked(make_source("jsonl", images, name="lines"))
    with pytest.raises(ValueError, match=r"has no masks: give a folder with image/ and mask/"):
        open_masked(make_source("folder", images, name="plain"))
    with pytest.raises(FileNotFoundError, match="there are no masks at"):
        open_masked(tmp_path / "nothing")
    (tmp_path / "half" / "image").mkdir(parents=True)
    with pytest.raises(ValueError, match="has a folder 'image'"):
        open_masked(tmp_path / "half")
    (tmp_path / "half" / "mask").mkdir()
    with pytest.raises(ValueError, match="has no image files"):
        open_masked(tmp_path / "half")


# --- TextSeg -------------------------------------------------------------------------------------


@pytest.fixture
def textseg(tmp_path):
    """Two words in a picture to train on, one in a picture to test on."""
    root = tmp_path / "TextSeg"
    for folder in ("image", "annotation", "semantic_label"):
        (root / folder).mkdir(parents=True)
    boxes = {
        "a1": [[10, 5, 50, 5, 50, 25, 10, 25], [60, 10, 90, 20, 85, 35, 55, 25]],
        "a2": [[0, 0, 30, 0, 30, 20, 0, 20]],
    }
    for number, tag in enumerate(boxes):
        cv2.imwrite(str(root / "image" / f"{tag}.jpg"), word_pixels(number, 40, 100))
        mask = np.random.default_rng(number).choice([0, 100, 200, 255], (40, 100)).astype(np.uint8)
        cv2.imwrite(str(root / "semantic_label" / f"{tag}_maskfg.png"), mask)
        words = {str(n): {"text": f"{tag}-{n}", "bbox": box} for n, box in enumerate(boxes[tag])}
        (root / "annotation" / f"{tag}_anno.json").write_text(json.dumps(words))
    (root / "split.json").write_text(json.dumps(dict(train=["a1"], val=[], test=["a2"])))
    return root


def expected_labels(root, tag, place):
    mask = cv2.imread(str(root / "semantic_label" / f"{tag}_maskfg.png"), -1)[place]
    return np.select([mask == 100, mask == 255], [1, 255], 0)


def test_textseg_as_released(textseg):
    train = DATASETS.build(
        dict(type="mms_ocr.TextSegDataset", path=str(textseg), splits=("train", "val"))
    )
    test = TextSegDataset(str(textseg), splits=("test",), labelled=True)
    assert (len(train), len(test)) == (2, 1)
    places = [("a1", np.s_[5:25, 10:50]), ("a1", np.s_[10:35, 55:90]), ("a2", np.s_[0:20, 0:30])]
    for item, (tag, place) in zip([*train, *test], places):
        image = cv2.imread(str(textseg / "image" / f"{tag}.jpg"))[place]
        np.testing.assert_array_equal(item["img"], image)
        np.testing.assert_array_equal(item["mask"], expected_labels(textseg, tag, place))
    assert test[0]["text"] == "a2-0"
    assert test[0]["img_path"].endswith("TextSeg:a2:a2-0")


def test_textseg_converted_is_the_same(textseg, tmp_path):
    out = tmp_path / "textseg.lmdb"
    convert_records(open_records(str(textseg), "textseg", splits=["train"]), str(out))
    values = dict(background=(0, 200), text=(100,), ignored=(255,))
    converted = WordMaskDataset(out, mask_values=values)
    released = TextSegDataset(str(textseg), splits=("train",))
    for first, second in zip(converted, released):
        np.testing.assert_array_equal(first["mask"], second["mask"])
        np.testing.assert_array_equal(first["img"], second["img"])


def test_textseg_in_the_wrong_place(textseg, tmp_path):
    with pytest.raises(ValueError, match=r"TextSeg as it is released.* mms_ocr.TextSeg"):
        WordMaskDataset(textseg)
    with pytest.raises(FileNotFoundError, match=r"no TextSeg here: there is no .*split.json"):
        TextSegDataset(str(tmp_path))


def test_incomplete_textseg(textseg):
    for splits, message in ((["training"], "splits of TextSeg are"), (["val"], "has no words in")):
        with pytest.raises(ValueError, match=message):
            TextSegDataset(str(textseg), splits=splits)
    (textseg / "semantic_label" / "a1_maskfg.png").unlink()
    with pytest.raises(BrokenImageError, match=r"a1_maskfg\.png"):
        TextSegDataset(str(textseg)).load(0)
    (textseg / "annotation" / "a1_anno.json").write_text('{"0": {"text": "x"}}')
    with pytest.raises(ValueError, match=r"a1_anno.json has an entry without"):
        TextSegDataset(str(textseg))
    (textseg / "annotation" / "a1_anno.json").unlink()
    with pytest.raises(FileNotFoundError, match=r"there is no .*a1_anno.json"):
        TextSegDataset(str(textseg))
