"""Packing masks, and warping them with their images."""

import numpy as np
import pytest
import torch

from mms_ocr.datasets import collate_words
from mms_ocr.datasets.transforms import mask_coverage, warp_mask, warp_word
from mms_ocr.datasets.transforms.warp_word import UNIT_CORNERS, turned_corners
from mms_ocr.registry import TRANSFORMS


def labels(height, width, ignored=0.1, seed=0):
    rng = np.random.default_rng(seed)
    shares = [0.7 - ignored, 0.3, ignored]
    return rng.choice([0, 1, 255], (height, width), p=shares).astype(np.uint8)


def slow_coverage(mask, size):
    """Mean over the area of every new pixel, for sizes that divide the old ones or not."""
    height, width = size
    scale_y, scale_x = mask.shape[0] / height, mask.shape[1] / width
    coverage = np.zeros(size, np.uint8)
    for r in range(height):
        for c in range(width):
            text = counted = 0.0
            for y in range(mask.shape[0]):
                high = max(0.0, min(y + 1, (r + 1) * scale_y) - max(y, r * scale_y))
                for x in range(mask.shape[1]):
                    wide = max(0.0, min(x + 1, (c + 1) * scale_x) - max(x, c * scale_x))
                    text += high * wide * (mask[y, x] == 1)
                    counted += high * wide * (mask[y, x] != 255)
            area = scale_y * scale_x
            share = text / counted if counted else 0
            coverage[r, c] = 255 if counted < area / 2 - 1e-9 else round(share * 240)
    return coverage


@pytest.mark.parametrize("ignored", [0, 0.3])
@pytest.mark.parametrize("size", [(4, 8), (5, 7), (8, 16)])
def test_coverage(size, ignored):
    mask = labels(8, 16, ignored)
    coverage, expected = mask_coverage(mask, size), slow_coverage(mask, size)
    assert np.array_equal(coverage == 255, expected == 255)
    assert np.abs(coverage.astype(int) - expected)[expected != 255].max() <= 1


def test_coverage_of_a_mask_that_grows_is_between_its_pixels():
    mask = np.array([[0, 1]], np.uint8)
    assert mask_coverage(mask, (2, 4)).tolist() == [[0, 60, 180, 240]] * 2


def results(height=12, width=30, **more):
    image = np.random.default_rng(1).integers(0, 256, (16, 32, 3), dtype=np.uint8)
    return dict(
        img=image, mask=labels(height, width), ori_shape=(height, width), sample_idx=3, **more
    )


def test_packing_for_training():
    pack = TRANSFORMS.build(dict(type="mms_ocr.PackWordCoverage", size=(32, 64)))
    packed = [pack(results()), pack(results())]
    assert packed[0].keys() == {"inputs", "gt_coverage"}
    given = results()
    assert torch.equal(packed[0]["inputs"], torch.from_numpy(given["img"].transpose(2, 0, 1)))
    expected = torch.from_numpy(mask_coverage(given["mask"], (32, 64)))[None]
    assert torch.equal(packed[0]["gt_coverage"], expected)
    assert collate_words(packed)["gt_coverage"].shape == (2, 1, 32, 64)
    with_sample = TRANSFORMS.build(
        dict(type="mms_ocr.PackWordCoverage", meta_keys=("sample_idx",))
    )(results())
    assert with_sample["data_samples"].sample_idx == 3


def test_packing_for_evaluation():
    pack = TRANSFORMS.build(dict(type="mms_ocr.PackWordMask"))
    given = results()
    packed = pack(given)
    assert packed["inputs"].shape == (3, 16, 32)
    assert packed["data_samples"].ori_shape == (12, 30)
    np.testing.assert_array_equal(packed["data_samples"].gt_sem_seg.data, given["mask"][None])
    batch = collate_words([packed, pack(results(9, 40))])
    assert batch["inputs"].shape == (2, 3, 16, 32)
    assert batch["data_samples"][1].gt_sem_seg.data.shape == (1, 9, 40)


def test_missing_or_resized_masks_raise():
    given = results(img_path="a.png")
    with pytest.raises(
        ValueError, match=r"a.png: the mask is \(12, 30\), the image was \(16, 32\)"
    ):
        TRANSFORMS.build(dict(type="mms_ocr.PackWordMask"))(dict(given, ori_shape=(16, 32)))
    given.pop("mask")
    for kind in ("PackWordMask", "PackWordCoverage"):
        with pytest.raises(ValueError, match=r"a.png: no mask to train on; set extras"):
            TRANSFORMS.build(dict(type=f"mms_ocr.{kind}"))(dict(given))


# --- warping -------------------------------------------------------------------------------------


def shape_of_a_word(height=40, width=120):
    mask = np.zeros((height, width), np.uint8)
    mask[10:30, 20:30] = mask[10:14, 20:80] = mask[20:32, 90:100] = 1
    return mask


@pytest.mark.parametrize("seed", range(6))
def test_mask_and_image_move_together(seed):
    np.random.seed(seed)
    mask = shape_of_a_word()
    drawn = np.repeat(mask[:, :, None] * np.uint8(200), 3, axis=2)
    transform = TRANSFORMS.build(dict(type="mms_ocr.WarpWordMask", prob=1.0))
    warped = transform(dict(img=drawn, mask=mask))
    assert warped["img"].shape == drawn.shape
    assert warped["mask"].shape == mask.shape
    counted = warped["mask"] != 255
    seen = warped["img"][:, :, 0] > 100
    union = ((warped["mask"] == 1) | seen) & counted
    # Interpolated and nearest edges differ by half a pixel.
    assert ((warped["mask"] == 1) & seen).sum() / union.sum() > 0.85
    assert not np.array_equal(warped["mask"], mask)


def test_pixels_from_outside_are_ignored():
    mask = np.ones((20, 20), np.uint8)
    moved = np.add(UNIT_CORNERS, (0.25, 0))
    warped = warp_mask(mask, moved)
    assert (warped[:, :5] == 255).all()
    assert (warped[:, 5:] == 1).all()
    image = warp_word(np.full((20, 20, 3), 7, np.uint8), moved)
    assert (image == 7).all()


def test_identity_corners_keep_the_mask():
    mask = labels(9, 17)
    np.testing.assert_array_equal(warp_mask(mask, UNIT_CORNERS), mask)
    assert turned_corners((4, 6), 0).shape == (4, 2)


def test_some_words_are_left_alone():
    np.random.seed(0)
    transform = TRANSFORMS.build(dict(type="mms_ocr.WarpWordMask", prob=0.25))
    mask = shape_of_a_word()
    image = np.repeat(mask[:, :, None], 3, axis=2)
    moved = sum(
        not np.array_equal(transform(dict(img=image, mask=mask))["mask"], mask) for _ in range(200)
    )
    assert 30 < moved < 70


def test_settings_and_order():
    with pytest.raises(ValueError, match=r"prob of WarpWordMask is in \[0, 1\], got 2"):
        TRANSFORMS.build(dict(type="mms_ocr.WarpWordMask", prob=2))
    with pytest.raises(ValueError, match="put WarpWordMask before the image is resized"):
        TRANSFORMS.build(dict(type="mms_ocr.WarpWordMask", prob=1.0))(results())
