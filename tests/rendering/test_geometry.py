"""Maps forwards and backwards, and warped pictures against single points."""

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from mms_ocr.rendering.geometry import Bend, Geometry, homography, translation
from mms_ocr.rendering.renderer import char_boxes

BENDS = [
    None,
    Bend("arc", 150.0),
    Bend("arc", -150.0),
    Bend("wave", 9.0, 120.0, 0.7),
]


@pytest.mark.parametrize("bend", BENDS[1:])
def test_bends_are_invertible(bend):
    x, y = np.meshgrid(np.linspace(-140, 140, 29), np.linspace(-40, 40, 9))
    there = bend.forward(x, y)
    np.testing.assert_allclose(bend.backward(*there), (x, y), atol=1e-9)


def test_arc_lies_on_its_circle():
    x = np.linspace(-100, 100, 11)
    bent_x, bent_y = Bend("arc", 80.0).forward(x, np.zeros(11))
    np.testing.assert_allclose(np.hypot(bent_x, bent_y - 80), 80)  # center below the base line
    assert bent_y[0] > 0 == bent_y[5]
    assert Bend("arc", -80.0).forward(x, np.zeros(11))[1][0] < 0


def test_identity_changes_nothing():
    canvas = np.random.default_rng(0).integers(0, 256, (30, 70), np.uint8)
    for middle in ((0, 0), (35, 15), (12.5, 7.25)):
        geometry = Geometry(middle, translation(*middle))
        np.testing.assert_array_equal(geometry.warp(canvas, (70, 30)), canvas)


def test_whole_pixels_and_mirrors_are_exact():
    canvas = np.random.default_rng(0).integers(0, 256, (30, 70), np.uint8)
    moved = Geometry((0, 0), translation(-5, -3)).warp(canvas, (65, 27))
    np.testing.assert_array_equal(moved, canvas[3:, 5:])
    turned = Geometry((35, 15), translation(15, 35) @ homography(1, 1, 0, 90, 0, 0))
    np.testing.assert_array_equal(turned.warp(canvas, (30, 70)), np.rot90(canvas, -1))


@pytest.mark.parametrize("bend", BENDS)
@settings(max_examples=25, deadline=None)
@given(
    angle=st.floats(-30, 30),
    shear=st.floats(-0.4, 0.4),
    scale=st.floats(0.8, 1.5),
    tilt=st.floats(-0.001, 0.001),
    x=st.floats(40, 200),
    y=st.floats(30, 60),
)
def test_pixels_go_where_points_go(bend, angle, shear, scale, tilt, x, y):
    canvas = np.zeros((90, 240), np.uint8)
    row, column = int(y), int(x)
    canvas[row - 2 : row + 3, column - 2 : column + 3] = 255
    matrix = translation(220, 220) @ homography(scale, 1, shear, angle, tilt, -tilt)
    geometry = Geometry((120, 45), matrix, bend)
    image = geometry.warp(canvas, (440, 440)).astype(float)
    expected = geometry.forward(np.array([[column + 0.5, row + 0.5]], np.float32))[0]
    total = image.sum()
    center = (image.sum(0) @ (np.arange(440) + 0.5), image.sum(1) @ (np.arange(440) + 0.5)) / total
    np.testing.assert_allclose(center, expected, atol=0.15)


def test_boxes_of_points():
    points = np.array([[1, 5], [3, 2], [9, 9], [-1, 4]], np.float32)
    boxes = char_boxes(points, np.array([0, 0, 2, 2]), 3)
    assert boxes.tolist() == [[1, 2, 2, 3], [3, 2, 0, 0], [-1, 4, 10, 5]]
