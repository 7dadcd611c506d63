"""Resizing without torch against torch."""

import numpy as np
import pytest
import torch
from made_images import word_pixels
from torch.nn import functional as F

from mms_ocr.utils.resizing import resize_antialiased, resize_plane


@pytest.mark.parametrize(
    ("shape", "size"),
    [
        ((65, 257), (32, 128)),
        ((397, 634), (16, 64)),
        ((3, 5000), (32, 128)),
        ((1, 1), (7, 9)),
        ((32, 301), (32, 128)),
        ((71, 128), (32, 128)),
        ((20, 30), (40, 60)),
    ],
)
@pytest.mark.parametrize("interpolation", ["bicubic", "bilinear"])
def test_levels_are_those_of_torch(shape, size, interpolation):
    noise = np.random.default_rng(0).integers(0, 256, (*shape, 3), dtype=np.uint8)
    for image in (noise, (noise > 127).astype(np.uint8) * 255, word_pixels(0, *shape)):
        planes = torch.from_numpy(image.copy()).permute(2, 0, 1)[None]
        expected = F.interpolate(planes, size=size, mode=interpolation, antialias=True)
        resized = resize_antialiased(image, size, interpolation)
        assert resized.dtype == np.uint8
        np.testing.assert_array_equal(resized, expected[0].permute(1, 2, 0).numpy())


@pytest.mark.parametrize("size", [(64, 256), (10, 31), (200, 300), (64, 5), (1, 1)])
def test_planes_are_resized_as_torch_does(size):
    values = np.random.default_rng(0).normal(0, 10, (64, 256)).astype(np.float32)
    expected = F.interpolate(
        torch.from_numpy(values)[None, None],
        size=size,
        mode="bilinear",
        align_corners=False,
        antialias=True,
    )
    resized = resize_plane(values, size)
    assert resized.dtype == np.float32
    np.testing.assert_allclose(resized, expected[0, 0].numpy(), rtol=0, atol=2e-5)
