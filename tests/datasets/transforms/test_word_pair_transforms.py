"""Pairs to their sizes, and packed."""

import numpy as np
import pytest
import torch

from mms_ocr.datasets.transforms import PackWordPair, ResizeWordPair, resize_word_image


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


def test_both_get_their_size(pair):
    expected = resize_word_image(pair["gt"], (32, 128)), resize_word_image(pair["img"], (16, 64))
    made = ResizeWordPair().transform(dict(pair))
    assert np.array_equal(made["gt"], expected[0])
    assert np.array_equal(made["img"], expected[1])
    assert made["img_shape"] == (16, 64)
    third = ResizeWordPair((30, 120), scale=3).transform(dict(pair))
    assert third["img"].shape == (10, 40, 3)
    with pytest.raises(ValueError, match=r"scale 3 does not divide the size \(32, 128\)"):
        ResizeWordPair((32, 128), scale=3)


def test_packed_they_stand_side_by_side(pair):
    packed = PackWordPair().transform(pair)
    assert set(packed) == {"inputs", "gt_img", "data_samples"}
    for name, image in (("inputs", pair["img"]), ("gt_img", pair["gt"])):
        assert packed[name].is_contiguous()
        assert torch.equal(packed[name], torch.from_numpy(image.transpose(2, 0, 1).copy()))
    sample = packed["data_samples"]
    assert (sample.sample_idx, sample.text, sample.subset) == (3, "word", "easy")
    assert sample.ori_shape == (19, 47)
    assert "img_path" not in sample
