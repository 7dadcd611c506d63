from __future__ import annotations

import cv2
import numpy as np
import pytest
import torch
from made_images import word_pixels
from mmengine.registry import TRANSFORMS
from PIL import Image

from mms_ocr.datasets.transforms import (
    PackWordImage,
    PackWordPair,
    ResizeWordImage,
    ResizeWordPair,
    resize_word_image,
)


def smooth(height: int, width: int) -> np.ndarray:
    small = word_pixels(height + width, height // 4 + 2, width // 4 + 2)
    return cv2.resize(small, (width, height), interpolation=cv2.INTER_CUBIC)


def antialiased(image: np.ndarray, filter_: Image.Resampling) -> np.ndarray:
    return np.asarray(Image.fromarray(image).resize((128, 32), filter_)).astype(int)


@pytest.mark.parametrize("shape", [(65, 90), (30, 300), (200, 700), (400, 20), (5, 20_000)])
@pytest.mark.parametrize("interpolation", ["bicubic", "bilinear"])
def test_shrinking_much_equals_pillow(shape, interpolation):
    filter_ = getattr(Image.Resampling, interpolation.upper())
    image = smooth(*shape)
    resized = resize_word_image(image, (32, 128), interpolation)
    # The two round between their passes over rows and columns, in opposite order.
    distance = np.abs(resized - antialiased(image, filter_))
    assert distance.max() <= 4
    assert distance.mean() < 0.3
    assert resized.dtype == np.uint8


@pytest.mark.parametrize("shape", [(1, 1), (16, 64), (32, 128), (45, 150)])
def test_other_images_are_opencvs_bicubic(shape):
    image = smooth(*shape)
    expected = cv2.resize(image, (128, 32), interpolation=cv2.INTER_CUBIC)
    np.testing.assert_array_equal(resize_word_image(image, (32, 128)), expected)


def test_halving_is_the_mean_of_two_by_two():
    image = word_pixels(0, 64, 256)
    means = image.reshape(32, 2, 128, 2, 3).mean(axis=(1, 3))
    np.testing.assert_allclose(resize_word_image(image, (32, 128)), means, atol=1)


@pytest.mark.parametrize("shape", [(20, 60), (50, 170), (64, 200), (60, 240), (100, 500)])
def test_no_scale_is_far_from_the_antialiased_filter(shape):
    image = smooth(*shape)
    distance = np.abs(
        resize_word_image(image, (32, 128)) - antialiased(image, Image.Resampling.BICUBIC)
    )
    assert distance.mean() < 2


@pytest.mark.parametrize("shape", [(20, 60), (40, 150), (60, 200), (70, 300)])
def test_views_of_images_are_resized_as_well(shape):
    """As mmpretrain.ColorJitter gives them: with their channels turned round, and mirrored."""
    image = smooth(*shape)
    for view in (image[:, :, ::-1], image[::-1, ::-1]):
        expected = resize_word_image(view.copy(), (32, 128))
        np.testing.assert_array_equal(resize_word_image(view, (32, 128)), expected)


@pytest.mark.parametrize("shape", [(20, 60), (32, 128), (60, 200), (70, 300)])
@pytest.mark.parametrize("interpolation", ["nearest", "bicubic"])
def test_resizing_into_given_memory(shape, interpolation):
    image, slots = smooth(*shape), np.zeros((3, 32, 128, 3), np.uint8)
    resized = resize_word_image(image, (32, 128), interpolation, slots[1])
    assert np.shares_memory(resized, slots)
    np.testing.assert_array_equal(slots[1], resize_word_image(image, (32, 128), interpolation))
    assert not slots[0].any()
    assert not slots[2].any()


def test_resize_sets_the_shape():
    transform = TRANSFORMS.build(dict(type="mms_ocr.ResizeWordImage", size=[8, 16]))
    results = transform(dict(img=word_pixels(0), ori_shape=(20, 60)))
    assert results["img"].shape == (8, 16, 3)
    assert results["img_shape"] == (8, 16)
    assert results["ori_shape"] == (20, 60)


@pytest.mark.parametrize(
    ("options", "message"),
    [
        (dict(size=(0, 128)), "both positive"),
        (dict(size=(32,)), "both positive"),
        (dict(interpolation="best"), "unknown interpolation 'best': choose from nearest"),
    ],
)
def test_impossible_resizing(options, message):
    with pytest.raises(ValueError, match=message):
        ResizeWordImage(**options)


def test_pack_by_value():
    image = word_pixels(0)
    packed = PackWordImage()(
        dict(img=image, sample_idx=5, img_path="a", ori_shape=(1, 2), img_shape=(3, 4), text="x")
    )
    assert packed["inputs"].dtype == torch.uint8
    assert packed["inputs"].is_contiguous()
    np.testing.assert_array_equal(packed["inputs"].numpy(), image.transpose(2, 0, 1))
    assert dict(packed["data_samples"].metainfo_items()) == dict(
        sample_idx=5, img_path="a", ori_shape=(1, 2), text="x"
    )


def test_pack_keeps_existing_meta_keys():
    packed = PackWordImage(meta_keys=("text", "img_shape"))(
        dict(img=word_pixels(0), sample_idx=5, img_shape=(20, 60))
    )
    assert dict(packed["data_samples"].metainfo_items()) == dict(img_shape=(20, 60))
    assert PackWordImage(meta_keys=())(dict(img=word_pixels(0), text="x")).keys() == {"inputs"}


@pytest.fixture
def pair():
    rng = np.random.default_rng(0)
    return dict(
        gt=rng.integers(0, 256, (40, 90, 3), np.uint8),
        img=rng.integers(0, 256, (19, 47, 3), np.uint8),
        sample_idx=3,
        text="word",
        subset="easy",
        ori_shape=(19, 47),
    )


def test_resize_a_pair(pair):
    expected = resize_word_image(pair["gt"], (32, 128)), resize_word_image(pair["img"], (16, 64))
    resized = ResizeWordPair().transform(dict(pair))
    assert np.array_equal(resized["gt"], expected[0])
    assert np.array_equal(resized["img"], expected[1])
    assert resized["img_shape"] == (16, 64)
    third = ResizeWordPair((30, 120), scale=3).transform(dict(pair))
    assert third["img"].shape == (10, 40, 3)
    with pytest.raises(ValueError, match=r"scale 3 does not divide the size \(32, 128\)"):
        ResizeWordPair((32, 128), scale=3)


def test_pack_a_pair(pair):
    packed = PackWordPair().transform(pair)
    assert set(packed) == {"inputs", "gt_img", "data_samples"}
    for name, image in (("inputs", pair["img"]), ("gt_img", pair["gt"])):
        assert packed[name].is_contiguous()
        assert torch.equal(packed[name], torch.from_numpy(image.transpose(2, 0, 1).copy()))
    sample = packed["data_samples"]
    assert (sample.sample_idx, sample.text, sample.subset) == (3, "word", "easy")
    assert sample.ori_shape == (19, 47)
    assert "img_path" not in sample
