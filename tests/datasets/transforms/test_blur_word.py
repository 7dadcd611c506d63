"""Augmentation by lost resolution, noise and motion blur."""

import numpy as np
import pytest
from torch.utils.data import DataLoader

from mms_ocr.datasets.transforms import BlurWord
from mms_ocr.datasets.transforms.degrade import lose_resolution


@pytest.fixture
def image():
    return np.random.default_rng(0).integers(60, 196, (16, 32, 3), dtype=np.uint8)


def test_lost_resolution_is_the_mean_of_what_shrank_together(image):
    np.testing.assert_array_equal(lose_resolution(image, 1.0), image)
    found = lose_resolution(image, 0.25).astype(float)
    means = image.reshape(4, 4, 8, 4, 3).mean(axis=(1, 3))
    # Halfway between the middles of four blocks lies their mean.
    around = (means[:-1, :-1] + means[1:, :-1] + means[:-1, 1:] + means[1:, 1:]) / 4
    four = np.stack([found[i::4, j::4][:3, :7] for i in (3, 4) for j in (3, 4)])
    np.testing.assert_allclose(four.mean(axis=0), around, atol=1.5)
    assert lose_resolution(image, 0.001).std(axis=(0, 1)).max() == 0


def test_what_is_done_and_how_often(image):
    before, blur = image.copy(), BlurWord(prob=0.5, min_scale=1.0, noise=0.0, motion=5)
    kinds = []
    for _ in range(200):
        found = blur(dict(img=image, text="a"))
        assert (found["img"].shape, found["img"].dtype, found["text"]) == (
            (16, 32, 3),
            np.uint8,
            "a",
        )
        kinds.append(not np.array_equal(found["img"], image))
    np.testing.assert_array_equal(image, before)
    # Without loss and noise, motion alone is left: half of the half.
    assert np.mean(kinds) == pytest.approx(0.25, abs=0.1)
    assert BlurWord(prob=0.0)(dict(img=image))["img"] is image


def test_resolution_is_lost_as_often_at_the_end_as_at_the_start(image):
    blur, left = BlurWord(prob=1.0, noise=0.0), []
    for _ in range(200):
        found = blur(dict(img=image))["img"].astype(float)
        left.append(np.abs(np.diff(found, axis=1)).mean())
    assert np.mean(left[:100]) == pytest.approx(np.mean(left[100:]), rel=0.25)
    assert min(left) < 0.2 * max(left)


class Noisy:
    """A data set whose items differ only by noise."""

    def __len__(self):
        return 4

    def __getitem__(self, index):
        gray = np.full((16, 32, 3), 128, np.uint8)
        return int(BlurWord(prob=1.0, min_scale=1.0)(dict(img=gray))["img"].astype(int).sum())


def test_loader_workers_draw_different_numbers():
    def seeded(worker):
        np.random.seed(worker)  # as MMEngine does

    sums = [int(batch) for batch in DataLoader(Noisy(), 1, num_workers=4, worker_init_fn=seeded)]
    again = [int(batch) for batch in DataLoader(Noisy(), 1, num_workers=4, worker_init_fn=seeded)]
    assert sums == again
    assert len(set(sums)) > 1


@pytest.mark.parametrize(
    "settings", [dict(prob=2), dict(min_scale=0), dict(noise=-1), dict(motion=2)]
)
def test_impossible_settings_give_one_line(settings):
    with pytest.raises(ValueError, match="of BlurWord"):
        BlurWord(**settings)
